"""The client: each question answered once, from the cache or by a patient sequence of attempts, within a budget."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from honewise.contracts import Generation
from honewise.errors import JudgeBudgetExceeded, JudgeError

from .budget import Budget, Purse, Spent
from .cache import Cache
from .ledger import CallRecord, Ledger, Prices
from .limiter import Limiter, backoff
from .loops import PerLoop
from .request import Backend, CallFailed, Request

__all__ = ["Client", "Patience"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often to try; all in seconds but ``attempts`` and ``concurrency``."""

    timeout: float = 60.0
    """Of one attempt."""
    deadline: float = 300.0
    """Of one call, from when it is let out: all attempts and the waits between them."""
    attempts: int = 8
    """Of one call; those that did not reach the endpoint do not count, and are bounded by ``deadline`` alone."""
    backoff: float = 0.5
    """First wait between attempts; doubled each time, up to ``longest_wait``."""
    longest_wait: float = 30.0
    concurrency: int = 32
    """Most calls at a time; fewer where the other side has too much to do."""
    probe: float = 5.0
    """While the endpoint is down, one call in so many seconds finds out whether it is back; the others fail at once."""


@dataclass(slots=True)
class _Answer:
    reply: Generation
    record: CallRecord


@dataclass(slots=True)
class _Desk:
    """What belongs to one event loop: the questions under way, and how many of them at a time."""

    limiter: Limiter
    flights: dict[str, asyncio.Task[_Answer]] = field(default_factory=dict)

    def landed(self, key: str, done: asyncio.Task[_Answer]) -> None:
        if self.flights.get(key) is done:
            del self.flights[key]
        with contextlib.suppress(asyncio.CancelledError):
            done.exception()  # looked at, so that one whose callers have all gone is no complaint


