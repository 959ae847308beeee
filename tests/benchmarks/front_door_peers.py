"""
What the receiver is compared with: small Starlette applications that a project would write by
itself. Each answers 202; none remembers what it has taken before.

They run under the same uvicorn, event loop and parser as the receiver.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final
from urllib.parse import parse_qsl

from arq import create_pool
from arq.connections import RedisSettings
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

REDIS_URL: Final = "PEER_REDIS_URL"
TWILIO_TOKEN: Final = "PEER_TWILIO_TOKEN"
STANDARD_SECRET: Final = "PEER_STANDARD_SECRET"
BASE_URL: Final = "PEER_BASE_URL"
# Where each peer keeps its jobs.
QUEUE: Final = "peer"

Enqueue = Callable[[str], Awaitable[object]]
Opened = Callable[[], AbstractAsyncContextManager[Enqueue]]


async def _answer(request: Request) -> Response:
    await request.body()
    return Response(status_code=202)


def bare() -> Starlette:
    """Reads the body and answers: what HTTP alone takes."""
    return Starlette(routes=[Route("/webhooks/{source:path}", _answer, methods=["POST"])])


def arq() -> Starlette:
    """A proof and one `enqueue_job`."""
    return _with_queue(_open_arq)


def saq() -> Starlette:
    """The same with saq."""
    return _with_queue(_open_saq)


def taskiq() -> Starlette:
    """The same with taskiq, over a list in Redis."""
    return _with_queue(_open_taskiq)


@asynccontextmanager
async def _open_arq() -> AsyncIterator[Enqueue]:
    settings = RedisSettings(unix_socket_path=os.environ[REDIS_URL].removeprefix("unix://"))
    pool = await create_pool(settings, default_queue_name=QUEUE)

    async def enqueue(body: str) -> object:
        return await pool.enqueue_job("deliver", body)

    yield enqueue
    await pool.aclose()


@asynccontextmanager
async def _open_saq() -> AsyncIterator[Enqueue]:
    from saq.queue.redis import RedisQueue

    queue = RedisQueue(Redis.from_url(os.environ[REDIS_URL]), name=QUEUE)
    await queue.connect()

    async def enqueue(body: str) -> object:
        return await queue.enqueue("deliver", body=body)

    yield enqueue
    await queue.disconnect()


@asynccontextmanager
async def _open_taskiq() -> AsyncIterator[Enqueue]:
    from taskiq_redis import ListQueueBroker

    broker = ListQueueBroker(os.environ[REDIS_URL], queue_name=QUEUE)

    async def deliver(body: str) -> None:
        """Never run: only accepting is measured."""

    task = broker.register_task(deliver, task_name="deliver")
    await broker.startup()
    yield task.kiq
    await broker.shutdown()


def _with_queue(opened: Opened) -> Starlette:
    queues: list[Enqueue] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with opened() as enqueue:
            queues.append(enqueue)
            yield

    async def receive(request: Request) -> Response:
        body = await request.body()
        if not _is_genuine(request, body):
            return Response(status_code=401)
        await queues[0](body.decode())
        return Response(status_code=202)

    return Starlette(
        routes=[Route("/webhooks/{source}", receive, methods=["POST"])], lifespan=lifespan
    )


def _is_genuine(request: Request, body: bytes) -> bool:
    """The proof of Twilio and of Standard Webhooks, written down as shortly as their pages do."""
    headers = request.headers
    if request.path_params["source"] == "twilio":
        url = os.environ[BASE_URL] + request.url.path
        fields = sorted(parse_qsl(body.decode(), keep_blank_values=True))
        text = url + "".join(name + value for name, value in fields)
        key = os.environ[TWILIO_TOKEN].encode()
        expected = base64.b64encode(hmac.digest(key, text.encode(), hashlib.sha1))
        return hmac.compare_digest(expected, headers["x-twilio-signature"].encode())
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(os.environ[STANDARD_SECRET].removeprefix("whsec_"))
    expected = b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
    return hmac.compare_digest(expected, headers["webhook-signature"].encode())
