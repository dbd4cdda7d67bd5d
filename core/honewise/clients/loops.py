"""What belongs to an event loop: connections, locks and tasks must not be carried from one to another."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

__all__ = ["PerLoop"]

T = TypeVar("T")


class PerLoop(Generic[T]):
    """One ``T`` for each event loop, made when it is first asked for; gone with its loop."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: WeakKeyDictionary[asyncio.AbstractEventLoop, T] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def here(self) -> T:
        """That of the running loop."""
        loop = asyncio.get_running_loop()
        with self._lock:
            found = self._made.get(loop)
            if found is None:
                found = self._made[loop] = self._make()
            return found

    def leave(self) -> T | None:
        """That of the running loop, if any, which gets another the next time."""
        with self._lock:
            return self._made.pop(asyncio.get_running_loop(), None)