class Client:
    """A model with everything around it. May be used from several event loops; equal questions meet within one.

    Args:
        backend: makes single attempts.
        patience: limits of time and number.
        cache: None keeps nothing.
        budget, prices: what calls may cost, and do.
        note: told what a person should know, once.
    """

    def __init__(
        self,
        backend: Backend,
        *,
        patience: Patience | None = None,
        cache: Cache | None = None,
        budget: Budget | None = None,
        prices: Prices | None = None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.backend = backend
        self.patience = patience or Patience()
        self.cache = cache
        self.purse = Purse(budget)
        self.prices = prices or Prices()
        self.ledger = Ledger()
        self._note = note
        self._desks: PerLoop[_Desk] = PerLoop(lambda: _Desk(Limiter(self.patience.concurrency)))
        self._answered = 0.0
        """When the last answer came."""
        self._down: CallFailed | None = None
        self._probe_at = 0.0
        self._cache_works = True

    async def complete(self, request: Request) -> tuple[Generation, CallRecord]:
        """The answer, and the ledger's record of this question.

        Equal questions that come while one is under way share its answer. A caller that is cancelled leaves the call
        running, since it is being paid for; its answer goes to the cache.

        Raises ``JudgeError`` where there is no answer after all attempts, and ``JudgeBudgetExceeded``.
        """
        desk = self._desks.here()
        key = request.key(self.backend.identity)
        flight = desk.flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._answer(desk, key, request))
            desk.flights[key] = flight
            flight.add_done_callback(lambda done: desk.landed(key, done))
            answer = await asyncio.shield(flight)
            return answer.reply, answer.record
        record = self._record(key, request)
        self.ledger.add(record)
        try:
            answer = await asyncio.shield(flight)
        except JudgeBudgetExceeded as error:
            record.source, record.reason = "refused", str(error)
            raise
        except JudgeError as error:
            record.reason = str(error)
            raise
        record.source, record.reply = "shared", answer.reply.text
        return answer.reply, record

    async def aclose(self) -> None:
        """Let go of what belongs to the running event loop; calls under way are given up."""
        desk = self._desks.leave()
        if desk is not None:
            flights = list(desk.flights.values())
            for flight in flights:
                flight.cancel()
            await asyncio.gather(*flights, return_exceptions=True)
        await self.backend.aclose()

    def charge(self, spent: Spent) -> None:
        """Count what was spent before."""
        self.purse.charge(spent)

    # one question

    async def _answer(self, desk: _Desk, key: str, request: Request) -> _Answer:
        record = self._record(key, request)
        self.ledger.add(record)
        kept = await self._look_up(key)
        if kept is not None:
            record.source, record.reply = "cache", kept.text
            return _Answer(kept, record)
        asked = time.monotonic()
        try:
            reply = await self._obtain(desk.limiter, key, request, record)
        except JudgeBudgetExceeded as error:
            record.source, record.reason = "refused", str(error)
            raise
        except JudgeError as error:
            record.reason = str(error)
            raise
        finally:
            record.waited = max(0.0, time.monotonic() - asked - record.seconds)
        record.source, record.reply = "endpoint", reply.text
        record.prompt_tokens, record.tokens, record.cost = reply.prompt_tokens, reply.tokens, self.prices.cost(reply)
        return _Answer(reply, record)

    async def _obtain(self, limiter: Limiter, key: str, request: Request, record: CallRecord) -> Generation:
        """Attempts, until one succeeds or there is no point in another. A wait between two holds no place; an answer
        holds it until it is kept, so that whoever is killed loses no more than its calls under way."""
        patience = self.patience
        let_out = failing = None
        reached = 0
        try:
            while True:
                async with limiter.slot() as slot:
                    let_out = let_out or time.monotonic()
                    self._refuse_while_down()
                    record.attempts += 1
                    left = let_out + patience.deadline - time.monotonic()
                    try:
                        reply = await self._attempt(request, min(patience.timeout, max(left, 0.01)))
                    except CallFailed as failure:
                        slot.overloaded = failure.overloaded
                        failed = failure
                    else:
                        await self._keep(key, request, reply)
                        return reply
                failing = failing or time.monotonic()
                reached += not failed.down
                wait = self._wait(failed, record.attempts, reached, let_out)
                if wait is None:
                    self._give_up(failed, failing)
                    tries = f" (after {record.attempts} attempts)" if record.attempts > 1 else ""
                    raise JudgeError(f"{failed.reason}{tries}") from failed
                await asyncio.sleep(wait)
        finally:
            record.seconds = 0.0 if let_out is None else time.monotonic() - let_out

    async def _attempt(self, request: Request, seconds: float) -> Generation:
        self.purse.take()
        try:
            reply = await self.backend.complete(request, seconds)
        except BaseException as error:
            self.purse.give_back()
            if isinstance(error, CallFailed) and not error.down:
                self._down = None
            raise
        self.purse.give_back(tokens=reply.prompt_tokens + reply.tokens, cost=self.prices.cost(reply), paid=True)
        self._answered = time.monotonic()
        if self._down is not None:
            self._down = None
            self._note(f"judge: {self.backend.model} answers again")
        return reply

    def _wait(self, failed: CallFailed, attempts: int, reached: int, let_out: float) -> float | None:
        """Seconds until the next attempt; None where there is none."""
        patience = self.patience
        if not failed.transient or reached >= patience.attempts or self._down is not None:
            return None
        wait = backoff(attempts, patience.backoff, patience.longest_wait, failed.retry_after)
        return wait if time.monotonic() + wait < let_out + patience.deadline else None

    def _refuse_while_down(self) -> None:
        """Fail at once while the endpoint is down, but for one call now and then that finds out."""
        if self._down is None:
            return
        now = time.monotonic()
        if now < self._probe_at:
            raise JudgeError(f"the judge is down: {self._down.reason}")
        self._probe_at = now + self.patience.probe

    def _give_up(self, failed: CallFailed, failing: float) -> None:
        """A call has used up its patience. Where nothing was answered meanwhile, others need not do the same."""
        if not failed.down or self._answered > failing:
            return
        if self._down is None:
            self._note(f"judge: {failed.reason}; calls fail at once until it answers again")
        self._down = failed
        self._probe_at = time.monotonic() + self.patience.probe

    # the cache

    async def _look_up(self, key: str) -> Generation | None:
        if self.cache is None or not self._cache_works:
            return None
        try:
            found = await self.cache.get(key)
        except sqlite3.Error as error:
            self._lose_cache(error)
            return None
        return None if found is None else found[0]

    async def _keep(self, key: str, request: Request, reply: Generation) -> None:
        if self.cache is None or not self._cache_works:
            return
        try:
            await self.cache.put(
                key, reply, identity=self.backend.identity, template=request.template,
                template_hash=request.template_hash, cost=self.prices.cost(reply),
            )  # fmt: skip
        except sqlite3.Error as error:
            self._lose_cache(error)

    def _lose_cache(self, error: Exception) -> None:
        """The answer was paid for and is used, whatever becomes of the cache."""
        self._cache_works = False
        assert self.cache is not None
        self._note(f"judge cache {self.cache.path}: {error}; going on without it")

    # housekeeping

    def _record(self, key: str, request: Request) -> CallRecord:
        question = request.key("")
        return CallRecord(request.template, request.template_hash, self.backend.model, key, question=question)
