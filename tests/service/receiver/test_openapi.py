"""
docs/openapi.yaml describes what the receiver serves: requests that schemathesis makes from the file
are answered by the real receiver, over loopback and a real Redis, as the file says.
"""

import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import requests
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook

from service.receiver.app import Addition, create_app
from service.receiver.connection_table import ConnectionLimits
from service.receiver.overload import OverloadLimits
from service.receiver.receiver_server import ServerEvents, StopTimes
from service.receiver.server import make_server
from service.settings import Installation
from service.sources import SOURCES
from service.webhook_urls import path_token
from tests.conftest import ADMIN_TOKEN, STANDARD_SECRET
from workers.metrics.endpoint import Metrics

FILE: Final = Path(__file__).parents[3] / "docs" / "openapi.yaml"
METHODS: Final = ("get", "put", "post", "delete")
METRICS_TOKEN: Final = "metrics-token-of-the-tests"
URL_SECRET: Final = "url-secret-of-the-tests-of-32-characters"
STANDARD: Final = "/webhooks/standard"
CONTACTS: Final = "/webhooks/buildr/t/{token}"
# Of these the file cannot say which values are right: a sender's proof, the order of two moments.
PROVED: Final = "/webhooks/"
SEMANTIC: Final = (PROVED, "/expected-calls")
TIMEOUT_S: Final = 20
EXAMPLES: Final = 40 if os.environ.get("THOROUGH") else 2
NUMBERS: Final = ("+15005550006", "(415) 555-2671", "+44 20 7946 0018", "415-555-2671 x12")


@cache
def document() -> dict[str, Any]:
    """The file."""
    content: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return content


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """What the file describes, by path and method."""
    return {
        (path, method.upper()): item[method]
        for path, item in document()["paths"].items()
        for method in METHODS
        if method in item
    }


@pytest.fixture
def installation(redis_url: str, make_installation: Callable[..., Installation]) -> Installation:
    """Everything is on that the file describes."""
    return make_installation(
        REDIS_URL=redis_url, METRICS_TOKEN=METRICS_TOKEN, URL_SECRET=URL_SECRET
    )


@pytest.fixture
def base_url(installation: Installation) -> Iterator[str]:
    """The real receiver on loopback, until the test ends."""
    metrics = Metrics.of(installation)
    app = create_app(installation, addition=Addition(routes=metrics.routes(), close=metrics.close))
    is_ready = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = make_server(
            app,
            ConnectionLimits(connections=100),
            overload=OverloadLimits(requests=100, body_bytes=2**26),
            keep_alive_s=75,
            times=StopTimes(linger_s=0, grace_s=5),
            events=ServerEvents(on_ready=is_ready.set),
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert is_ready.wait(TIMEOUT_S)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(TIMEOUT_S)


def test_every_route_is_in_the_file(installation: Installation) -> None:
    """Neither has the service a route that the file does not have, nor the other way round."""
    app = create_app(installation, addition=Addition(routes=Metrics.of(installation).routes()))
    served: set[tuple[str, str]] = set()
    for route in app.routes:
        path = re.sub(r":path}", "}", getattr(route, "path", "")).rstrip("/")
        methods = getattr(route, "methods", None) or {"POST"}
        served |= {(path, method) for method in methods if method != "HEAD"}
    # One source of `/webhooks/{source}`, written out since its body is ours.
    assert served == operations().keys() - {(STANDARD, "POST")}


def test_sources_are_those_of_the_registry() -> None:
    """A source that is added is in the file."""
    assert sorted(SOURCES) == document()["components"]["schemas"]["Source"]["enum"]


@pytest.mark.slow
def test_the_receiver_answers_as_the_file_says(base_url: str) -> None:
    """
    For each operation valid requests are taken and wrong ones refused, and every answer has the
    status, headers and body that the file states.
    """
    import schemathesis
    from schemathesis.checks import CHECKS, load_all_checks
    from schemathesis.core.result import Ok
    from schemathesis.generation import GenerationMode

    load_all_checks()
    schemathesis.openapi.format("telephone-number", st.sampled_from(NUMBERS))
    schema = schemathesis.openapi.from_path(str(FILE))
    keys = count()
    session = requests.Session()
    session.trust_env = False

    def check(operation: Any, mode: GenerationMode) -> None:
        names = _checks(operation.path, is_positive=mode is GenerationMode.POSITIVE)
        checks = CHECKS.get_by_names(names)

        @settings(
            max_examples=EXAMPLES,
            derandomize=EXAMPLES < 10,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode, headers=_token(operation.path)))
        def one(case: Any) -> None:
            request = case.as_transport_kwargs(base_url=base_url)
            _authorize(operation.path, request, f"m{next(keys)}")
            response = session.request(**request, timeout=TIMEOUT_S)
            case.validate_response(response, checks=checks)

        one()

    for result in schema.get_all_operations():
        operation = result.ok() if isinstance(result, Ok) else pytest.fail(str(result.err()))
        check(operation, GenerationMode.POSITIVE)
        # Without its proof a message is refused, whatever else is wrong with it.
        is_refused_anyway = operation.path.startswith(PROVED) and operation.path != CONTACTS
        if operation.body and not is_refused_anyway:
            check(operation, GenerationMode.NEGATIVE)
    session.close()


def _checks(path: str, *, is_positive: bool) -> list[str]:
    names = [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    ]
    if is_positive and not path.startswith(SEMANTIC):
        names.append("positive_data_acceptance")
    if not is_positive and not path.startswith(PROVED):
        names.append("negative_data_rejection")
    return names


def _token(path: str) -> dict[str, str]:
    if path == "/metrics":
        return {"Authorization": f"Bearer {METRICS_TOKEN}"}
    if path.startswith(PROVED):
        return {}
    return {"Authorization": f"Bearer {ADMIN_TOKEN}"}


def _authorize(path: str, request: dict[str, Any], key: str) -> None:
    """Put what proves its sender into a request."""
    headers = dict(request.get("headers") or {})
    if path == CONTACTS:
        token = path_token(URL_SECRET, "buildr")
        request["url"] = re.sub("/t/[^?]*", f"/t/{token}", request["url"])
    elif path == STANDARD:
        body = json.dumps(request.pop("json", {}))
        now = datetime.now(UTC)
        headers |= {
            "Content-Type": "application/json",
            "webhook-id": key,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(STANDARD_SECRET).sign(key, now, body),
        }
        request["data"] = body.encode()
    request["headers"] = headers


@pytest.mark.slow
def test_wrong_methods_and_missing_tokens_are_refused_as_the_file_says(base_url: str) -> None:
    """405 names the methods, 401 the scheme; both are problem+json."""
    with httpx.Client(base_url=base_url, trust_env=False) as client:
        for (path, method), operation in operations().items():
            address = re.sub("{.*?}", "1", path.replace("{source}", "standard"))
            if "405" in operation["responses"] and not path.startswith("/webhooks/{"):
                _assert_refused(client.request("PATCH", address), 405, "allow")
            # The fifth wrong token in a row is answered 429.
            if "security" in operation and method == "GET":
                _assert_refused(client.request(method, address), 401, "www-authenticate")


def _assert_refused(response: httpx.Response, status: int, header: str) -> None:
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    ), response.url
    assert response.headers[header]
