"""
`buildr-calls init`: the files of a new installation, and what to enter at the vendor.
"""

import os
import secrets
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from service.errors import SettingsError
from service.settings import Settings, load_installation
from service.settings.env_file import ENV_FILE, with_env_file
from service.sources import SOURCES
from workers.cli.arguments import OneOf
from workers.cli.failure import Failure, SettingsFault
from workers.cli.init_files import (
    ENV_NAME,
    env_text,
    replace_private,
    write_new,
    write_private,
)
from workers.cli.init_guides import OUTCOMES, outcome_file, read_guide, steps_for
from workers.cli.init_values import CONSOLE_TOKEN, PUBLIC_URL, Values
from workers.cli.output import echo
from workers.cli.program import PROGRAM

UNKNOWN_ADDRESS: Final = "https://YOUR-ADDRESS"
SLUG: Final = OneOf(sorted(SOURCES))


@click.command()
@click.argument("sources", nargs=-1, type=SLUG, metavar="[SOURCE]...")
@click.option("--public-url", help="The address at which telephony systems reach this service.")
@click.option("--redis-url", help="Redis, without a password. Not set: the private one of `run`.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    help="Where the files are written.  [default: this folder]",
)
@click.option("--console/--no-console", "has_console", default=None, help="Open the web console.")
@click.option(
    "--ask/--no-ask",
    "is_asking",
    default=None,
    help="Ask for what is not set; default: on a terminal.",
)
@click.option(
    "--force", "is_forced", is_flag=True, help="Write .env again, with the values that it has."
)
def init(
    sources: tuple[str, ...],
    public_url: str | None,
    redis_url: str | None,
    folder: Path,
    *,
    has_console: bool | None,
    is_asking: bool | None,
    is_forced: bool,
) -> None:
    """
    Write the settings of a new installation, and say what to enter at the telephony system.

    It asks for what is not set. A secret is never an option: it is typed unseen, or read from the
    variable of its name, like TWILIO_AUTH_TOKEN. Written are .env (mode 0600) and
    buildr-calls.toml; a file that is there stays, unless --force is set for .env.

    \b
    Examples:
      buildr-calls init
      buildr-calls init twilio zoom --public-url https://calls.example.com
      TWILIO_AUTH_TOKEN_FILE=/run/secrets/twilio buildr-calls init twilio --no-ask
    """
    if is_asking is None:
        is_asking = sys.stdin.isatty()
    # Before anything is asked for: what was typed would be lost.
    env_path = folder / ENV_NAME
    earlier: Mapping[str, str] = {}
    has_earlier = _exists(env_path)
    if has_earlier:
        if not is_forced:
            raise Failure(
                f"{env_path} is there already; --force writes it again with its values, and keeps "
                f"it as {ENV_NAME}.old"
            )
        earlier = _read_earlier(env_path)
    if is_asking:
        echo("Enter leaves a value for later. Secrets are not shown.", is_error=True)
    # A system that is named twice is asked about once.
    slugs = list(dict.fromkeys(sources)) or _ask_sources(is_asking=is_asking)
    values = Values(environ=os.environ, is_asking=is_asking, earlier=earlier)
    values.gather_common(public_url=public_url, redis_url=redis_url)
    for slug in slugs:
        values.gather_source(read_guide(slug))
    _gather_console(values, has_console=has_console)
    texts = {**earlier, **values.texts}
    # Before anything is written: a wrong value leaves no half of an installation behind.
    settings = _checked(texts, folder)
    _write_files(folder, env_text(texts, slugs), has_earlier=has_earlier)
    _print_values(values)
    for slug in slugs:
        _print_steps(slug, settings, is_reachable=PUBLIC_URL in texts)
    _print_next(folder)


