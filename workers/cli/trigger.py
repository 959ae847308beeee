"""
`buildr-calls trigger`: a realistic call, signed and sent to one's own receiver.
"""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import click
import httpx

from service.errors import MalformedPayload
from service.settings import Installation, Settings
from service.sources import SOURCES, WebhookRequest
from service.sources.common.request_file import read_request
from service.sources.settings import Secrets
from service.webhook_urls import strip_credentials
from workers.cli.output import (
    Failure,
    account_names,
    command_line,
    load_accounts,
    print_json,
)
from workers.simulator.network import Arrival, simulate_deliveries
from workers.simulator.requests import (
    headers_of,
    local_path,
    local_url,
    signed_url,
    to_receiver,
)
from workers.simulator.scenarios import ScenarioError, load, names

TIMEOUT_S = 15.0


@click.command()
@click.argument("source", type=click.Choice(sorted(SOURCES)))
@click.argument("scenario", required=False)
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
    help="Late, twice and out of order, as the system would when it comes again.",
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
    requests = _requests(source, scenario, assignments, file, settings)
    if requests is None:
        for name in names(source):
            listed = load(source, name)
            click.echo(f"{name:<32} {listed.ends.result or '':<20} {listed.title}")
        return
    requests = [to_receiver(request, settings) for request in requests]
    plain = [Arrival(request=request, try_number=1, late_s=0) for request in requests]
    tries = (
        simulate_deliveries(requests, SOURCES[source].retry_policy, random.SystemRandom())
        if has_faults
        else plain
    )
    secrets = settings.secrets_of(source)
    if not secrets:
        raise Failure(f"{source} has no secret to sign with: {_cure(source, installation)}")
    target = (url or local_url(settings)).rstrip("/")
    answers = []
    with httpx.Client(timeout=TIMEOUT_S) as client:
        for attempt in tries:
            signed = _signed(source, attempt.request, secrets)
            answers.append(
                _send(client, target + local_path(settings, signed), signed)
                | _told(attempt, has_faults=has_faults)
            )
            if not as_json:
                click.echo(_line(attempt, answers[-1], has_faults=has_faults))
    ref = (
        f"{source}:{SOURCES[source].keys(SOURCES[source].redact(requests[0])).source_call_id}"
        if scenario
        else None
    )
    if as_json:
        print_json({"call": ref, "answers": answers})
    elif ref is not None:
        click.echo(f"see: {command_line(settings, f'explain {ref}')}")
    if any(not str(answer["status_code"]).startswith("2") for answer in answers):
        raise SystemExit(1)


def _signed(source: str, request: WebhookRequest, secrets: Secrets) -> WebhookRequest:
    try:
        return SOURCES[source].sign(request, secrets, datetime.now(UTC))
    except (ValueError, MalformedPayload) as err:
        raise Failure(f"{source}: {err}") from err


def _told(arrival: Arrival, *, has_faults: bool) -> dict[str, object]:
    return {"try": arrival.try_number, "late_s": arrival.late_s} if has_faults else {}


def _line(arrival: Arrival, answer: Mapping[str, object], *, has_faults: bool) -> str:
    late = (
        f"try {arrival.try_number}, {timedelta(seconds=arrival.late_s)} late"
        if arrival.try_number > 1
        else "try 1"
    )
    path = urlsplit(strip_credentials(arrival.request.url)).path
    return (
        f"{answer['status_code']}  {arrival.request.method} {path}  "
        + (f"{late:<28}  " if has_faults else "")
        + str(answer["about"])
    )


def _cure(source: str, installation: Installation) -> str:
    settings = installation.default
    name = SOURCES[source].settings[0].name
    if not settings.is_default:
        return f"set {name} in [accounts.{settings.account}]"
    if not installation.is_default_active:
        return f"choose an account with --account: {account_names(installation)}"
    return f"set {name.upper()}"


def _requests(
    source: str,
    scenario: str | None,
    assignments: tuple[str, ...],
    file: Path | None,
    settings: Settings,
) -> list[WebhookRequest] | None:
    if file is not None:
        if scenario is not None or assignments:
            raise click.UsageError("--file goes without a scenario and without --set")
        try:
            return [read_request(file.read_text(encoding="utf-8"), base_url=signed_url(settings))]
        except MalformedPayload as err:
            raise Failure(f"{file}: {err}") from err
    if scenario is None:
        return None
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
    except httpx.TransportError as err:
        raise Failure(
            f"no answer from {strip_credentials(url).partition('?')[0]} ({type(err).__name__}): is the receiver running?"
        ) from err
    about = (
        "accepted"
        if answer.is_success
        else str(answer.json().get("detail", ""))
        if "json" in answer.headers.get("content-type", "")
        else ""
    )
    return {"status_code": answer.status_code, "about": about}
