"""
The commands by name, each loaded when it is used: what one command needs must not be paid for by
the help of all.
"""

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec import Struct

from service.collector import resume_collector

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PACKAGE: Final = "workers.cli"


class CommandEntry(Struct, frozen=True, kw_only=True):
    """
    Where a command is: a module of this package and its function. `help` is the first sentence of
    its own help. `has_account` is False for one that is of the whole installation. `logs`: modules
    that it imports write a log by structlog, which is set up before.
    """

    module: str
    function: str
    help: str
    has_account: bool = True
    logs: bool = False

    def load(self) -> click.Command:
        """The command, with the option `--account` if it takes it."""
        command = getattr(import_module(f"{PACKAGE}.{self.module}"), self.function)
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.module}.{self.function} is no command")
        # The commands of a table get it when they are loaded themselves.
        has_table = isinstance(getattr(command, "commands", None), CommandTable)
        if self.has_account and not has_table:
            from workers.cli.accounts import add_account_option

            add_account_option(command)
        return command


class CommandTable(MutableMapping[str, click.Command]):
    """The commands of a group as click wants them; one that is looked up is loaded."""

    def __init__(self, entries: Mapping[str, CommandEntry]) -> None:
        self.entries: Final = entries
        self._loaded: Final[dict[str, click.Command]] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = self.entries[name].load()
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.entries, **self._loaded})

    def __len__(self) -> int:
        return len({**self.entries, **self._loaded})


class LazyCommands(click.Group):
    """
    A group whose commands are loaded on use. An error that says what to do ends the command with
    one line and exit code 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """The names, in the order of the table."""
        return list(self.commands)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of all commands, of which none is loaded."""
        rows = [(name, entry.help) for name, entry in entries_of(self).items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list["CompletionItem[str]"]:
        """The commands that begin so, of which none is loaded; and options, as click has them."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        from click.shell_completion import CompletionItem

        return [
            CompletionItem(name, help=entry.help)
            for name, entry in entries_of(self).items()
            if name.startswith(incomplete)
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, loaded; None if there is none of the name."""
        entry = entries_of(self).get(cmd_name)
        # Before it is loaded: what its libraries log on the way is no output of it.
        if entry is not None and entry.logs and ctx.obj is not None:
            ctx.obj()
        command = super().get_command(ctx, cmd_name)
        resume_collector()
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Read the options, and print the help if that is asked for. Raises as `invoke` does."""
        with _failures_ended():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command. Raises click's errors only, apart from bugs."""
        with _failures_ended():
            return super().invoke(ctx)


@contextmanager
def _failures_ended() -> Iterator[None]:
    """Turn an error that says what to do into the end of the command."""
    try:
        yield
    # Among them the end of --help, which shall load no more than the list of commands.
    except (click.exceptions.Exit, click.ClickException):
        raise
    except Exception as err:
        from workers.cli.failure import failure_of

        failure = failure_of(err)
        if failure is None:
            raise
        raise failure from err


def entries_of(group: click.Group) -> Mapping[str, CommandEntry]:
    """The entries of a group's table."""
    if not isinstance(group.commands, CommandTable):
        raise TypeError(f"{group.name} has no table of commands")
    return group.commands.entries
