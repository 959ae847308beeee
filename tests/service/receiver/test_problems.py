"""
Errors as the sender sees them.
"""

import json
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send
from structlog.testing import capture_logs

from service.errors import (
    MessageError,
    PayloadTooLarge,
    QueueUnavailable,
    WrongMethod,
)
from service.receiver.problems import (
    PROBLEMS,
    ServerErrorMiddleware,
    handlers,
    problem,
    problem_of,
)


def _subclasses(of: type[MessageError]) -> Iterator[type[MessageError]]:
    for subclass in of.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def _content(response: Response) -> dict[str, object]:
    content: dict[str, object] = json.loads(bytes(response.body))
    return content


def test_every_message_error_has_a_row() -> None:
    """An error without a row would leave its sender without advice."""
    assert {
        subclass
        for subclass in _subclasses(MessageError)
        if subclass.__module__ == "service.errors"
    } == set(PROBLEMS)


def test_names_of_types_are_unique() -> None:
    """A type stands for one kind of error."""
    assert len(PROBLEMS) == len({row.slug for row in PROBLEMS.values()})


@pytest.mark.parametrize("kind", list(PROBLEMS))
def test_answer_is_read_off_the_class(kind: type[MessageError]) -> None:
    """Status and title are the class's; what the error says stays with us."""
    err = kind("S3CR3T")
    response = problem_of(err)
    assert (kind.http_status, "application/problem+json") == (
        response.status_code,
        response.media_type,
    )
    content = _content(response)
    assert (kind.title, int(kind.http_status)) == (content["title"], content["status"])
    assert str(content["type"]).startswith("urn:buildr-calls:problem:")
    assert "S3CR3T" not in bytes(response.body).decode()


def test_wrong_method_names_the_right_one() -> None:
    """RFC 9110 wants Allow with a 405."""
    assert "POST" == problem_of(WrongMethod("GET")).headers["allow"]


def test_problem_without_title_has_that_of_its_status() -> None:
    """RFC 9457: `about:blank` goes with the status's own phrase."""
    assert {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "x"} == _content(
        problem(404, detail="x")
    )


async def _fail_http(_: Request) -> Response:
    raise HTTPException(409, "Do something else.", headers={"X-A": "1"})


async def _fail_message(_: Request) -> Response:
    raise PayloadTooLarge("S3CR3T")


async def _fail_queue(_: Request) -> Response:
    raise QueueUnavailable("S3CR3T", retry_after_s=7)


async def _fail_unexpectedly(_: Request) -> Response:
    raise ZeroDivisionError("S3CR3T")


async def _fail_late(_: Scope, __: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ZeroDivisionError("S3CR3T")


@pytest.fixture
def client() -> httpx.AsyncClient:
    """A client of an application in which everything fails."""
    endpoints = {
        "http": _fail_http,
        "message": _fail_message,
        "queue": _fail_queue,
        "unexpected": _fail_unexpectedly,
    }
    routes = [Route(f"/{name}", endpoint) for name, endpoint in endpoints.items()]
    app = Starlette(
        routes=routes, middleware=[Middleware(ServerErrorMiddleware)], exception_handlers=handlers()
    )
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://inner.example.test"
    )


@pytest.mark.parametrize(
    ("path", "status", "detail", "header"),
    [
        ("/http", 409, "Do something else.", ("x-a", "1")),
        ("/message", 413, PROBLEMS[PayloadTooLarge].advice, None),
        ("/queue", 503, "Send the request again in 7 seconds.", ("retry-after", "7")),
        (
            "/unexpected",
            500,
            "Send the request again. The log of this service says what went wrong.",
            None,
        ),
        ("/nowhere", 404, "Nothing is here. Webhooks go to /webhooks/SOURCE.", None),
    ],
)
async def test_every_error_becomes_a_problem(
    client: httpx.AsyncClient, path: str, status: int, detail: str, header: tuple[str, str] | None
) -> None:
    """Whatever goes wrong, the answer has one form, says what to do, and nothing of the reason."""
    response = await client.get(path)
    assert (status, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert detail == response.json()["detail"]
    assert "S3CR3T" not in response.text
    if header is not None:
        assert header[1] == response.headers[header[0]]


async def test_wrong_method_of_a_route_is_a_problem_with_allow(client: httpx.AsyncClient) -> None:
    """Starlette's own errors take the same form and keep their headers."""
    response = await client.post("/http")
    assert (405, "application/problem+json") == (
        response.status_code,
        response.headers["content-type"],
    )
    assert {"GET", "HEAD"} == set(response.headers["allow"].split(", "))


async def test_unexpected_error_is_logged_once_with_its_traceback(
    client: httpx.AsyncClient,
) -> None:
    """A bug is one line of level error, and goes no further."""
    with capture_logs() as entries:
        await client.get("/unexpected")
    assert [
        {
            "event": "request.broken",
            "log_level": "error",
            "method": "GET",
            "status_code": 500,
            "exc_info": True,
        }
    ] == entries


async def test_error_after_the_answer_began_is_logged_and_not_answered_twice() -> None:
    """There is nothing left to answer, yet somebody must hear of it."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with capture_logs() as entries:
        await ServerErrorMiddleware(_fail_late)({"type": "http", "method": "GET"}, receive, send)
    assert ["request.broken"] == [entry["event"] for entry in entries]
    assert ["http.response.start"] == [message["type"] for message in sent]


async def test_error_at_start_is_not_swallowed() -> None:
    """An application that cannot start must not look as if it had."""
    with pytest.raises(ZeroDivisionError):
        await ServerErrorMiddleware(_fail_late)({"type": "lifespan"}, _nothing, _swallow)


async def _nothing() -> Message:
    return {}


async def _swallow(_: Message) -> None:
    pass
