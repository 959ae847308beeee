"""
`buildr-calls dial-token`: who may use the dial page.
"""

from datetime import datetime
from typing import Final

import click

from service.clock import utc_now
from service.settings import Settings
from service.store.call_listing import CallQuery
from service.store.connection import Store
from service.store.dial_tokens import DialToken
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json, print_table
from workers.cli.session import run_with_store

MAX_NAME: Final = 100
PAGE: Final = "/dial"


class PrintableName(click.ParamType[str]):
    """A name of 1 to 100 printable characters."""

    name = "name"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Read it. Raises click's usage error."""
        text = str(value).strip()
        if not text or len(text) > MAX_NAME or not text.isprintable():
            self.fail(f"must be a text of 1 to {MAX_NAME} printable characters", param, ctx)
        return text


@click.group("dial-token")
def dial_token() -> None:
    """
    Say who may call from the dial page: a personal link for each.

    \b
    Examples:
      buildr-calls dial-token add "Ana Lopez" --agent ana@example.com
      buildr-calls dial-token list
      buildr-calls dial-token revoke 5f0c21aa
    """


@dial_token.command("add")
@click.argument("name", type=PrintableName())
@click.option(
    "--agent",
    type=PrintableName(),
    help="How the telephony system names them, like ana@example.com; if not given, their calls are "
    "matched by the number alone.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def add_token(*, name: str, agent: str | None, as_json: bool) -> None:
    """
    Make a personal link to the dial page. It is shown once; whoever has it calls as this person.

    \b
    Example:
      buildr-calls dial-token add "Ana Lopez" --agent ana@example.com
    """

    async def work(settings: Settings, store: Store) -> tuple[Settings, DialToken, str, bool]:
        if settings.dialler is None:
            raise Failure("there is no dial page: set DIALLER, like DIALLER=tel, and restart")
        token, text = await store.dial_tokens.add(name, agent=agent, now=utc_now())
        is_known = agent is None or await _has_call_of(store, agent)
        return settings, token, text, is_known

    settings, token, text, is_known = run_with_store(work)
    link = f"{settings.base_url}{PAGE}/login#token={settings.account}.{text}"
    if as_json:
        print_json({**_as_dict(token), "link": link})
        return
    echo(f"Send this link to {name}, and to nobody else. It is not shown again.\n\n  {link}\n")
    if not is_known:
        echo(
            f"No stored call is of the agent {agent!r}. If the telephony system names them "
            "otherwise, their calls stay unmatched: see the names in buildr-calls calls.",
            is_error=True,
        )
    echo(f"Withdraw it with: buildr-calls dial-token revoke {token.token_id}")


@dial_token.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_tokens(*, as_json: bool) -> None:
    """
    List the people who may call from the dial page.

    \b
    Example:
      buildr-calls dial-token list
    """

    async def work(_: Settings, store: Store) -> list[dict[str, object]]:
        log_ins = await store.dial_tokens.last_log_ins()
        tokens = await store.dial_tokens.all()
        return [_as_dict(token, log_ins.get(token.token_id)) for token in tokens]

    rows = run_with_store(work)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "name", "agent", "made (UTC)", "last log-in (UTC)"),
        [
            (
                str(row["id"]),
                str(row["name"]),
                str(row["agent"] or ""),
                _minute(row["created_at"]),
                _minute(row["last_log_in_at"]),
            )
            for row in rows
        ],
        empty="Nobody may use the dial page. Make a link: buildr-calls dial-token add NAME",
    )


@dial_token.command("revoke")
@click.argument("token_id", metavar="ID")
def revoke_token(token_id: str) -> None:
    """
    Withdraw a personal link; its sessions end at once. What was registered stays.

    \b
    Example:
      buildr-calls dial-token revoke 5f0c21aa
    """
    if not run_with_store(lambda _, store: store.dial_tokens.revoke(token_id)):
        raise Failure(f"there is no token {token_id!r}; see: buildr-calls dial-token list")
    echo(f"withdrawn: {token_id} opens the dial page no more")


async def _has_call_of(store: Store, agent: str) -> bool:
    page = await store.listing.page(CallQuery(agent=agent), limit=1)
    return bool(page.calls)


def _as_dict(token: DialToken, last_log_in_at: datetime | None = None) -> dict[str, object]:
    last_log_in = None
    if last_log_in_at is not None:
        last_log_in = last_log_in_at.isoformat()
    return {
        "id": token.token_id,
        "name": token.name,
        "agent": token.agent,
        "created_at": token.created_at.isoformat(),
        "last_log_in_at": last_log_in,
    }


def _minute(text: object) -> str:
    """A moment of ISO 8601, to the minute."""
    if text is None:
        return "never"
    return str(text)[:16].replace("T", " ")
