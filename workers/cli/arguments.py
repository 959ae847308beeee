"""
Kinds of arguments that say what is wrong with them, and what was probably meant.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

import click

from service.buildr_ids import is_buildr_call_id, is_buildr_id
from service.phone_numbers import read_number

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# As documentation writes ids that are to be replaced.
PLACEHOLDER: Final = re.compile(r"…|\.\.\.|[<>{}$]|^(?:SOURCE:)?(?:CALL_)?ID$|^CALL$|X{6}")


def e164_of(number: str, *, region: str) -> str:
    """A telephone number as people write it, in E.164. Raises click's usage error for none."""
    parsed = read_number(number, region=region)
    if parsed is None:
        raise click.UsageError(
            f"{number!r} is no telephone number; write it with its country code, like +15005550006"
        )
    return parsed.e164


class OneOf(click.ParamType[str]):
    """One of some words; any other is answered with the nearest one."""

    name = "word"

    def __init__(self, words: Iterable[str]) -> None:
        self.words: Final = tuple(words)

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """How the help shows the argument."""
        return (param.name or self.name).upper()

    def get_missing_message(
        self,
        param: click.Parameter,
        ctx: click.Context | None,
    ) -> str:
        """What follows in the error where it is missing."""
        return f"One of: {', '.join(self.words)}"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list["CompletionItem[str]"]:
        """The words that begin so, for a shell."""
        from click.shell_completion import CompletionItem

        beginning = incomplete.casefold()
        return [
            CompletionItem(word) for word in self.words if word.casefold().startswith(beginning)
        ]

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it. Raises click's usage error."""
        text = str(value).strip()
        words = dict(zip(map(str.casefold, self.words), self.words, strict=True))
        if text.casefold() in words:
            return words[text.casefold()]
        near = get_close_matches(text.casefold().replace("-", "_"), words, n=1)
        listing = ", ".join(self.words)
        if near:
            self.fail(
                f"{text!r} is not known. Did you mean {words[near[0]]}? All: {listing}", param, ctx
            )
        return self.fail(f"{text!r} is not known. All: {listing}", param, ctx)


class CallText(click.ParamType[str]):
    """A call's name or id, or a number; an example's placeholder is refused."""

    name = "call"

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,
        incomplete: str,
    ) -> list["CompletionItem[str]"]:
        """The ids of the newest calls that begin so, for a shell, else files."""
        from click.shell_completion import CompletionItem

        from workers.cli.completion_ids import newest_ids

        if param.name == "entry_id":
            return []
        items = [CompletionItem(name, help=about) for name, about in newest_ids(incomplete)]
        return items or [CompletionItem(incomplete, type="file")]

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it. Raises click's usage error."""
        text = str(value).strip()
        if not text:
            self.fail("it is empty", param, ctx)
        if PLACEHOLDER.search(text):
            self.fail(f"{text!r} is a placeholder: put the call's own id in its place", param, ctx)
        return text


class Digits(click.ParamType[str]):
    """An id of Buildr's: digits."""

    name = "digits"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it. Raises click's usage error."""
        text = str(value)
        if not is_buildr_id(text):
            self.fail(f"{text!r} is no id of Buildr's: at most 20 digits", param, ctx)
        return text


class CallDigits(Digits):
    """The id of a call in Buildr: digits, without leading zeros."""

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Check it. Raises click's usage error."""
        text = super().convert(value, param, ctx)
        if not is_buildr_call_id(text):
            self.fail(f"{text!r} begins with a zero, as no id of a call does", param, ctx)
        return text
