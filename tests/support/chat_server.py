"""A chat endpoint on this machine for tests: real HTTP over real sockets, and as hostile as it is told to be.

It runs on an event loop in a thread of its own. What a request gets is decided by its content and by how often it came
before, so a test can say what must happen whatever the order.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

__all__ = ["Call", "ChatServer", "hostile", "last_text", "score_of"]

Fault = str
"""One of the names that ``ChatServer._respond`` knows."""

TRANSIENT = (
    "429",
    "429 date",
    "500",
    "503",
    "slow",
    "cut",
    "drop",
    "html",
    "no choices",
    "two choices",
    "empty",
    "odd",
)
FINAL = ("refusal", "filter")


@dataclass
class Call:
    """One request as the server saw it."""

    key: str
    """Of the messages."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    fault: Fault | None
    seconds: float = 0.0
    answered: bool = False
    """A whole, well-formed answer was sent."""


@dataclass
class ChatServer:
    """A context manager; ``url`` is the base address.

    Args:
        answer: the body of a request to the reply's text, or to the whole ``choices[0]``.
        fault: the text of the last message and how often it came before to a fault, or None.
        service: seconds for each answer.
        slow: seconds for a slow one.
        capacity: more calls at a time than this are refused with 429.
        refuses: fields of the body that get 422, as ``transformers serve`` does.
        port: 0 takes a free one.
    """

    answer: Callable[[Mapping[str, Any]], Any] = lambda body: "ready"
    fault: Callable[[str, int], Fault | None] = lambda text, times: None
    service: float = 0.0
    slow: float = 30.0
    capacity: int | None = None
    refuses: tuple[str, ...] = ()
    port: int = 0
    usage: bool = True
    calls: list[Call] = field(default_factory=list)
    models: tuple[str, ...] = ("tiny",)
    key: str | None = None
    """The one key that is let in; None lets everybody in."""
    busiest: int = 0

    def __enter__(self) -> ChatServer:
        self._times: Counter[str] = Counter()
        self._busy = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        """Listen; on the same port as before, if it did."""

        async def listen() -> None:
            self._writers: set[asyncio.StreamWriter] = set()
            self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

        self._run(listen())

    def stop(self) -> None:
        """Break all connections and listen no more, as a machine that goes down does."""

        async def leave() -> None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()

        self._run(leave())

    def asked(self, *, answered: bool = False) -> Counter[str]:
        """Requests by key; only those that got a whole answer where said."""
        return Counter(call.key for call in list(self.calls) if call.answered or not answered)

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while await self._request(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
        if self.key is not None and headers.get("authorization") != f"Bearer {self.key}":
            await _send(writer, 401, '{"error": {"message": "no such key"}}')
            return True
        if head[0].startswith("GET"):
            await _send(writer, 200, json.dumps({"data": [{"id": name} for name in self.models]}))
            return True
        body = json.loads(raw)
        text = last_text(body)
        times = self._times[text]
        self._times[text] += 1
        call = Call(_key(body), body, headers, self.fault(text, times))
        self.calls.append(call)
        self._busy += 1
        self.busiest = max(self.busiest, self._busy)
        began = time.monotonic()
        try:
            return await self._respond(call, writer)
        finally:
            call.seconds = time.monotonic() - began
            self._busy -= 1

    async def _respond(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        fault = call.fault
        refused = [name for name in self.refuses if name in call.body]
        if refused:
            await _send(writer, 422, json.dumps({"detail": f"Unsupported fields in the request: {set(refused)}"}))
            return True
        if self.capacity is not None and self._busy > self.capacity:
            await _send(writer, 429, '{"error": {"message": "too many at a time"}}')
            return True
        if fault in ("429", "429 date", "500", "503", "401", "404"):
            wait = {"429": "0.05", "429 date": format_datetime(datetime.now(UTC) + timedelta(seconds=-1), usegmt=True)}
            extra = f"retry-after: {wait[fault]}\r\n" if fault in wait else ""
            error = json.dumps({"error": {"message": f"no, {call.headers.get('authorization', '')}"}})
            await _send(writer, int(fault.split()[0]), error, extra)
            return True
        await asyncio.sleep(self.slow if fault == "slow" else self.service)
        if fault == "drop":
            return False
        payload = self._payload(call)
        if fault == "cut":
            writer.write(_head(200, len(payload.encode())) + payload.encode()[: len(payload) // 2])
            await writer.drain()
            return False
        await _send(writer, 200, payload)
        call.answered = fault in (None, "refusal", "filter")
        return True

    def _payload(self, call: Call) -> str:
        if call.fault == "html":
            return "<html>the proxy is tired</html>"
        made = self.answer(call.body)
        choice = made if isinstance(made, Mapping) else {"message": {"content": made}, "finish_reason": "stop"}
        if call.fault == "empty":
            choice = {"message": {"content": None}, "finish_reason": "stop"}
        if call.fault == "odd":
            choice = {"message": {"content": {"not": "text"}}, "finish_reason": "stop"}
        if call.fault == "refusal":
            choice = {"message": {"content": None, "refusal": "I would rather not"}, "finish_reason": "stop"}
        if call.fault == "filter":
            choice = {"message": {"content": ""}, "finish_reason": "content_filter"}
        count = {"no choices": 0, "two choices": 2}.get(call.fault or "", 1)
        usage = {"usage": {"prompt_tokens": 100, "completion_tokens": 10}} if self.usage else {}
        return json.dumps({"id": "x", "model": "tiny", "choices": [choice] * count, **usage})


def last_text(body: Mapping[str, Any]) -> str:
    """The text of a request's last message."""
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else str(content[0]["text"])


def score_of(text: str) -> int:
    """The verdict, 0 to 10, that the tests' judges give to a text: any, but always the same."""
    return hashlib.sha256(text.encode()).digest()[0] % 11


def hostile(share: float, seed: str = "", faults: tuple[Fault, ...] = TRANSIENT) -> Callable[[str, int], Fault | None]:
    """Faults for this share of all replies, spread by content and attempt."""

    def fault(text: str, times: int) -> Fault | None:
        digest = hashlib.sha256(f"{seed}/{times}/{text}".encode()).digest()
        chosen = digest[0] / 256 < share
        return faults[digest[1] % len(faults)] if chosen else None

    return fault


def _key(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body["messages"], sort_keys=True).encode()).hexdigest()


def _head(status: int, length: int, extra: str = "") -> bytes:
    lines = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{extra}\r\n"
    return lines.encode("latin-1")


async def _send(writer: asyncio.StreamWriter, status: int, text: str, extra: str = "") -> None:
    body = text.encode()
    writer.write(_head(status, len(body), extra) + body)
    await writer.drain()
