"""Running code in the child, and what is told of an exception. ``exec`` stands here and nowhere else in honewise."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from types import CodeType
from typing import Any, NamedTuple

__all__ = ["FAILURES", "FILE", "FINE", "Found", "flush", "parsed", "run_code", "trouble"]

FILE = "<program>"
"""What tracebacks call the file of the program."""

_LONGEST, _MOST_LINES = 2000, 50


class Found(NamedTuple):
    """What came of running something: a kind, a message, and the lines that led there with what is known of each."""

    kind: str
    error: str = ""
    lines: Sequence[tuple[int, str]] = ()


FINE = Found("ok")


def parsed(source: str, file: str) -> CodeType | Found:
    try:
        return compile(source, file, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        return trouble(error, file)._replace(kind="syntax")


def run_code(code: CodeType, names: dict[str, Any], *, script: bool = False) -> Found:
    """Run it. A script may end itself, with status 0; anything else must go on to its end."""
    try:
        exec(code, names)
    except SystemExit as end:
        if script and end.code in (None, 0):
            return FINE
        told = trouble(end, code.co_filename)
        return told._replace(kind="error", error=f"it ended itself with status {_text(end.code)}")
    except BaseException as error:
        return trouble(error, code.co_filename)
    return FINE


def trouble(error: BaseException, file: str = FILE) -> Found:
    """An exception as seen in ``file``; one that came over a link tells what was seen on the other side."""
    told = getattr(error, TOLD, None)
    if isinstance(told, Found):
        return told
    message = f"{type(error).__name__}: {_text(error)}".removesuffix(": ")
    frames = [(line or 0, frame.f_code) for frame, line in traceback.walk_tb(error.__traceback__)]
    lines = [(line, f"in {code.co_name}") for line, code in frames if code.co_filename == file]
    if isinstance(error, SyntaxError) and error.filename == file:
        lines.append((error.lineno or 0, message))
    elif lines:
        lines[-1] = lines[-1][0], message
    return Found(_kind(error), message, lines[-_MOST_LINES:])


TOLD = "_honewise_told"
"""The attribute that an exception from the other side of a link carries."""


def _text(value: object) -> str:
    try:
        return str(value)[:_LONGEST]
    except BaseException:
        return ""


def _kind(error: BaseException) -> str:
    """A refusal counts however deeply libraries wrapped it: they report it, the program asked for it."""
    each: Any = error
    for _ in range(10):
        if isinstance(each, PermissionError) or type(each).__name__ == "gaierror":
            return "denied"
        if not isinstance(each, BaseException):
            break
        each = getattr(each, "reason", None) or each.__cause__ or each.__context__
    return next((name for kind, name in _KINDS.items() if isinstance(error, kind)), "error")


_KINDS: Mapping[type[BaseException], str] = {
    ImportError: "import",
    NameError: "name",
    TypeError: "type",
    MemoryError: "memory",
    AssertionError: "assertion",
}
FAILURES = frozenset({*_KINDS.values(), "denied", "error", "output", "syntax"})


def flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            continue
