"""
`buildr-calls trigger`: signs a realistic call and sends it to the local receiver.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click
import httpx

from service.errors import MalformedPayload
from service.settings import Installation, Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.ids import BUILDR_CALL_ID
from service.sources.common.request_file import read_request
from service.sources.common.setting_checks import is_loopback
from service.sources.settings import Secrets
from service.webhook_urls import strip_credentials
from workers.cli.accounts import account_names, command_line, load_accounts
from workers.cli.arguments import OneOf
from workers.cli.failure import Failure
from workers.cli.output import echo, print_json
from workers.cli.receiver_answer import answer_text
from workers.simulator.network import Arrival, simulate_deliveries
from workers.simulator.requests import (
    headers_of,
    local_path,
    local_url,
    signed_url,
    to_receiver,
)
from workers.simulator.scenarios import ScenarioError, load, names

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# As long as the vendors wait that wait longest.
TIMEOUT_S = 15.0


def complete_scenario(
    ctx: click.Context, _: click.Parameter, incomplete: str
) -> list["CompletionItem[str]"]:
    """The scenarios of the source before it that begin so, for a shell."""
    from click.shell_completion import CompletionItem

    source = str(ctx.params.get("source"))
    if source not in SOURCES:
        return []
    return [
        CompletionItem(name, help=load(source, name).title)
        for name in names(source)
        if name.startswith(incomplete)
    ]


@click.command()
@click.argument("source", type=OneOf(sorted(SOURCES)))
@click.argument("scenario", required=False, shell_complete=complete_scenario)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Own data, like buildr_call_id=110 or to=+15005550006.",
)
@click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Send this request file instead.",
)
@click.option("--url", help="The receiver's address; default: HOST and PORT of the settings.")
@click.option(
    "--faults",
    "has_faults",
    is_flag=True,
    help="Late, twice and out of order, as the system would when it retries.",
)
@click.option(
    "--write",
    "may_write",
    is_flag=True,
    help="The call names a Buildr call of your real account: let its outcome be written there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def trigger(
    source: str,
    scenario: str | None,
    assignments: tuple[str, ...],
    file: Path | None,
    url: str | None,
    *,
    has_faults: bool,
    may_write: bool,
    as_json: bool,
) -> None:
    """
    Sign and send a realistic call to your own receiver.

    Without SCENARIO it lists those that there are.

    \b
    Examples:
      buildr-calls trigger twilio answered --set buildr_call_id=110
      buildr-calls trigger standard no-answer --set buildr_call_id=111
      buildr-calls trigger zoom missed --faults
      buildr-calls trigger twilio --file request.json
      buildr-calls trigger twilio answered --account acme
    """
    installation = load_accounts(is_local=True)
    settings = installation.default
    if file is not None:
        if scenario is not None or assignments:
            raise click.UsageError("--file goes without a scenario and without --set")
        requests = [_file_request(file, settings)]
    elif scenario is not None:
        requests = _scenario_requests(source, scenario, assignments, settings)
    else:
        _list_scenarios(source)
        return
    secrets = settings.secrets_of(source)
    if not secrets:
        raise Failure(f"{source} has no secret to sign with: {_advice(source, installation)}")
    if not may_write:
        _refuse_real_write(source, requests, assignments, settings)
    requests = [to_receiver(request, settings) for request in requests]
    arrivals = _arrivals(source, requests, has_faults=has_faults)
    target = (url or local_url(settings)).rstrip("/")
    answers = []
    # The receiver of this machine is never behind a proxy of the environment; another one may be.
    with httpx.Client(timeout=TIMEOUT_S, trust_env=url is not None) as client:
        for arrival in arrivals:
            # When its turn comes: signatures hold a time, and one made for all would be too old for
            # the last.
            signed = _sign(source, arrival.request, secrets)
            answer = _send(client, target + local_path(settings, signed), signed)
            if not as_json:
                echo(_line(arrival, answer, has_faults=has_faults))
            if has_faults:
                answer |= {"try": arrival.try_number, "late_s": arrival.late_s}
            answers.append(answer)
    ref = None
    if scenario:
        ref = _call_ref(source, requests[0])
    _end(settings, ref, answers, as_json=as_json)


def _refuse_real_write(
    source: str,
    requests: Sequence[WebhookRequest],
    assignments: tuple[str, ...],
    settings: Settings,
) -> None:
    """Ends the command if a simulated call would change a call of a real Buildr account."""
    names_call = any(item.startswith(f"{BUILDR_CALL_ID}=") for item in assignments)
    if not names_call and not any(request.buildr_call_id for request in requests):
        return
    host = urlsplit(settings.buildr_api_url).hostname or ""
    if settings.has_buildr_credentials and not is_loopback(host):
        raise Failure(
            f"the outcome of this simulated call would be written to a real call, at {host}. To "
            f"try all but that: {command_line(settings, f'check --live {source}')}. To write it: "
            "the same command with --write"
        )


def _end(
    settings: Settings, ref: str | None, answers: Sequence[Mapping[str, object]], *, as_json: bool
) -> None:
    """Print JSON, or the command to use next. Exit code 1 if a request was not accepted."""
    if as_json:
        print_json({"call": ref, "answers": answers})
    elif ref is not None:
        echo(f"see: {command_line(settings, f'explain {ref}')}")
    if any(not str(answer["status_code"]).startswith("2") for answer in answers):
        raise SystemExit(1)


def _list_scenarios(source: str) -> None:
    for name in names(source):
        scenario = load(source, name)
        echo(f"{name:<32} {scenario.ends.result or '':<20} {scenario.title}")


def _arrivals(
    source: str, requests: Sequence[WebhookRequest], *, has_faults: bool
) -> Iterable[Arrival]:
    """The requests as they reach the receiver: each once and in order, unless `has_faults`."""
    if has_faults:
        return simulate_deliveries(requests, SOURCES[source].retry_policy, random.SystemRandom())
    return [Arrival(request=request, try_number=1, late_s=0) for request in requests]


def _call_ref(source: str, request: WebhookRequest) -> str:
    keys = SOURCES[source].keys(SOURCES[source].redact(request))
    return f"{source}:{keys.source_call_id}"


def _sign(source: str, request: WebhookRequest, secrets: Secrets) -> WebhookRequest:
    try:
        return SOURCES[source].sign(request, secrets, datetime.now(UTC))
    except (ValueError, MalformedPayload) as err:
        raise Failure(f"{source}: {err}") from err


def _line(arrival: Arrival, answer: Mapping[str, object], *, has_faults: bool) -> str:
    path = urlsplit(strip_credentials(arrival.request.url)).path
    start = f"{answer['status_code']}  {arrival.request.method} {path}  "
    if not has_faults:
        return f"{start}{answer['about']}"
    attempt = f"try {arrival.try_number}"
    if arrival.try_number > 1:
        attempt += f", {timedelta(seconds=arrival.late_s)} late"
    return f"{start}{attempt:<28}  {answer['about']}"


def _advice(source: str, installation: Installation) -> str:
    settings = installation.default
    name = SOURCES[source].settings[0].name
    if not settings.is_default:
        return f"set {name} in [accounts.{settings.account}]"
    if not installation.is_default_active:
        return f"choose an account with --account: {account_names(installation)}"
    return f"set {name.upper()}"


def _file_request(file: Path, settings: Settings) -> WebhookRequest:
    """The request of a file. Ends the command with one line if it is not one."""
    try:
        return read_request(file.read_text(encoding="utf-8"), base_url=signed_url(settings))
    except UnicodeDecodeError as err:
        raise Failure(f"{file}: cannot be read: not a text file") from err
    except MalformedPayload as err:
        raise Failure(f"{file}: {err}") from err


def _scenario_requests(
    source: str, scenario: str, assignments: tuple[str, ...], settings: Settings
) -> list[WebhookRequest]:
    """
    The unsigned requests of a scenario. Raises click's usage error if there is none of that name,
    or a value does not fit.
    """
    try:
        return load(source, scenario).build_requests(
            _values(assignments),
            base_url=signed_url(settings),
            start_at=datetime.now(UTC),
            rng=random.SystemRandom(),
        )
    except (ScenarioError, MalformedPayload) as err:
        raise click.UsageError(str(err)) from err


def _values(assignments: tuple[str, ...]) -> Mapping[str, str]:
    values = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not (key and equals):
            raise click.UsageError(f"--set {assignment}: write KEY=VALUE, like buildr_call_id=110")
        values[key] = value
    return values


def _send(client: httpx.Client, url: str, signed: WebhookRequest) -> dict[str, object]:
    try:
        answer = client.request(signed.method, url, content=signed.body, headers=headers_of(signed))
    except httpx.InvalidURL as err:
        raise click.UsageError(f"--url: {err}") from err
    except httpx.TransportError as err:
        address = strip_credentials(url).partition("?")[0]
        raise Failure(
            f"no answer from {address} ({type(err).__name__}): is the receiver running?"
        ) from err
    return {"status_code": answer.status_code, "about": answer_text(answer)}
