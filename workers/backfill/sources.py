"""
Which sources have a call log that can be read, and how it is opened.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import httpx
from msgspec import Struct, field

from service.events import Result
from service.settings import Settings
from workers.backfill import aircall, dialpad, plivo, ringcentral, twilio, vonage, zoom
from workers.backfill.api import Pause
from workers.backfill.types import Access, CallLog
from workers.subscriptions.errors import NotReady

NO_COARSE: Final[Mapping[Result, frozenset[Result]]] = {}


class LogSource(Struct, frozen=True, kw_only=True):
    """
    A source whose call log can be read.

    `needs` are the settings of its API without which that cannot be, without the source's prefix.
    Where the secret of the source is one of the credentials too, `fallback_credential` is the
    setting to name where there is none. Without `has_list` single calls can be read, and no span of
    time. `rights` is what the credentials must be allowed to do, for
    an operator. `coarse` are the results that webhooks may show where the log shows no more than
    the one by which they are listed.
    """

    slug: str
    needs: tuple[str, ...]
    rights: str
    open: Callable[[Access], CallLog]
    fallback_credential: str = ""
    has_list: bool = True
    coarse: Mapping[Result, frozenset[Result]] = field(default_factory=lambda: NO_COARSE)

    def missing_settings(self, settings: Settings) -> tuple[str, ...]:
        """The settings that are missing, by their names in the environment."""
        api = settings.api_of(self.slug)
        missing = [f"{self.slug}_{name}".upper() for name in self.needs if not api.get(name)]
        has_secret = "api_key" in api or bool(settings.secrets_of(self.slug).values)
        if self.fallback_credential and not has_secret:
            missing.append(self.fallback_credential)
        return tuple(missing)

    def has_credentials(self, settings: Settings) -> bool:
        """Whether some of the settings of its API are there."""
        names = (f"{self.slug}_{name}" for name in self.needs)
        return any(name in settings.of_sources for name in names)

    def is_set_up(self, settings: Settings) -> bool:
        """Whether the log can be asked for."""
        return not self.missing_settings(settings)

    def connect(
        self,
        settings: Settings,
        *,
        is_patient: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
        pause: Pause = asyncio.sleep,
    ) -> CallLog:
        """
        The call log by the account's credentials; no request is sent yet. Raises `NotReady` that
        names the settings that are missing.
        """
        missing = self.missing_settings(settings)
        if missing:
            raise NotReady(f"set {' and '.join(missing)}: {self.rights}")
        return self.open(
            Access(
                credentials=settings.api_of(self.slug),
                secrets=settings.secrets_of(self.slug).values,
                is_patient=is_patient,
                transport=transport,
                pause=pause,
            )
        )


_ALL: Final = (
    LogSource(
        slug="aircall",
        needs=aircall.NEEDS,
        rights="an API key of the company",
        open=aircall.open_log,
    ),
    LogSource(
        slug="dialpad",
        needs=dialpad.NEEDS,
        rights="a key of a company admin, with the scope calls:list",
        open=dialpad.open_log,
    ),
    LogSource(
        slug="plivo",
        needs=plivo.NEEDS,
        fallback_credential="PLIVO_AUTH_TOKEN",
        rights="auth id and auth token of the account",
        open=plivo.open_log,
        # Without machine detection every call that was picked up is connected.
        coarse={
            Result.CONNECTED: frozenset({Result.LEFT_VOICEMAIL}),
            Result.NO_ANSWER: frozenset({Result.CANCELLED}),
        },
    ),
    LogSource(
        slug="ringcentral",
        needs=ringcentral.NEEDS,
        rights="an app with the permission Read Call Log, and the JWT of an admin",
        open=ringcentral.open_log,
    ),
    LogSource(
        slug="twilio",
        needs=twilio.NEEDS,
        fallback_credential="TWILIO_API_KEY",
        rights="an API key that may read calls and recordings, or the auth token",
        open=twilio.open_log,
        # A call resource holds no SIP code.
        coarse={
            Result.FAILED: frozenset({Result.INVALID_NUMBER, Result.REJECTED, Result.NO_ANSWER}),
            Result.NO_ANSWER: frozenset({Result.REJECTED}),
            Result.BUSY: frozenset({Result.REJECTED}),
        },
    ),
    LogSource(
        slug="vonage",
        needs=vonage.NEEDS,
        has_list=False,
        rights="API key and secret of an account with the Reports API",
        open=vonage.open_log,
    ),
    LogSource(
        slug="zoom",
        needs=zoom.NEEDS,
        rights="an app with phone:read:list_call_logs:admin and phone:read:call_log:admin",
        open=zoom.open_log,
    ),
)
LOGS: Final[Mapping[str, LogSource]] = {source.slug: source for source in _ALL}
