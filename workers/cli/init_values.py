"""
The values that `init` gathers: from the environment, an earlier file, questions, or made up.
"""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import click
from msgspec import Struct, field

from service.errors import SettingsError
from service.settings import load_installation
from workers.cli.init_guides import Guide, is_visible, make_up
from workers.cli.output import echo

FILE: Final = "_FILE"
PUBLIC_URL: Final = "PUBLIC_URL"
REDIS_URL: Final = "REDIS_URL"
URL_SECRET: Final = "URL_SECRET"
ADMIN_TOKEN: Final = "ADMIN_TOKEN"
CONSOLE_TOKEN: Final = "CONSOLE_TOKEN"
CLIENT_ID: Final = "BUILDR_CLIENT_ID"
CLIENT_SECRET: Final = "BUILDR_CLIENT_SECRET"
ACCESS_TOKEN: Final = "BUILDR_ACCESS_TOKEN"
NOWHERE: Final = Path(os.devnull)
LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1", None})


class Values(Struct, kw_only=True):
    """
    Variables by name. `earlier` are those of the file that is replaced. `made` names what was made
    up; `empty` what an operator has still to fill in, with where it is read, and `optional` what
    may stay empty.
    """

    environ: Mapping[str, str]
    is_asking: bool
    earlier: Mapping[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    empty: dict[str, str] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)

    def take(self, name: str) -> bool:
        """Take a value, or the name of its file, from the environment or the earlier file."""
        # What is set now counts before what an earlier run has written.
        for source in (self.environ, self.earlier):
            for variable in (name, name + FILE):
                if text := source.get(variable, "").strip():
                    self.texts[variable] = text
                    return True
        return False

    def ask(self, name: str, question: str, *, is_hidden: bool = False) -> str:
        """A value from the operator, asked for until it is right; empty for none."""
        while True:
            answer: str = click.prompt(
                f"{question}\n  {name}",
                default="",
                show_default=False,
                hide_input=is_hidden,
                err=True,
            )
            fault = None
            if answer.strip():
                fault = fault_of(name, answer.strip())
            if fault is None:
                return answer.strip()
            echo(f"  {fault}", is_error=True)

    def take_or_ask(
        self, name: str, question: str, *, is_hidden: bool = False, is_optional: bool = False
    ) -> None:
        """A value of the environment, of the earlier file, or of the operator; else it is empty."""
        if self.take(name):
            return
        if self.is_asking:
            self.texts[name] = self.ask(name, question, is_hidden=is_hidden)
        if not self.texts.get(name):
            empty = self.empty
            if is_optional:
                empty = self.optional
            empty[name] = question

    def take_or_make(self, name: str, text: str) -> None:
        """A value of the environment or of the earlier file, else this new one."""
        if not self.take(name):
            self.texts[name] = text
            self.made.append(name)

    def gather_common(self, *, public_url: str | None, redis_url: str | None) -> None:
        """What every installation needs; options count before all else."""
        _set_option(self, PUBLIC_URL, public_url)
        if public_url is None:
            self.take_or_ask(
                PUBLIC_URL, "The address at which telephony systems reach this service, with https"
            )
        _set_option(self, REDIS_URL, redis_url)
        if redis_url is None and not self.take(REDIS_URL) and self.is_asking:
            self.texts[REDIS_URL] = self._ask_redis()
        # A ready token takes the place of client id and secret.
        if not self.take(ACCESS_TOKEN):
            self._gather_credentials()
        self.take_or_make(URL_SECRET, secrets.token_hex(32))
        self.take_or_make(ADMIN_TOKEN, secrets.token_hex(32))

    def gather_source(self, guide: Guide) -> None:
        """What a source needs, by its guide."""
        for name, beginning in guide.made.items():
            self.take_or_make(name.upper(), make_up(name, beginning))
        for name, where in guide.needed.items():
            self.take_or_ask(name.upper(), where, is_hidden=not is_visible(name))
        for name, where in guide.optional.items():
            self.take_or_ask(name.upper(), where, is_hidden=not is_visible(name), is_optional=True)

    def _gather_credentials(self) -> None:
        self.take_or_ask(CLIENT_ID, "Buildr, machine credentials: client id")
        self.take_or_ask(
            CLIENT_SECRET, "Buildr, machine credentials: client secret", is_hidden=True
        )

    def _ask_redis(self) -> str:
        address = self.ask(
            REDIS_URL,
            "Redis, like redis://127.0.0.1:6379/0, without its password; Enter for the private one "
            "that `run` starts",
        )
        if not address or _is_local(address) or has_password(address):
            return address
        password = self.ask("password", "The password of Redis; Enter for none", is_hidden=True)
        return with_password(address, password)


def _set_option(values: Values, name: str, text: str | None) -> None:
    """Take the value of an option. Raises click's usage error that names it."""
    if text is None:
        return
    option = f"--{name.lower().replace('_', '-')}"
    if name == REDIS_URL and has_password(text):
        raise click.UsageError(
            f"{option}: arguments are seen by others on this machine; leave the password out and "
            f"put the whole address into the variable {name}"
        )
    if fault := fault_of(name, text):
        raise click.UsageError(f"{option}: {fault}")
    values.texts[name] = text.strip()


def fault_of(name: str, text: str) -> str | None:
    """What is wrong with a setting by itself, or None."""
    needed = {URL_SECRET: "0" * 64, name: text}
    try:
        load_installation(needed, cwd=NOWHERE)
    except SettingsError as err:
        return next((fault for fault in err.faults if fault.startswith(f"{name}: ")), None)
    return None


def has_password(address: str) -> bool:
    """Whether the address of a Redis holds a password; not for one that cannot be read."""
    try:
        return bool(urlsplit(address).password)
    except ValueError:
        return False


def _is_local(address: str) -> bool:
    """Whether a Redis is on this machine, or its address cannot be read."""
    try:
        return urlsplit(address).hostname in LOCAL_HOSTS
    except ValueError:
        return True


def with_password(address: str, password: str) -> str:
    """The address of a Redis with its password."""
    if not password:
        return address
    parts = urlsplit(address)
    user, _, host = parts.netloc.rpartition("@")
    netloc = f"{user.partition(':')[0]}:{quote(password, safe='')}@{host}"
    return urlunsplit(parts._replace(netloc=netloc))
