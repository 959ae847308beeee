"""
Values that were copied wrongly: in quotes, with the name before them, of another kind.
"""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import SecretStr

from service.settings import Settings
from service.sources import SETTINGS
from service.sources.settings import ValueForm
from workers.cli.checks.finding import Finding

# Plain ones, and those that word processors put in their place.
QUOTES: Final = "'\"`\u2018\u2019\u201c\u201d\u00ab\u00bb"
PLACEHOLDER: Final = re.compile(
    r"(your|my|the)?[_ -]?(auth|api|access|client|secret|signing|webhook)?[_ -]?"
    r"(token|key|secret|password)([_ -]?here)?|.*change[_ -]?me.*|x{4,}|.*(\.{3}|…)|<.*>|todo",
    re.IGNORECASE,
)
# Settings that hold a credential and are of no source.
CREDENTIALS: Final = (
    "buildr_client_id",
    "buildr_client_secret",
    "buildr_access_token",
    "url_secret",
    "admin_token",
)


def value_findings(settings: Settings) -> list[Finding]:
    """A finding for each value that is surely, or probably, not what the setting is for."""
    findings = []
    for name, value in _credentials(settings):
        fault = _copied_wrongly(name, value)
        if fault is not None:
            findings.append(
                Finding("secret values", is_fine=False, detail=f"{name.upper()} {fault}")
            )
            continue
        setting = SETTINGS.get(name)
        if setting is not None and setting.form is not None:
            findings += _of_another_form(name, value, setting.form)
    return findings


def _credentials(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in CREDENTIALS:
        for value in _values(getattr(settings, name)):
            yield name, value
    for name, secrets in settings.of_sources.items():
        for secret in secrets:
            yield name, secret.get_secret_value()


def _values(value: object) -> Iterator[str]:
    """The texts of a setting, which may be secret, several or none."""
    if isinstance(value, tuple):
        for item in value:
            yield from _values(item)
    elif isinstance(value, SecretStr):
        yield from _values(value.get_secret_value())
    elif isinstance(value, str) and value:
        yield value


def _copied_wrongly(name: str, value: str) -> str | None:
    """What is wrong with a value whatever it is for, with the cure; None if nothing is."""
    _, _, password = value.rpartition(":")
    faults = {
        "is in quotes, which count: write it without them": (
            value[0] in QUOTES or value[-1] in QUOTES
        ),
        "begins with its own name: write the value alone": value.upper().startswith(
            f"{name.upper()}="
        ),
        "holds the name of a variable that nothing has filled: write the value itself": (
            re.search(r"^\$\w+$|\$\{|\{\{|\$\(|^%\w+%$", value) is not None
        ),
        "begins with Bearer: write the token alone": value.lower().startswith("bearer"),
        "is an example's text: put your own value in its place": (
            PLACEHOLDER.fullmatch(value) is not None or PLACEHOLDER.fullmatch(password) is not None
        ),
        "is a private key: the secret of webhooks is another value": value.startswith("-----BEGIN"),
    }
    return next((fault for fault, is_so in faults.items() if is_so), None)


def _of_another_form(name: str, value: str, form: ValueForm) -> Iterator[Finding]:
    mistaken = form.mistaken(value)
    # `twilio_auth_token`: the auth token.
    title = name.partition("_")[2].replace("_", " ")
    description = ""
    if form.text:
        description = f", {form.text}"
    if mistaken is not None:
        detail = f"{name.upper()} is {mistaken}: set the {title} in its place{description}"
        yield Finding("secret values", is_fine=False, detail=detail)
    elif not form.is_like(value):
        detail = (
            f"{name.upper()} has {len(value)} characters and does not look like the {title} that "
            f"the vendor issues{description}: copy all of it again"
        )
        yield Finding("secret values", is_fine=True, detail=detail, is_warning=True)
