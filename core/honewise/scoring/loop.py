"""Async rewards and judges: awaited on one event loop of this process, each with its deadline, so many at a time.

The loop runs in a thread of its own, so that it works where the caller has a running loop already (a notebook) and
keeps the connections of a judge's client from one call of ``score`` to the next. A function that blocks the loop
cannot be killed; the loop is then given up, with everything on it unscored, and a new one is made.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any

from honewise.contracts import Judge, JudgeTemplate, Verdict
from honewise.errors import BudgetExceeded, JudgeError

from .evaluate import Job, Plan
from .outcome import Outcome, checked, failed

__all__ = ["Loop"]

_ASKING = ("ask", "poll")
"""Methods of judges, beside the call itself, that wait for a model's answer."""
_BEAT = 0.25
_GRACE = 5.0


class Loop:
    """An event loop in a thread, with at most ``concurrency`` rewards running at a time."""

    def __init__(self, judge: Judge | None, concurrency: int = 64) -> None:
        self._judge = judge
        self._concurrency = max(concurrency, 2 * int(getattr(judge, "concurrency", 0)))
        self.stopped: BudgetExceeded | None = None
        """Why the judge will not be asked any more."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()
        self._beat = 0.0
        self._pending: dict[concurrent.futures.Future[list[Outcome]], tuple[Plan, int]] = {}

    def submit(self, plan: Plan, jobs: list[Job]) -> concurrent.futures.Future[list[Outcome]]:
        """Start one call of a reward: for one job, or for a batch of them where it takes a batch."""
        with self._starting:
            loop = self._loop or self._start()
        future = asyncio.run_coroutine_threadsafe(self._bounded(plan, jobs), loop)
        self._pending[future] = (plan, len(jobs))
        return future

    def result(self, future: concurrent.futures.Future[list[Outcome]]) -> list[Outcome]:
        """The outcomes of one call, one per job; never raises for what a reward did."""
        while True:
            try:
                outcomes = future.result(timeout=_BEAT)
                break
            except concurrent.futures.TimeoutError:
                if time.monotonic() - self._beat > _GRACE + _BEAT:
                    self._give_up()
            except concurrent.futures.CancelledError:
                plan, count = self._pending.get(future, (None, 0))
                name = plan.name if plan else "reward"
                outcomes = [failed(name, "the event loop was blocked by another async reward and given up")] * count
                break
        self._pending.pop(future, None)
        return outcomes

    def close(self) -> None:
        """Cancel what runs and stop the thread."""
        loop, self._loop = self._loop, None
        self._pending.clear()
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            if hasattr(self._judge, "aclose"):
                self._thread.join(_GRACE)  # what is being closed belongs to whoever closes the judge next

    def _start(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.new_event_loop()
        self._gate = asyncio.Semaphore(self._concurrency)
        self._beat = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(loop,), name="honewise-async-rewards", daemon=True)
        self._thread.start()
        return loop

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        beat = loop.create_task(self._keep_beating())
        try:
            loop.run_forever()
        finally:
            beat.cancel()
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            aclose = getattr(self._judge, "aclose", None)
            if aclose is not None:
                loop.run_until_complete(aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    async def _keep_beating(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(_BEAT)

    def _give_up(self) -> None:
        """Leave a blocked loop behind; its thread ends by itself where the blocking function ever returns."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
        for future in list(self._pending):
            future.cancel()

    async def _bounded(self, plan: Plan, jobs: list[Job]) -> list[Outcome]:
        async with self._gate:
            try:
                return await _call(plan, jobs, self._judge)
            except BudgetExceeded as error:
                self.stopped = self.stopped or error
                return [failed(plan.name, str(error))] * len(jobs)


async def _call(plan: Plan, jobs: list[Job], judge: Judge | None) -> list[Outcome]:
    deadline = plan.seconds * len(jobs)
    began = time.perf_counter()
    try:
        async with asyncio.timeout(deadline) as clock:
            result = await _await(plan, jobs, _off_the_clock(judge, clock))
        results: list[object] = list(result) if plan.batch else [result]
    except BudgetExceeded:
        raise
    except TimeoutError:
        if not clock.expired():
            return _all(plan, jobs, "raised TimeoutError", began)
        return _all(plan, jobs, f"deadline of {deadline:g} s passed", began)
    except JudgeError as error:
        return _all(plan, jobs, f"no verdict: {error}", began)
    except Exception as error:
        return _all(plan, jobs, f"raised {type(error).__name__}: {error}", began)
    if len(results) != len(jobs):
        return _all(plan, jobs, f"returned {len(results)} results for a batch of {len(jobs)}", began)
    seconds = (time.perf_counter() - began) / len(jobs)
    return [checked(plan.name, plan.reward, value, job.text, seconds) for value, job in zip(results, jobs, strict=True)]


def _off_the_clock(judge: Judge | None, clock: asyncio.Timeout) -> Judge | None:
    """The judge, and where it keeps deadlines of its own, one for which the reward's clock stands still meanwhile.

    A question may wait for its turn behind thousands of others, which says nothing about the reward.
    """
    return _Patient(judge, clock) if judge is not None and getattr(judge, "keeps_deadlines", False) else judge


class _Patient:
    def __init__(self, judge: Judge, clock: asyncio.Timeout) -> None:
        self._judge, self._clock = judge, clock
        self._asked = 0
        self._left = 0.0

    async def __call__(
        self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str | Sequence[str]
    ) -> Verdict:
        with self._stopped():
            return await self._judge(template, images=images, **slots)

    def __getattr__(self, name: str) -> Any:
        """What else the judge has; where that asks a model, off the clock, too."""
        found = getattr(self._judge, name)
        return self._waiting(found) if name in _ASKING else found

    def _waiting(self, question: Callable[..., Any]) -> Callable[..., Any]:
        async def asked(*arguments: Any, **named: Any) -> Any:
            with self._stopped():
                return await question(*arguments, **named)

        return asked

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        if self._asked == 0:
            self._left = (self._clock.when() or loop.time()) - loop.time()
            self._clock.reschedule(None)
        self._asked += 1
        try:
            yield
        finally:
            self._asked -= 1
            if self._asked == 0 and not self._clock.expired():
                self._clock.reschedule(loop.time() + max(self._left, 0.0))


def _await(plan: Plan, jobs: list[Job], judge: Judge | None) -> Coroutine[Any, Any, Any]:
    values: dict[str, Callable[[], Any]] = {
        "tasks": lambda: [job.task for job in jobs],
        "completions": lambda: [job.completion for job in jobs],
        "task": lambda: jobs[0].task,
        "completion": lambda: jobs[0].completion,
        "judge": lambda: judge,
    }

    async def run() -> Any:
        assert plan.call is not None
        result = plan.call(**{name: values[name]() for name in plan.wants})
        return await result if isawaitable(result) else result

    return run()


def _all(plan: Plan, jobs: list[Job], why: str, began: float) -> list[Outcome]:
    return [failed(plan.name, why, (time.perf_counter() - began) / len(jobs))] * len(jobs)
