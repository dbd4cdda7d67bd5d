"""A pool of worker processes that score, kept from one call to the next, and the judgement on those that hang or die.

The parent keeps every deadline: a worker writes into shared memory what it is about to run and until when it may, the
parent looks, and kills the worker's whole process group when the time is up. Only the call that was running then is
blamed; what else the worker had in hand is scored again by another.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from honewise.errors import SandboxError
from honewise.sandbox.gold import DIRECTORY
from honewise.sandbox.process import WorkerDied, WorkerProcess, WorkerRaised, WorkerTimeout, frame, wait

from .evaluate import PARSE, PARSE_SECONDS, SETTLE, Job, Plan
from .outcome import Outcome, blamed, failed
from .packing import pack_task, unpack_completion
from .worker import Desk

__all__ = ["Pool", "PoolUnavailable"]

_MEMORY = 4 << 30
_START_SECONDS = 120.0
_STALL_SECONDS = 60.0
_FRAME_SECONDS = 30.0
_FEWEST, _MOST = 8, 128
_LOOK = 0.2
_LOSSES, _START_FAILURES = 3, 3

Result = Callable[[int, int, Outcome], None]
"""``result(job, plan, outcome)``, once for each."""
Done = Callable[[int], None]
"""``done(job)``, when nothing is left to do for it."""


class PoolUnavailable(SandboxError):
    """Workers cannot build what they are to score with; the message says why."""


_NOBODY = (-1, 0.0)


@dataclass(eq=False)
class _Seat:
    """One worker and what it has in hand."""

    worker: WorkerProcess
    desk: Desk
    jobs: list[int] | None = None
    """Indices of the jobs it was sent; None while it has nothing to do."""
    suspect: tuple[int, float] = _NOBODY
    """The count at its desk and the deadline, when that was first seen to have passed."""
    seen: int = -1
    since: float = 0.0  # when the count at its desk was first seen to be ``seen``
    failures: int = 0

    def deadline(self) -> float:
        """The nearest of the call's deadline and that of the model text it runs; 0 where there is none."""
        return min((each for each in (self.desk.read()[3], self.worker.model_deadline) if each), default=0.0)


