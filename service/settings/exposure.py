"""
What would let a stranger's request, or one account's message, count where it must not: an address
that the sender chooses, and secrets that two accounts share.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from service.settings.installation import Installation
from service.settings.model import Settings
from service.sources import SETTING_NAMES, SOURCES, Source
from service.sources.common.setting_checks import LEAST_SECRET, check_length, is_loopback

NO_PUBLIC_URL: Final = (
    "PUBLIC_URL: is needed, since {host} is reached from outside and anybody could choose by the "
    "Host header which address a signature is checked over: set the address that the telephony "
    "systems call, or TRUSTED_PROXIES"
)
CROSSED: Final = "a message that somebody caught of one could be sent to the other"


def serving_faults(installation: Installation, hosts: Sequence[str] = ()) -> tuple[str, ...]:
    """
    What must be corrected before a receiver may start, one line each. `hosts` are the addresses of
    sockets that it is given.
    """
    faults = [*public_url_faults(installation.default, hosts), *shared_proofs(installation)]
    return tuple(faults)


def public_url_faults(settings: Settings, hosts: Sequence[str] = ()) -> tuple[str, ...]:
    """
    The line about a public URL that is missing, or none. `hosts` count in place of `HOST`, if
    there are any.
    """
    if settings.public_url is not None or settings.trusted_proxies:
        return ()
    outside = [host for host in hosts or (settings.host,) if not is_loopback(host)]
    return tuple(NO_PUBLIC_URL.format(host=host) for host in outside[:1])


def shared_proofs(installation: Installation) -> Iterator[str]:
    """
    A line for each source that accepts one secret in several accounts, where nothing that it proves
    names the account.
    """
    for source, accounts in _shared_by_source(installation):
        if not source.signs_url:
            yield (
                f"{source.settings[0].name.upper()}: accounts {', '.join(accounts)} have one and "
                f"the same, so that {CROSSED}; give each its own"
            )


def shared_secret_warnings(installation: Installation) -> Iterator[str]:
    """
    A line for each secret that several accounts share without letting one's messages count for
    another.
    """
    for source, accounts in _shared_by_source(installation):
        if source.signs_url:
            yield (
                f"{source.settings[0].name.upper()} is the same in {', '.join(accounts)}; only the "
                "signed address tells them apart"
            )
    for name in ("url_secret", "admin_token"):
        values = {
            account.account: [secret.get_secret_value() for secret in getattr(account, name)]
            for account in installation.accounts
        }
        for accounts in _shared(values):
            yield f"{name.upper()} is the same in {', '.join(accounts)}; give each its own"


def short_secret_warnings(installation: Installation) -> Iterator[str]:
    """A line for each secret that a vendor has issued shorter than one may be chosen."""
    for account in installation.accounts:
        for slug, (name, *_) in SETTING_NAMES.items():
            if any(check_length(value) for value in account.secrets_of(slug).values):
                yield (
                    f"{name.upper()} of {account.account} is shorter than {LEAST_SECRET} "
                    "characters: whoever has one signed message can guess it; see whether the "
                    "vendor issues a longer one"
                )


def _shared_by_source(installation: Installation) -> Iterator[tuple[Source, tuple[str, ...]]]:
    for slug in SOURCES:
        values = {}
        for account in installation.accounts:
            secrets = account.secrets_of(slug)
            values[account.account] = (*secrets.values, *secrets.by_key_id.values())
        for accounts in _shared(values):
            yield SOURCES[slug], accounts


def _shared(values: Mapping[str, Iterable[str]]) -> list[tuple[str, ...]]:
    """The groups of accounts that share at least one value, each once."""
    accounts_of: dict[str, dict[str, None]] = defaultdict(dict)
    for account, secrets in values.items():
        for secret in secrets:
            accounts_of[secret][account] = None
    groups = (tuple(accounts) for accounts in accounts_of.values() if len(accounts) > 1)
    return list(dict.fromkeys(groups))
