"""The child's side of ``WorkerProcess``, and what code that runs in a worker may ask or say.

``main`` runs once in each worker: it ties its life to its parent's, builds the handler that the parent named,
limits itself, and serves requests until its parent closes the connection.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import mmap
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from typing import IO, Any

from . import wire

__all__ = ["FLAG_BYTES", "echo", "inside_worker", "limit_memory", "read_flag", "running_model_text"]

_OUTPUT_BUDGET = 64 * 1024

_FLAG = struct.Struct("=Qd")
FLAG_BYTES = _FLAG.size
"""What a worker shares with its parent: whether it runs model text, and until when (``time.monotonic``; 0: unsaid)."""

_flag: mmap.mmap | bytearray = bytearray(FLAG_BYTES)
_inside = False
_request = 0


def inside_worker() -> bool:
    """True in a process that ``WorkerProcess`` started: what hangs or crashes here is killed from outside."""
    return _inside


class running_model_text:
    """``with running_model_text(): ...`` tells the parent that what runs now is the model's own text.

    Where the worker hangs or dies inside, ``WorkerProcess.blamed`` is True after the kill: the fault is the model's
    and is scored; else it is ours. It is a few bytes of shared memory, kept per process, not per thread. It may be
    nested, costs about a microsecond, and outside a worker does nothing. ``running_model_text(False)`` says, within
    another, that what runs for now is ours: a reference statement inside a reward that runs model text.

    ``seconds`` is how long it may take: a parent that looks (``WorkerProcess.model_deadline``) need not wait for the
    deadline of the whole request.
    """

    __slots__ = ("_before", "_seconds", "_theirs")

    def __init__(self, theirs: bool = True, *, seconds: float | None = None) -> None:
        self._theirs, self._seconds = theirs, seconds

    def __enter__(self) -> None:
        self._before = _flag[:FLAG_BYTES]
        until = 0.0 if self._seconds is None else time.monotonic() + self._seconds
        _FLAG.pack_into(_flag, 0, self._theirs, until)

    def __exit__(self, *_: object) -> None:
        _flag[:FLAG_BYTES] = self._before


def read_flag(flag: mmap.mmap) -> tuple[bool, float]:
    """For the parent: whether the worker runs model text, and its deadline, 0 where it has none."""
    theirs, until = _FLAG.unpack_from(flag, 0)
    return bool(theirs), until


def current_request() -> int:
    """A number that is another for each request a worker answers; 0 elsewhere."""
    return _request


def limit_memory(headroom: int) -> None:
    """Let this process map at most ``headroom`` bytes more than it does now; above that, ``MemoryError``.

    Irrevocable. Linux only (address space, ``RLIMIT_AS``): elsewhere the system has no such limit that holds, and
    the call does nothing.
    """
    try:
        with open("/proc/self/statm", "rb") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    limit = mapped + headroom
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def echo(_: object) -> Callable[[Any], Any]:
    """The smallest target: replies with the request."""
    return lambda request: request


def main(config: dict[str, Any]) -> None:
    """Serve; never returns before the parent hangs up. ``config`` names inherited file descriptors."""
    global _flag, _inside
    _die_with_parent(config["lifeline"])
    _flag = mmap.mmap(config["flag"], FLAG_BYTES)
    os.close(config["flag"])
    _inside = True
    _harden()
    tail = _Tail(sys.stderr)
    sys.stdout = sys.stderr = tail
    with socket.socket(fileno=config["connection"]) as connection, contextlib.suppress(ConnectionError):
        connection.set_inheritable(False)
        _serve(connection, tail)


def _serve(connection: socket.socket, tail: _Tail) -> None:
    global _request
    hello = _read(connection)
    if hello is None:
        return
    try:
        handler = _build(hello["target"], hello["arguments"])
        if hello["memory_bytes"] is not None:
            limit_memory(hello["memory_bytes"])
    except BaseException as error:
        connection.sendall(_raised(error))
        return
    connection.sendall(wire.pack(["ready", None]))
    while (message := _read(connection)) is not None:
        _FLAG.pack_into(_flag, 0, False, 0.0)
        _request += 1
        tail.refill()
        for frame in _frames(handler, message["request"]):
            connection.sendall(frame)


def _frames(handler: Callable[[Any], Any], request: Any) -> Iterator[bytes]:
    try:
        reply = handler(request)
        if inspect.isgenerator(reply):
            for part in reply:
                yield wire.pack(["part", part])
            reply = None
        yield wire.pack(["reply", reply])
    except GeneratorExit:
        raise
    except BaseException as error:  # sys.exit() in a reward ends the request, not the worker
        yield _raised(error)


def _build(target: str, arguments: Any) -> Callable[[Any], Any]:
    module, _, name = target.partition(":")
    factory: Any = importlib.import_module(module)
    for part in name.split("."):
        factory = getattr(factory, part)
    handler: Callable[[Any], Any] = factory(arguments)
    return handler


def _raised(error: BaseException) -> bytes:
    # The class stands before the message, with its module where that is not Python's own.
    text = "".join(traceback.format_exception_only(error)).strip()
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    own = next((each for each in (name, type(error).__qualname__) if text == each or text.startswith(f"{each}: ")), "")
    message = text.removeprefix(own).removeprefix(": ") if own else text
    trace = "".join(traceback.format_exception(error, limit=-20))
    said = {"type": type(error).__name__, "message": message[-4096:], "traceback": trace[-16384:]}
    return wire.pack(["raised", said])


def _read(connection: socket.socket) -> Any:
    header = _read_exactly(connection, wire.HEADER.size)
    body = _read_exactly(connection, wire.size_of(header)) if header else None
    return wire.unpack(body) if body is not None else None


def _read_exactly(connection: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        chunk = connection.recv(min(count - len(data), 1 << 20))
        if not chunk:
            return None
        data += chunk
    return bytes(data)


def _die_with_parent(lifeline: int) -> None:
    """Kill this whole process group as soon as the parent's end of the pipe ``lifeline`` closes.

    The kernel does it on Linux, so that it also works while C code holds the interpreter, and whichever thread of
    the parent started us (the parent-death signal would follow that thread's death). Elsewhere a thread does it.
    """
    import fcntl

    os.set_inheritable(lifeline, False)
    set_signal = getattr(fcntl, "F_SETSIG", None)
    if set_signal is None:
        import threading

        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
        return
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, set_signal, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | fcntl.FASYNC)
    poll = select.poll()
    poll.register(lifeline, select.POLLIN)
    if poll.poll(0):  # it died before the kernel was asked
        os.killpg(0, signal.SIGKILL)


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _harden() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory runs out, the worker goes and not the training
    import faulthandler

    faulthandler.enable(sys.stderr)


class _Tail:
    """Passes the first part of each request's output on to the file that the parent reads; a flood is dropped."""

    def __init__(self, file: IO[str]) -> None:
        self._file, self._left = file, _OUTPUT_BUDGET

    def refill(self) -> None:
        self._left = _OUTPUT_BUDGET

    def write(self, text: str) -> int:
        if self._left > 0:
            part = text[: self._left]
            self._left -= len(part)
            self._file.write(part)
            self._file.flush()
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