@dataclass
class _Work:
    """One call of ``run``."""

    jobs: Sequence[Job]
    result: Result
    done: Done
    queue: deque[list[int]]
    rows: int = 0
    """Jobs in the queue."""
    parcel: tuple[list[int], bytes] | None = None
    """What the next worker without work is sent, packed while all of them work."""
    alone: set[int] = field(default_factory=set)
    """Jobs that are sent without any other."""
    crashes: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By job and plan: how often a worker died there."""
    losses: Counter[int] = field(default_factory=Counter)
    """By job: how often a worker was lost without anybody to blame."""

    @property
    def left(self) -> bool:
        return bool(self.queue) or self.parcel is not None


class Pool:
    """``count`` workers that rebuild ``domain`` with ``options`` by name and hold the rewards of ``plans``.

    ``sources`` says where a worker finds each plan's reward, ``options_of`` its options. Workers start at once;
    ``memory_bytes`` is what each may map beyond what it needs to start. Close it when done.
    """

    def __init__(
        self,
        domain: str,
        options: Mapping[str, Any],
        plans: Sequence[Plan],
        sources: Sequence[Sequence[str]],
        options_of: Sequence[Mapping[str, Any]],
        *,
        count: int,
        memory_bytes: int = _MEMORY,
    ) -> None:
        self._plans = plans
        self._folder = tempfile.mkdtemp(prefix="honewise-pool-")
        gold = Path(self._folder, "gold")
        gold.mkdir(mode=0o700)
        self._seats: list[_Seat] = []
        arguments = {"domain": domain, "options": dict(options), "plans": _entries(plans, sources, options_of)}
        try:
            for index in range(count):
                path = str(Path(self._folder, f"desk-{index}"))
                desk = Desk(path, create=True)
                worker = WorkerProcess(
                    "honewise.scoring.worker:serve",
                    {**arguments, "desk": path},
                    memory_bytes=memory_bytes,
                    environ={DIRECTORY: str(gold), "OMP_NUM_THREADS": "1"},  # one worker, one core
                    name="scoring",
                )
                self._seats.append(_Seat(worker, desk))
        except (TypeError, ValueError) as error:
            self.close()
            raise PoolUnavailable(f"the domain's options cannot be sent to a worker ({error})") from error
        except BaseException:
            self.close()
            raise

    def missing(self) -> dict[str, str]:
        """The plans that a worker cannot rebuild, with the reason. Raises ``PoolUnavailable`` where none can start."""
        try:
            found: dict[str, str] = self._seats[0].worker.request({"check": True}, timeout=_START_SECONDS)
        except WorkerRaised as raised:
            self.close()
            raise PoolUnavailable(str(raised)) from raised
        except SandboxError:
            self.close()
            raise
        for seat in self._seats[1:]:
            with suppress(SandboxError):  # ``run`` starts it again, and gives up where that is in vain
                seat.worker.wait_ready(_START_SECONDS)
        return found

    def close(self) -> None:
        """Kill all workers, whatever they are doing, and remove what the pool kept on disk."""
        for seat in self._seats:
            seat.worker.close()
        self._seats.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def run(self, jobs: Sequence[Job], result: Result, done: Done) -> None:
        """Parse every job and compute its ``todo``, which is empty afterwards, as is told by ``result`` and ``done``.

        Jobs of one task should be neighbours: they go to one worker. Raises ``SandboxError`` where workers cannot be
        kept running at all.
        """
        groups = [list(group) for _, group in groupby(range(len(jobs)), key=lambda index: id(jobs[index].task))]
        queue = deque([part for group in groups for part in _split(group)])
        work = _Work(jobs, result, done, queue, rows=len(jobs))
        try:
            while work.left or any(seat.jobs is not None for seat in self._seats):
                for seat in self._seats:
                    if work.left and seat.jobs is None and seat.worker.ready:
                        self._assign(seat, work)
                if work.queue and work.parcel is None:
                    work.parcel = self._packed(work)
                for seat in self._listen(self._timeout()):
                    self._receive(seat, work)
                for seat in self._seats:
                    self._look(seat, work)
        except BaseException:
            for seat in self._seats:
                if seat.jobs is not None:
                    self._replace(seat)
            raise

    def _assign(self, seat: _Seat, work: _Work) -> None:
        taken, request = work.parcel or self._packed(work)
        work.parcel = None
        seat.jobs, seat.suspect, seat.seen = taken, _NOBODY, -1
        try:
            seat.worker.send_frame(request)
        except (WorkerDied, WorkerTimeout):
            # It died while it had nothing to do: nobody's fault.
            self._replace(seat)
            self._give_up(work, taken, "workers die before they are given anything to do")

    def _packed(self, work: _Work) -> tuple[list[int], bytes]:
        """The next jobs of the queue, and the request for them."""
        size = min(max(work.rows // (3 * len(self._seats)), _FEWEST), _MOST)
        taken = work.queue.popleft()
        while work.queue and len(taken) + len(work.queue[0]) <= size and not work.alone & {taken[0], work.queue[0][0]}:
            taken = taken + work.queue.popleft()
        work.rows -= len(taken)
        tasks: dict[int, int] = {}
        packed: list[Any] = []
        entries: list[Any] = []
        for index in taken:
            job = work.jobs[index]
            if id(job.task) not in tasks:
                tasks[id(job.task)] = len(packed)
                packed.append(pack_task(job.task))
            own = (job.text, job.tokens, job.truncated, list(job.todo), job.raw, job.seed, job.settle)
            entries.append([tasks[id(job.task)], *own])
        return taken, frame({"tasks": packed, "jobs": entries})

    def _listen(self, timeout: float) -> list[_Seat]:
        listening = {seat.worker: seat for seat in self._seats if seat.jobs is not None or not seat.worker.ready}
        return [listening[worker] for worker in wait(list(listening), timeout)]

    def _timeout(self) -> float:
        now = time.monotonic()
        nearest = _LOOK
        for seat in self._seats:
            if seat.jobs is not None:
                deadline = seat.deadline()
                nearest = min(nearest, deadline - now if deadline else _LOOK)
        return max(nearest, 0.005)

    def _receive(self, seat: _Seat, work: _Work) -> None:
        starting = not seat.worker.ready
        try:
            message = seat.worker.receive(_FRAME_SECONDS)
        except (WorkerTimeout, WorkerDied, WorkerRaised) as error:
            if starting:
                self._failed_start(seat, error)
            else:
                self._lost(seat, work, str(error), timed_out=False)
            return
        seat.failures = 0
        if message.kind != "part" or seat.jobs is None:
            return  # the reply that ends a request says nothing that its last part did not
        jobs = seat.jobs
        try:
            last, cells = message.value
            if last:
                # The worker gets its next work before what it sent is looked at: it must not wait for that.
                seat.jobs = None
                if work.left:
                    self._assign(seat, work)
            self._take(jobs, work, cells)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            if seat.jobs is not jobs:
                self._give_up(work, self._hand_in(work, jobs), "its worker sent what it should not")
            self._lost(seat, work, f"the worker sent what it should not ({error})", timed_out=False)
            return
        if last:
            self._give_up(work, self._hand_in(work, jobs), "its worker left it out")

    def _take(self, jobs: Sequence[int], work: _Work, cells: Iterable[Sequence[Any]]) -> None:
        for row, plan, packed in cells:
            job = work.jobs[jobs[row]]
            if plan != PARSE:
                self._settle(work, jobs[row], plan, Outcome.unpack(packed))
            elif isinstance(packed, str):
                job.refuse(packed)
            elif job.completion is None:
                job.completion = unpack_completion(packed, job.text, job.tokens, job.truncated)

    def _settle(self, work: _Work, index: int, plan: int, outcome: Outcome) -> None:
        job = work.jobs[index]
        if plan in job.todo:
            job.todo = [each for each in job.todo if each != plan]
            job.note(self._plans[plan], outcome)
            work.result(index, plan, outcome)

    def _hand_in(self, work: _Work, indices: Sequence[int]) -> list[int]:
        """Tell of those jobs that are finished; returns the others."""
        left = [index for index in indices if work.jobs[index].todo or work.jobs[index].completion is None]
        for index in indices:
            if index not in left:
                work.done(index)
        return left

    def _look(self, seat: _Seat, work: _Work) -> None:
        """Kill a worker whose deadline has passed, when it was seen to be past twice in the same call."""
        if seat.jobs is None:
            return
        now = time.monotonic()
        count, deadline = seat.desk.read()[0], seat.deadline()
        if count != seat.seen:
            seat.seen, seat.since = count, now
        if deadline and now > deadline:
            if seat.suspect == (count, deadline):
                seat.worker.kill()
                self._lost(seat, work, "", timed_out=True)
            seat.suspect = (count, deadline)
        elif not deadline and now - seat.since > _STALL_SECONDS:
            seat.worker.kill()
            self._lost(seat, work, "the worker stood still between two calls", timed_out=False)

    def _lost(self, seat: _Seat, work: _Work, why: str, *, timed_out: bool) -> None:
        """A worker is gone with work in hand: blame one call at most, and have the rest done again."""
        seat.worker.kill()
        count, row, plan, until = seat.desk.read()
        early = max(0.0, until - time.monotonic())
        hostile = seat.worker.blamed
        left = self._hand_in(work, seat.jobs or [])
        culprit = seat.jobs[row] if seat.jobs and 0 <= row < len(seat.jobs) else None
        moved_on = timed_out and count != seat.suspect[0]
        self._replace(seat)
        if culprit not in left or moved_on:
            self._give_up(work, left, why)
            return
        assert culprit is not None
        shared = plan == SETTLE or (plan != PARSE and self._plans[plan].batch and len(left) > 1)
        again = not timed_out and work.crashes[culprit, plan] == 0
        if shared:
            work.jobs[culprit].settle &= plan != SETTLE or len(left) > 1
            self._requeue(work, left, alone=True)
            return
        self._requeue(work, [index for index in left if index != culprit])
        if again:
            # A crash may have come from outside (the system short of memory, an operator): once more, by itself.
            work.crashes[culprit, plan] += 1
        else:
            self._convict(work, culprit, plan, why, hostile=hostile, early=early if timed_out else None)
        self._requeue(work, self._hand_in(work, [culprit]), alone=True)

    def _convict(self, work: _Work, index: int, plan: int, why: str, *, hostile: bool, early: float | None) -> None:
        """``early``: how long before its deadline the call was ended for want of time; None: it was not."""
        timed_out = early is not None
        job = work.jobs[index]
        if plan == PARSE:
            what = f"ran for more than {PARSE_SECONDS:g} s" if timed_out else f"ended its worker: {why}"
            job.refuse(f"the domain's parser {what}")
            for each in list(job.todo):
                self._settle(work, index, each, failed(self._plans[each].name, job.broken))
            return
        guilty = self._plans[plan]
        seconds = 0.0 if early is None else round(guilty.seconds - early, 2)
        if hostile:
            what = f"ran for more than {seconds:g} s" if timed_out else "ended the process it ran in"
            outcome = blamed(guilty.name, guilty.reward, what, seconds)
        else:
            what = f"deadline of {seconds:g} s passed" if timed_out else why
            outcome = failed(guilty.name, what, seconds)
        self._settle(work, index, plan, outcome)

    def _give_up(self, work: _Work, left: Sequence[int], why: str) -> None:
        """Nobody was caught: again, but not for ever."""
        for index in left:
            work.losses[index] += 1
            if work.losses[index] < _LOSSES:
                continue
            job = work.jobs[index]
            if job.completion is None:
                job.refuse("no worker lived long enough to parse it")
            for plan in list(job.todo):
                self._settle(work, index, plan, failed(self._plans[plan].name, why or "its worker was killed"))
        self._requeue(work, self._hand_in(work, left), alone=True)

    def _requeue(self, work: _Work, indices: Sequence[int], *, alone: bool = False) -> None:
        if indices:
            parts = [[index] for index in indices] if alone else [list(indices)]
            work.queue.extendleft(reversed(parts))
            work.rows += len(indices)
            work.alone.update(indices if alone else ())

    def _replace(self, seat: _Seat) -> None:
        seat.jobs = None
        seat.worker.kill()
        seat.desk.clear()
        seat.worker.restart()

    def _failed_start(self, seat: _Seat, error: SandboxError) -> None:
        seat.failures += 1
        if seat.failures >= _START_FAILURES:
            raise SandboxError(f"scoring workers cannot be started: {error}") from error
        self._replace(seat)


def _split(group: list[int]) -> list[list[int]]:
    return [group[start : start + _MOST] for start in range(0, len(group), _MOST)]


def _entries(
    plans: Sequence[Plan], sources: Sequence[Sequence[str]], options_of: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    return [
        {
            "name": plan.name,
            "source": list(source),
            "options": dict(options),
            "gate": [plan.gate.other, plan.gate.sign, plan.gate.limit] if plan.gate else None,
            "otherwise": plan.otherwise,
            "seconds": plan.seconds,
        }
        for plan, source, options in zip(plans, sources, options_of, strict=True)
    ]
