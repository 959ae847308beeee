"""
uvicorn's HTTP protocol with limits: to the head, to the parts of a body, to the time of each step.

uvicorn itself has none of them: a head may be endless, and a connection silent for ever.
"""

import asyncio
from typing import Any, Final, cast

import httptools
from starlette.types import Scope
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.receiver.connection_table import ConnectionTable, Cut, Phase, Rank
from service.receiver.cut_answers import ANSWERS
from service.receiver.direct_path import PREFIX as DIRECT_PREFIX
from service.receiver.exchange import Exchange, complete_scope
from service.receiver.overload import DirectWay
from service.receiver.requests import IS_COMPLETE

# Local names: to read a member off its class takes Python 3.11 as long as a call.
FRESH: Final = Phase.FRESH
HEAD: Final = Phase.HEAD
BODY: Final = Phase.BODY
DONE: Final = Phase.DONE
PREFIX: Final = DIRECT_PREFIX.encode()


class _Refused(Exception):
    """Raised in a callback of the parser, which then stops."""


class LimitedProtocol(HttpToolsProtocol):
    """
    One connection. Its limits and the count of all are in the `ConnectionTable` that it is given as
    the server's state.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        table = cast("ConnectionTable", server_state)
        self.table = table
        self.limits = table.limits
        self.phase = FRESH
        # Exact, so that the oldest of many is known.
        self.since = table.clock()
        self._is_cut = False
        self._cut = Cut.BAD_REQUEST
        # Bytes of a head, or of a body's frame (trailers, sizes of chunks), since the body's last
        # byte. httptools copies what it has of a value for each further piece of it, so that
        # without an end an endless one would cost the square of its length.
        self._frame_bytes = 0
        self._body_parts = 0
        self._unsent_since: float | None = None
        self._begin: DirectWay | None = getattr(self.app, "begin", None)
        # Parts of the body of a request that may take the direct way, if it is here as a whole.
        self._direct_parts: list[bytes] | None = None

    # --- what arrives

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take in a connection, if there is room for it."""
        super().connection_made(transport)
        self.table.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of all requests: each would hold the connection until the collector comes by."""
        super().connection_lost(exc)
        self.pipeline.clear()
        self.cycle = cast("RequestResponseCycle", None)

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, in pieces that are no longer than a head may be."""
        limits = self.limits
        while data and not self._is_cut:
            if self.phase is FRESH or self.phase is DONE:
                self._enter(HEAD)
            room = limits.head_bytes - self._frame_bytes
            piece = data[:room]
            data = data[room:]
            self._frame_bytes += len(piece)
            try:
                self.parser.feed_data(piece)
            except httptools.HttpParserUpgrade:
                # Nothing else is spoken here: the request is answered as if it had not asked.
                self._end_after_answer()
                return
            except httptools.HttpParserError:
                self._start_waiting()
                self.cut(self._cut)
                return
            self._start_waiting()
            # `headers` holds the trailers of a body by now, see `on_headers_complete`.
            if self._frame_bytes >= limits.head_bytes or len(self.headers or ()) > limits.headers:
                self.cut(Cut.LARGE_HEAD)

    def on_message_begin(self) -> None:
        """A request begins. One before it is begun first, since the parser forgets what it was."""
        hurry = getattr(self.cycle, "hurry", None)
        if hurry is not None:
            hurry()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Start the request, unless its head breaks a limit."""
        if len(self.headers) > self.limits.headers:
            self._cut = Cut.LARGE_HEAD
            raise _Refused
        if len(self.pipeline) >= self.limits.pipelined or self.transport.is_closing():
            raise _Refused
        # Raises for an address that is none.
        if self._begin is not None and self._is_ordinary():
            complete_scope(self.scope, self.url)
            self._direct_parts = []
        else:
            self._start_cycle()
        self._enter(BODY)
        self._body_parts = 0
        # Trailers would go into the list that the request holds as its headers: a proxy that checks
        # those has not seen them.
        self.headers = []

    def on_body(self, body: bytes) -> None:
        """Give a part of a body to the request."""
        self._frame_bytes = 0
        self._body_parts += 1
        if self._body_parts > self.limits.body_parts:
            raise _Refused
        if self._direct_parts is None:
            super().on_body(body)
        else:
            self._direct_parts.append(body)

    def on_message_complete(self) -> None:
        """The request has arrived as a whole."""
        self._enter(DONE)
        # For whoever reads the body: there is nothing to wait for.
        self.scope[IS_COMPLETE] = True  # type: ignore[typeddict-unknown-key]
        if self._direct_parts is not None:
            if self._is_begun(b"".join(self._direct_parts)):
                self._direct_parts = None
                return
            self._start_cycle()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request. As uvicorn's, but for its timer: `sweep` ends idle ones."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.phase is DONE:
            self.since = max(self.since, self.table.now)
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def pass_on(self, exchange: Exchange, body: bytes) -> None:
        """Begin an ASGI cycle for a request that was taken for the direct way, as a whole."""
        # Nothing is under way on the connection.
        self.cycle = cast("RequestResponseCycle", None)
        self._direct_parts = [body]
        self._start_cycle()
        # The parser has forgotten it by now.
        self.cycle.keep_alive = exchange.keep_alive
        self.cycle.disconnected = exchange.disconnected
        super().on_message_complete()

    # --- what the table asks for

    @property
    def rank(self) -> Rank:
        """What it is worth where there are too many connections."""
        if self.cycle is None:
            return Rank.STRANGER
        if self.phase is BODY:
            return Rank.READING
        if self.cycle.response_complete:
            return Rank.IDLE
        return Rank.WORKING

    def sweep(self, now: float) -> None:
        """End the connection if its sender has taken too long."""
        limits = self.limits
        age_s = now - self.since
        if self.phase is FRESH and age_s > limits.first_byte_s:
            self.table.count_cut(Cut.SILENT)
            self.close()
        elif self.phase is HEAD and age_s > limits.head_s:
            self.cut(Cut.SLOW_HEAD)
        elif self.phase is BODY and age_s > limits.body_s:
            self.cut(Cut.SLOW_BODY)
        elif age_s > self.timeout_keep_alive and self.rank is Rank.IDLE and self.phase is DONE:
            self.close()
        # Counted from when something was first left over, not from the last byte: a reader that
        # takes one byte a second would never be slow.
        if not self.transport.get_write_buffer_size():
            self._unsent_since = None
        elif self._unsent_since is None:
            self._unsent_since = now
        elif now - self._unsent_since > limits.answer_s:
            self.table.count_cut(Cut.SLOW_READER)
            self.abort()

    def cut(self, cut: Cut) -> None:
        """Refuse what arrives and end the connection, after the answer to an earlier request."""
        if self._is_cut:
            return
        self._is_cut = True
        # The last answer has been given; what comes after it on the same connection is not read.
        if self.transport.is_closing():
            return
        self.table.count_cut(cut)
        cycle = self.cycle
        if self.phase is BODY:
            if not cycle.response_started:
                self.transport.write(ANSWERS[cut])
            self.transport.close()
        elif self.rank is Rank.WORKING:
            self._end_after_answer()
        else:
            self.transport.write(ANSWERS[cut])
            self.transport.close()

    def close(self) -> None:
        """Close the connection, with what is written still going out."""
        self.transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def shutdown(self) -> None:
        """
        Let the answer that is under way be the last one. An idle connection stays for now: its
        sender may have sent something that has not arrived yet.
        """
        if self.rank in (Rank.READING, Rank.WORKING):
            self.cycle.keep_alive = False

    # --- parts of these

    def _is_ordinary(self) -> bool:
        """Whether a request may take the direct way, by its head and what is under way."""
        cycle = self.cycle
        return (
            self.url.startswith(PREFIX)
            and self.parser.get_method() == b"POST"
            and self.parser.get_http_version() == "1.1"
            and not (self.expect_100_continue or self.parser.should_upgrade())
            and getattr(cycle, "response_complete", True)
            and not self.flow.write_paused
        )

    def _is_begun(self, body: bytes) -> bool:
        """Whether a whole request goes the direct way, which may have answered it."""
        before = self.cycle
        keep_alive = self.parser.should_keep_alive() and not self.table.is_closing
        exchange = Exchange(self, keep_alive=keep_alive)
        self.cycle = cast("RequestResponseCycle", exchange)
        if self._begin is not None and self._begin(cast("Scope", self.scope), body, exchange):
            return True
        self.cycle = before
        return False

    def _start_cycle(self) -> None:
        """Begin an ASGI cycle, with what has arrived of the body."""
        parts = self._direct_parts or ()
        self._direct_parts = None
        super().on_headers_complete()
        if self.table.is_closing:
            self.cycle.keep_alive = False
        for part in parts:
            super().on_body(part)

    def _start_waiting(self) -> None:
        """Do so for a request that could have taken the direct way, if it were here as a whole."""
        if self._direct_parts is not None:
            self._start_cycle()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self._frame_bytes = 0
        # Never earlier: the time of the last sweep may be before the connection was opened.
        self.since = max(self.since, self.table.now)

    def _end_after_answer(self) -> None:
        self._is_cut = True
        if self.rank is Rank.WORKING:
            self.cycle.keep_alive = False
        else:
            self.transport.close()
