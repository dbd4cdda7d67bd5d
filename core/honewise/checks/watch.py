"""What is being tried at this moment, in memory that another process sees: it can end what does not end by itself."""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Watch", "keep_watch", "watched"]

_HEAD = struct.Struct("<Qdd")
_TEXT = 2048


class Watch:
    """Subject, what is tried on it, and until when, in a small file that two processes map.

    ``create`` makes the file. Times are on ``time.monotonic``, one clock for all processes.
    """

    def __init__(self, path: str, *, create: bool = False) -> None:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0), 0o600)
        try:
            if create:
                os.ftruncate(descriptor, _HEAD.size + 2 * _TEXT)
            self._memory = mmap.mmap(descriptor, _HEAD.size + 2 * _TEXT)
        finally:
            os.close(descriptor)
        self._count = 0

    def write(self, subject: str, what: str, seconds: float) -> None:
        """``seconds`` from now on is the deadline; 0: there is none."""
        self._count += 1
        until = time.monotonic() + seconds if seconds else 0.0
        for place, text in enumerate((subject, what)):
            start = _HEAD.size + place * _TEXT
            self._memory[start : start + _TEXT] = text.encode("utf-8", "replace")[:_TEXT].ljust(_TEXT, b"\0")
        _HEAD.pack_into(self._memory, 0, self._count, until, seconds)

    def read(self) -> tuple[int, float, float]:
        """How often it was written, the deadline, and its seconds; torn where the other process writes just now."""
        count, until, seconds = _HEAD.unpack_from(self._memory, 0)
        return count, until, seconds

    def told(self) -> tuple[str, str]:
        """Subject and what is tried on it."""
        parts = (self._memory[_HEAD.size + n * _TEXT :][:_TEXT].rstrip(b"\0") for n in range(2))
        subject, what = (part.decode("utf-8", "replace") for part in parts)
        return subject, what

    def clear(self) -> None:
        """For a new process."""
        self._count = 0
        self.write("", "", 0.0)


_watch: Watch | None = None
_stack: list[tuple[str, str, float]] = []


def keep_watch(watch: Watch | None) -> None:
    """From now on, this process tells ``watch``; None: nobody."""
    global _watch
    _watch = watch
    _stack.clear()


@contextmanager
def watched(subject: str, what: str, seconds: float) -> Iterator[None]:
    """Within, ``what`` is tried on ``subject`` and may take ``seconds``. May be nested; where the inner one ends, the
    outer one has all its time again. Costs next to nothing where nobody watches."""
    if _watch is None:
        yield
        return
    _stack.append((subject, what, seconds))
    _watch.write(subject, what, seconds)
    try:
        yield
    finally:
        _stack.pop()
        _watch.write(*(_stack[-1] if _stack else ("", "", 0.0)))
