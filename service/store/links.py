"""
Links: which Buildr call a telephone call is, set by an operator or another program.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from service.buildr_ids import is_buildr_id
from service.store import script_calls
from service.store.keys import Keys, name_in, ref_of
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


class UnreadableLink(Struct, frozen=True):
    """
    A link that is stored and cannot be read. Which Buildr call it names is not known, nor whether
    it replaces all else or is that of a test call.
    """


StoredLink: TypeAlias = Link | UnreadableLink
UNREADABLE_LINK: Final = UnreadableLink()
_LINK: Final = msgspec.json.Decoder(Link)
# How bytes that are no UTF-8 are kept in a text, so that it can be compared with what is stored.
_ODD_BYTES: Final = "surrogateescape"


def link_text(stored: bytes) -> str:
    """What is stored of a link as a text, from which `stored_bytes` makes the same bytes."""
    return stored.decode("utf-8", _ODD_BYTES)


def stored_bytes(text: str) -> bytes:
    """The inverse of `link_text`."""
    return text.encode("utf-8", _ODD_BYTES)


def read_link(stored: bytes | None) -> StoredLink | None:
    """The link of a stored value; None where nothing is stored."""
    if stored is None:
        return None
    try:
        link = _LINK.decode(stored)
    except ValueError:
        return UNREADABLE_LINK
    # It becomes a part of the address that is written to.
    if not is_buildr_id(link.buildr_call_id):
        return UNREADABLE_LINK
    return link


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

    async def get(self, source: str, source_call_id: str) -> StoredLink | None:
        """The link of a call, or None."""
        return await self.load(ref_of(source, source_call_id))

    async def load(self, ref: str) -> StoredLink | None:
        """The link of the call of this name, or None."""
        return read_link(await self.redis.get(self.keys.link(ref)))

    async def remove(self, source: str, source_call_id: str) -> bool:
        """
        Take a link away; what was already written to Buildr stays. Returns whether there was one.

        A call that waits because its link cannot be read is run again, as one without a link.
        """
        ref = ref_of(source, source_call_id)
        pipe = self.redis.pipeline(transaction=True)
        pipe.get(self.keys.link(ref))
        pipe.delete(self.keys.link(ref))
        pipe.zrem(self.keys.named("links"), ref)
        # Any other call is not woken: what was written to Buildr by this link stays there.
        stored, removed, _ = await pipe.execute()
        if isinstance(read_link(stored), UnreadableLink):
            await self.scripts.run(script_calls.wake(ref=ref))
        return bool(removed)

    async def scan(self, source: str | None = None) -> AsyncIterator[tuple[str, str, StoredLink]]:
        """`(source, source_call_id, link)` of all links, those that expire first coming first."""
        start = 0
        # The index is cleaned when a link is set, so that it may name links that have expired
        # since.
        while refs := await self.redis.zrange(self.keys.named("links"), start, start + PAGE - 1):
            names = [name_in(ref) for ref in refs]
            texts = await self.redis.mget([self.keys.link(name) for name in names])
            for name, text in zip(names, texts, strict=True):
                link = read_link(text)
                link_source, _, source_call_id = name.partition(":")
                if link is not None and source in (None, link_source):
                    yield link_source, source_call_id, link
            start += PAGE
