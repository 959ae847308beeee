"""
What the settings alone show: nothing is asked of anybody.
"""

from collections.abc import Sequence

from service.settings import Installation, Settings
from service.settings.exposure import (
    shared_proofs,
    shared_secret_warnings,
    short_secret_warnings,
)
from service.settings.source_settings import source_faults
from service.sources import SOURCES, Source
from service.sources.settings import SettingKind, how_to_enable
from service.webhook_urls import webhook_path
from workers.cli.checks.finding import Finding, of_account
from workers.cli.checks.values import value_findings

# Settings of one source that are of no use without one another.
PAIRS = (("twilio_api_key", "twilio_api_secret"), ("twilio_api_key", "twilio_account_sid"))


def setting_findings(installation: Installation, accounts: Sequence[Settings]) -> list[Finding]:
    """All of them, in the order in which they are shown."""
    findings = [
        _read(installation),
        *(of_account(account, _sources(installation, account), accounts) for account in accounts),
        _secrets(installation),
    ]
    for account in accounts:
        of_values = [*value_findings(account), *_halves(account)]
        findings += [of_account(account, finding, accounts) for finding in of_values]
    return findings


def _read(installation: Installation) -> Finding:
    faults = source_faults(installation)
    return Finding("settings", is_fine=not faults, detail="; ".join(faults) or "all read")


def _sources(installation: Installation, account: Settings) -> Finding:
    slugs = ", ".join(slug for slug in SOURCES if account.secrets_of(slug))
    # Where other accounts receive, an account without a source is no fault.
    is_fine = bool(slugs) or not installation.default.is_default or installation.has_sources
    detail = f"on: {slugs}"
    if not slugs:
        detail = "none is on"
    elif not account.is_default:
        path = webhook_path("SOURCE", account=account.path_account)
        detail += f"; their webhooks go to {path}"
    if not is_fine:
        detail += f": set {how_to_enable()}"
    return Finding("sources", is_fine=is_fine, detail=detail)


def _secrets(installation: Installation) -> Finding:
    """
    Secrets that several accounts share, a fault where one's messages would count for another; and
    short ones.
    """
    faults = list(shared_proofs(installation))
    warnings = [*shared_secret_warnings(installation), *short_secret_warnings(installation)]
    detail = "; ".join([*faults, *warnings])
    return Finding(
        "secrets",
        is_fine=not faults,
        detail=detail or "no two accounts share one, none is short",
        is_warning=bool(warnings),
    )


def _halves(account: Settings) -> list[Finding]:
    """Credentials of which a part is missing, and those of a source that is off."""
    findings = []
    for first, second in PAIRS:
        if first in account.of_sources and second not in account.of_sources:
            detail = f"{first.upper()} is set, and {second.upper()} is not: set both, or neither"
            findings.append(Finding("credentials", is_fine=False, detail=detail))
    for slug, source in SOURCES.items():
        names = _api_credentials(account, source)
        if not names or account.secrets_of(slug):
            continue
        detail = (
            f"{slug} is off, so that its webhooks are refused, though {names[0].upper()} is set: "
            f"set {source.settings[0].name.upper()} too; docs/telephony/{slug}.md says where it is"
        )
        findings.append(Finding("credentials", is_fine=True, detail=detail, is_warning=True))
    return findings


def _api_credentials(account: Settings, source: Source) -> list[str]:
    """The credentials for a source's API that are set."""
    return [
        setting.name
        for setting in source.settings
        if setting.kind is SettingKind.API_CREDENTIAL
        and setting.default is None
        and setting.name in account.of_sources
    ]
