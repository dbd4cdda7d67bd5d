"""How many calls at a time: more while all goes well, half as many where the other side has too much to do."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

__all__ = ["Limiter", "Slot", "backoff"]

_CHANCE = random.Random()
"""Of its own: what waits must not move the random numbers of what trains."""
_ROUND = 32
"""Fewest outcomes by which the number of calls is judged."""
_REFUSED = 0.25
"""Share of a round that may be refused for reasons that have nothing to do with load."""


@dataclass(slots=True)
class Slot:
    """One call under way. The caller sets ``overloaded`` where the other side said that it had too much to do."""

    era: int
    overloaded: bool = False


class Limiter:
    """Adaptive concurrency: additive increase, multiplicative decrease, by rounds of outcomes.

    The limit starts at ``start`` and doubles with each round in which it was reached, until the first time that more
    than a quarter of a round was refused; from then on it halves where that happens, and grows by an eighth else.
    Refusals of calls that began before the limit was last cut do not count again. Calls are let in as they ask.
    """

    def __init__(self, most: int, start: int = 16) -> None:
        self.most = most
        self.limit = max(1, min(start, most))
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._era = 0
        self._cut = False
        self._outcomes = self._overloaded = 0
        self._full = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[Slot]:
        """Wait for a place, and give it back at the end."""
        await self._enter()
        slot = Slot(self._era)
        try:
            yield slot
        finally:
            self.running -= 1
            self._learn(slot)
            self._let_in()

    async def _enter(self) -> None:
        if self.running < self.limit and not self._waiting:
            self.running += 1
            return
        self._full = True
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.running -= 1  # it was let in and left in the same moment
                self._let_in()
            else:
                self._waiting.remove(place)
            raise

    def _let_in(self) -> None:
        while self._waiting and self.running < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.running += 1
                place.set_result(None)

    def _learn(self, slot: Slot) -> None:
        if slot.era != self._era:
            return
        size = max(_ROUND, self.limit)
        self._outcomes += 1
        self._overloaded += slot.overloaded
        if self._overloaded > _REFUSED * size:
            self.limit = max(1, self.limit // 2)
            self._cut = True
            self._next()
        elif self._outcomes >= size:
            if self._full:
                self.limit = min(self.most, self.limit + max(1, self.limit // 8) if self._cut else self.limit * 2)
            self._next(same=True)

    def _next(self, *, same: bool = False) -> None:
        self._era += not same
        self._outcomes = self._overloaded = 0
        self._full = bool(self._waiting)


def backoff(attempt: int, base: float, longest: float, asked: float | None = None) -> float:
    """Seconds to wait after attempt number ``attempt`` (from 1): somewhere between half and all of ``base`` doubled
    each time, at most ``longest``; at least what the other side asked for."""
    step = min(longest, base * 2.0 ** min(attempt - 1, 30))
    wait = step * _CHANCE.uniform(0.5, 1.0)
    return wait if asked is None else max(asked + step * _CHANCE.uniform(0.0, 0.1), wait)
