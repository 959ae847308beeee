"""
What keeps a receiver from starting because a stranger, or another account, could make it believe
too much.
"""

import socket
from collections.abc import Callable, Mapping

import pytest

from service.errors import SettingsError
from service.receiver.server import check_serving
from service.settings import Installation, Settings
from service.settings.exposure import (
    public_url_faults,
    serving_faults,
    shared_proofs,
    shared_secret_warnings,
    short_secret_warnings,
)

MakeSettings = Callable[..., Settings]
SECRET = "fake-secret-of-the-tests-0000"
URL = "https://calls.example.test"


@pytest.mark.parametrize(
    ("values", "is_fine"),
    [
        ({}, True),
        ({"HOST": "::1"}, True),
        ({"HOST": "localhost"}, True),
        ({"HOST": "0.0.0.0"}, False),
        ({"HOST": "10.0.0.1"}, False),
        ({"HOST": "0.0.0.0", "PUBLIC_URL": URL}, True),
        ({"HOST": "0.0.0.0", "TRUSTED_PROXIES": "10.0.0.0/8"}, True),
    ],
)
def test_off_loopback_the_sender_chooses_no_address(
    make_settings: MakeSettings, values: Mapping[str, str], *, is_fine: bool
) -> None:
    """Without a public URL or a proxy the Host header would decide what a signature covers."""
    installation = Installation(make_settings(**{"PUBLIC_URL": "", **values}))
    assert is_fine == (not public_url_faults(installation.default))
    if not is_fine:
        with pytest.raises(SettingsError, match="PUBLIC_URL: is needed"):
            check_serving(installation)


@pytest.mark.parametrize(("host", "is_fine"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_sockets_that_are_given_count_by_their_own_address(
    make_settings: MakeSettings, host: str, *, is_fine: bool
) -> None:
    """What systemd listens on decides, and not `HOST`, which does not count then."""
    hosts = {"127.0.0.1": "0.0.0.0", "0.0.0.0": "127.0.0.1"}
    installation = Installation(make_settings(PUBLIC_URL="", HOST=hosts[host]))
    with socket.socket() as given:
        given.bind((host, 0))
        if is_fine:
            check_serving(installation, [given])
        else:
            with pytest.raises(SettingsError, match=f"PUBLIC_URL: is needed, since {host} "):
                check_serving(installation, [given])


def _two_accounts(make_settings: MakeSettings, **values: str) -> Installation:
    settings = make_settings(**values)
    others = [
        settings.model_copy(update={"account": name, "is_default": False})
        for name in ("acme", "bolt")
    ]
    return Installation(settings, tuple(others[:1]))


def test_one_secret_in_two_accounts_is_a_fault_where_no_address_is_signed(
    make_settings: MakeSettings,
) -> None:
    """A message of one account could be sent to the other; a signed address names the account."""
    installation = _two_accounts(
        make_settings,
        ZOOM_SECRET_TOKEN=SECRET,
        TWILIO_AUTH_TOKEN=SECRET,
        STANDARD_SECRET="",
        ADMIN_TOKEN="",
    )
    (fault,) = shared_proofs(installation)
    assert fault.startswith("ZOOM_SECRET_TOKEN: accounts default, acme have one and the same")
    assert (fault,) == serving_faults(installation)
    (warning,) = shared_secret_warnings(installation)
    assert warning.startswith("TWILIO_AUTH_TOKEN is the same in default, acme")


def test_shared_tokens_of_ours_are_warnings(make_settings: MakeSettings) -> None:
    """The secret of addresses and the admin token are reported, and keep nothing from starting."""
    installation = _two_accounts(
        make_settings,
        STANDARD_SECRET="",
        TWILIO_AUTH_TOKEN="",
        URL_SECRET="u" * 32,
        ADMIN_TOKEN="a" * 16,
    )
    assert [] == list(shared_proofs(installation))
    assert ["URL_SECRET", "ADMIN_TOKEN"] == [
        line.split()[0] for line in shared_secret_warnings(installation)
    ]


def test_short_secret_is_a_warning_only_where_the_vendor_issues_it(
    make_settings: MakeSettings,
) -> None:
    """One that an operator may choose is refused, and so is a part of one."""
    (line,) = short_secret_warnings(Installation(make_settings(ZOOM_SECRET_TOKEN="zoom-short")))
    assert line.startswith("ZOOM_SECRET_TOKEN of default is shorter than 16 characters")
    for name, value in (("DIALPAD_WEBHOOK_SECRET", "dial-short"), ("ZOOM_SECRET_TOKEN", "zoom")):
        with pytest.raises(SettingsError, match=f"{name}: must be at least"):
            make_settings(**{name: value})


def test_accounts_with_secrets_of_their_own_are_fine(make_settings: MakeSettings) -> None:
    """One account alone, and two with different secrets, have nothing to report."""
    first = make_settings(ZOOM_SECRET_TOKEN=SECRET)
    second = make_settings(
        ADMIN_TOKEN="", ZOOM_SECRET_TOKEN=f"{SECRET}1", STANDARD_SECRET="", TWILIO_AUTH_TOKEN=""
    )
    second = second.model_copy(update={"account": "acme", "is_default": False})
    for installation in (Installation(first), Installation(first, (second,))):
        assert [] == [*shared_proofs(installation), *shared_secret_warnings(installation)]
