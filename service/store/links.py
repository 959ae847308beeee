"""
Links: which Buildr call a telephone call is, set by an operator or another program.
"""

from collections.abc import AsyncIterator, Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from service.store import script_calls
from service.store.keys import Keys, ref_of, split_ref
from service.store.redis_client import Client
from service.store.script_runner import ScriptCall, Scripts

PAGE = 500


class Link(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    The Buildr call of a telephone call, and what else is to be sent along; all are Buildr's ids,
    digits. One that `replaces` counts before the id that the call's own messages name. The call of
    one that `is_test` is planned and never written; only `buildr-calls check --live` sets it.
    """

    buildr_call_id: str
    company_id: str | None = None
    contact_id: str | None = None
    project_id: str | None = None
    replaces: bool = False
    is_test: bool = False

    def ids(self) -> dict[str, str | None]:
        """All ids, by the name of their field."""
        switches = ("replaces", "is_test")
        return {name: value for name, value in asdict(self).items() if name not in switches}

    def association_ids(self) -> dict[str, str]:
        """The ids to send along, by the name of their field in Buildr."""
        return {
            name: value for name, value in self.ids().items() if value and name != "buildr_call_id"
        }


_LINK = msgspec.json.Decoder(Link)


def read_link(text: str | bytes) -> Link | None:
    """The link of a stored text; None of an empty one, and of one that cannot be read."""
    if not text:
        return None
    # One that is damaged is as good as none: the call is matched as one without a link.
    try:
        return _LINK.decode(text)
    except msgspec.DecodeError:
        return None


class Links(Struct, frozen=True):
    """Keeps links for `keep_ms` milliseconds."""

    redis: Client
    keys: Keys
    scripts: Scripts
    keep_ms: int

    async def put(self, source: str, source_call_id: str, link: Link) -> tuple[bool, bool]:
        """
        Set or replace a link and wake its call.

        Returns `(is_new, is_known)`: whether the call had no link before, and whether the call is
        already stored.
        """
        is_new, is_known = await self.scripts.run(self._put(source, source_call_id, link))
        return bool(is_new), bool(is_known)

    async def put_test(self, source: str, source_call_id: str, link: Link, *, keep_s: int) -> None:
        """Set the link of a test call, which is kept for its own time."""
        ref = ref_of(source, source_call_id)
        text = msgspec.json.encode(link)
        call = script_calls.link(ref=ref, link_text=text, keep_ms=keep_s * 1000)
        await self.scripts.run(call)

    async def put_many(self, links: Sequence[tuple[str, str, Link]]) -> list[tuple[bool, bool]]:
        """
        Set or replace many links, each by source and source call id, in one round trip; the answers
        are those of `put`. Raises the first error; the other links are set all the same.
        """
        answers = []
        for reply in await self.scripts.run_batch([self._put(*link) for link in links]):
            if isinstance(reply, Exception):
                raise reply
            is_new, is_known = reply
            answers.append((bool(is_new), bool(is_known)))
        return answers

    def _put(self, source: str, source_call_id: str, link: Link) -> ScriptCall[list[int]]:
        ref = ref_of(source, source_call_id)
        text = msgspec.json.encode(link)
        return script_calls.link(ref=ref, link_text=text, keep_ms=self.keep_ms)

    async def get(self, source: str, source_call_id: str) -> Link | None:
        """The link of a call, or None."""
        return (await self.load(ref_of(source, source_call_id)))[0]

    async def load(self, ref: str) -> tuple[Link | None, str]:
        """
        `(link, text)`: the link of a call, None if it cannot be read, and its stored JSON, or
        `(None, "")` if there is none.

        The commit of a job compares the text, so that a link that was changed while the job ran is
        not missed.
        """
        text = await self.redis.get(self.keys.link(ref))
        if text is None:
            return None, ""
        return read_link(text.decode()), text.decode()

    async def remove(self, source: str, source_call_id: str) -> bool:
        """
        Take a link away; what was already written to Buildr stays. Returns whether there was one.
        """
        ref = ref_of(source, source_call_id)
        pipe = self.redis.pipeline(transaction=True)
        pipe.delete(self.keys.link(ref))
        pipe.zrem(self.keys.named("links"), ref)
        # The call is not woken: what was written to Buildr by this link stays there.
        removed, _ = await pipe.execute()
        return bool(removed)

    async def scan(self, source: str | None = None) -> AsyncIterator[tuple[str, str, Link | None]]:
        """
        `(source, source_call_id, link)` of all links, those that expire first coming first; None
        for one that cannot be read.
        """
        start = 0
        # The index is cleaned when a link is set, so that it may name links that have expired
        # since.
        while refs := await self.redis.zrange(self.keys.named("links"), start, start + PAGE - 1):
            texts = await self.redis.mget([self.keys.link(ref.decode()) for ref in refs])
            for ref, text in zip(refs, texts, strict=True):
                link_source, source_call_id = split_ref(ref.decode())
                if text is not None and source in (None, link_source):
                    yield link_source, source_call_id, read_link(text)
            start += PAGE
