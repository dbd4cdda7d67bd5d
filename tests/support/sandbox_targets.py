"""What the workers of ``tests/sandbox`` run. Each function is a target: it returns a handler."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from honewise.sandbox.worker import inside_worker, running_model_text

Handler = Callable[[Any], Any]


def actions(_: object) -> Handler:
    """``[name, argument]`` does something that a worker may come to do."""
    kept: list[Any] = []

    def handle(request: list[Any]) -> Any:
        name, argument = request
        if name == "hang":
            return hang(argument)
        if name == "grandchild":
            child = subprocess.Popen(["sleep", "600"])
            kept.append(child)
            return child.pid
        if name == "crash":
            with running_model_text(argument):
                os.kill(os.getpid(), signal.SIGSEGV)
        if name == "exit":
            os._exit(argument)
        if name == "quit":
            sys.exit(argument)
        if name == "raise":
            raise KeyError(argument)
        if name == "print":
            print(argument)
            print(argument[:10], file=sys.stderr)
            return None
        if name == "allocate":
            return len(bytearray(argument))
        if name == "environment":
            return dict(os.environ)
        if name == "count":
            return (number for number in range(argument))
        return [inside_worker(), os.getpid(), os.getsid(0), sys.stdin.read()]

    return handle


def hang(how: str) -> None:
    """Never return: in Python, or in C code that keeps the interpreter lock."""
    with running_model_text("model" in how):
        if "reference" in how:
            with running_model_text(False):
                time.sleep(600)
        if "lock" in how:
            re.match(r"(a+)+$", "a" * 64 + "b")
        time.sleep(600)


def unimportable(_: object) -> Handler:
    raise ModuleNotFoundError("no such thing")


def liar(how: str) -> Handler:
    """A worker that does not speak the protocol."""

    def handle(_: Any) -> Iterator[None]:
        connection = next(socket.socket(fileno=os.dup(number)) for number in range(3, 64) if _is_socket(number))
        if how == "noise":
            connection.sendall(struct.pack(">I", 9) + b"not\xffjson!")
        elif how == "code":
            connection.sendall(struct.pack(">I", 12) + b"\x80\x04cos\nsystem\n")
        elif how == "shape":
            connection.sendall(struct.pack(">I", 7) + b'["no"] ')
        elif how == "deep":
            connection.sendall(struct.pack(">I", 400_000) + b"[" * 400_000)
        elif how == "huge":
            connection.sendall(b"\xff\xff\xff\xff")
        elif how == "drip":
            connection.sendall(struct.pack(">I", 100_000_000))
            while True:
                connection.sendall(b" ")
        time.sleep(600)
        yield None

    return handle


def _is_socket(number: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(number).st_mode)
    except OSError:
        return False


def statements(_: object) -> Handler:
    """As a worker of the scoring pool runs SQL: ``[database, sql, limits]``, in place."""
    from dataclasses import astuple

    from honewise.sandbox import SqlLimits, run_sql

    return lambda request: list(astuple(run_sql(request[0], request[1], SqlLimits(*request[2]))))


def references(_: object) -> Handler:
    """``[database, sql]``: the rows of a reference statement, and whether it was computed here."""
    from honewise.sandbox import guard, reference_result

    calls: list[str] = []
    real = guard.run

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[1])
        return real(*args, **kwargs)

    guard.run = counting  # type: ignore[assignment]

    def handle(request: list[str]) -> Any:
        calls.clear()
        return [reference_result(*request).rows, len(calls)]

    return handle