def _ask_sources(*, is_asking: bool) -> list[str]:
    """The sources that the operator chooses. Raises click's usage error where nobody is asked."""
    if not is_asking:
        raise click.UsageError(f"name the telephony systems: {', '.join(SLUG.words)}")
    for slug in SLUG.words:
        echo(f"  {slug:<12} {SOURCES[slug].title}", is_error=True)

    def read(text: str) -> list[str]:
        names = text.replace(",", " ").split()
        return list(dict.fromkeys(SLUG.convert(name, None, None) for name in names))

    chosen: list[str] = click.prompt(
        "Your telephony systems, with commas between them", value_proc=read, err=True
    )
    return chosen


def _gather_console(values: Values, *, has_console: bool | None) -> None:
    if values.take(CONSOLE_TOKEN) or has_console is False:
        return
    if has_console is None and values.is_asking:
        has_console = click.confirm(
            "Open the web console at /console, behind a token?", default=True, err=True
        )
    if has_console:
        values.take_or_make(CONSOLE_TOKEN, secrets.token_hex(32))


def _read_earlier(path: Path) -> Mapping[str, str]:
    faults: list[str] = []
    earlier = with_env_file({ENV_FILE: path.name}, path.parent, faults)
    if faults:
        raise SettingsFault(faults)
    return {name: text for name, text in earlier.items() if name != ENV_FILE}


def _checked(texts: Mapping[str, str], folder: Path) -> Settings:
    """The settings that the files will make. Raises `SettingsFault` if they have faults."""
    shown = {PUBLIC_URL: UNKNOWN_ADDRESS} | {name: text for name, text in texts.items() if text}
    try:
        return load_installation(shown, cwd=folder).default
    except SettingsError as err:
        raise SettingsFault(err.faults) from err


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as err:
        raise Failure(f"{path} cannot be looked for ({err.strerror})") from err


def _write_files(folder: Path, text: str, *, has_earlier: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise Failure(f"{folder} cannot be made ({err.strerror})") from err
    path = folder / ENV_NAME
    if has_earlier:
        copy = replace_private(path, text)
        echo(f"Written: {path}, readable by you alone; the one before is {copy}")
    else:
        write_private(path, text)
        echo(f"Written: {path}, readable by you alone")
    outcomes = folder / OUTCOMES
    if outcomes.exists():
        echo(f"Left as it is: {outcomes}")
        return
    write_new(outcomes, outcome_file())
    echo(f"Written: {outcomes}, with the defaults as comments")


def _print_values(values: Values) -> None:
    if values.made:
        echo(f"Made up: {', '.join(values.made)}")
    _print_empty(f"Still to be filled in, in {ENV_NAME}:", values.empty)
    _print_empty("Empty too, and not needed:", values.optional)


def _print_empty(title: str, names: Mapping[str, str]) -> None:
    if not names:
        return
    echo()
    echo(title)
    width = max(map(len, names))
    for name, where in names.items():
        echo(f"  {name:<{width}}  {where}")


def _print_steps(slug: str, settings: Settings, *, is_reachable: bool) -> None:
    source = SOURCES[slug]
    echo()
    echo(f"At {source.title} (in full: docs/telephony/{slug}.md):")
    for line in steps_for(slug, settings, env_file=ENV_NAME):
        echo(f"  {line}")
    if not is_reachable:
        echo(f"  Set PUBLIC_URL, then {PROGRAM} link-url {slug} prints the address.")


def _print_next(folder: Path) -> None:
    echo()
    echo("Next:")
    if folder != Path():
        echo(f"  cd {shlex.quote(str(folder))}")
    commands: Sequence[tuple[str, str]] = (
        (f"export {ENV_FILE}={ENV_NAME}", "every command reads it then"),
        (f"{PROGRAM} check", "what is wrong, and how to fix it"),
        (f"{PROGRAM} run", "all of it on this machine, to try it"),
        (f"{PROGRAM} serve", "on a server: the receiver; needs REDIS_URL"),
        (f"{PROGRAM} work", "and a worker beside it; see docs/install.md"),
    )
    for command, comment in commands:
        echo(f"  {command:<24} # {comment}")
