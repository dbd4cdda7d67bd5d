"""The scorer: rows in, scored rows out, whoever asks."""

from __future__ import annotations

import random
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any

from honewise.clients.budget import Spent
from honewise.clients.ledger import CallRecord
from honewise.contracts import Completion, Domain, Judge, Reward, Rubric, Scored
from honewise.errors import UnknownName, UserError
from honewise.host import PluginHost, get_host
from honewise.progress import Progress, Silent

from .evaluate import PARSE, Job, Plan, evaluate, gate_outcome
from .functions import Found, bind, find
from .gates import Kind, Phase, gates_of, order, phases
from .jobs import Row, distinct
from .loop import Loop
from .outcome import Outcome, failed
from .packing import no_collection
from .pool import Pool, PoolUnavailable
from .rubric import BoundRubric, bind_rubric, scored
from .stats import RewardStats, Tally, check_budget
from .surroundings import caller, cores

__all__ = ["Row", "Scorer"]

_AT_ONCE = 16
"""Calls of ``submit`` that are worked on at a time."""


class Scorer:
    """Scores completions of one domain by one rubric. A context manager: leaving it ends the worker processes.

    Args:
        domain: the domain's name, which workers rebuild; a ``Domain`` itself is scored in this process.
        options: the domain's keyword arguments.
        rubric: a rubric, the name of one of the domain's presets, or None for its first.
        rewards: further rewards by name; they go before the domain's.
        reward_files: further rewards by name, as ``file.py:function``.
        judge: asked by rewards that take ``judge``. Without one these are left out of the rubric, which is said once.
        workers: processes; None: one per core. 0: everything in this process, where nothing protects it from a hang.
        host: where plugins are registered; None: that of this process.
        progress: told what is being done and what is left out.
        seed: from it, the task and the text follows the state of ``random`` that a reward sees.
        loop: where judges are awaited; None: one of its own. Several scorers with one judge share one.

    What cannot be sent to a worker (a lambda, a function of a notebook, a plugin registered in this process, a
    reward of cost ``device``) runs in this process. Scores depend neither on the number of workers nor on the order of
    rows.

    Raises ``UserError`` where the rubric does not fit the rewards.
    """

    def __init__(
        self,
        domain: str | Domain,
        options: Mapping[str, Any] | None = None,
        *,
        rubric: Rubric | str | None = None,
        rewards: Mapping[str, Reward] | None = None,
        reward_files: Mapping[str, str] | None = None,
        judge: Judge | None = None,
        workers: int | None = None,
        host: PluginHost | None = None,
        progress: Progress | None = None,
        seed: int = 0,
        loop: Loop | None = None,
    ) -> None:
        self._host = host or get_host()
        self._name = domain if isinstance(domain, str) else None
        self._options = dict(options or {})
        self.domain = self._host.domain(domain, **self._options) if isinstance(domain, str) else domain
        self._progress: Progress = progress or Silent()
        self._seed = seed
        wanted = chosen(self.domain, rubric)
        found = find(wanted.terms, self.domain, rewards=rewards, files=reward_files, host=self._host)
        wanted = self._without_judged(wanted, found) if judge is None else wanted
        self._found = {name: found[name] for name in wanted.terms}
        self.rubric: BoundRubric = bind_rubric(wanted, {name: each.reward for name, each in self._found.items()})
        self._plans = [self._plan(name) for name in order(self.rubric.terms, self.rubric.gates)]
        self._count = cores() if workers is None else workers
        self._pool: Pool | None = None
        self._judge = judge
        self._loop = loop or Loop(judge)
        self._phases: list[Phase] = []
        self._tallies = {name: Tally() for name in self.rubric.terms}
        self._closed = False
        self._threads: ThreadPoolExecutor | None = None
        self._turn = threading.RLock()
        """Held by whoever uses the pool or the tallies."""

    def __enter__(self) -> Scorer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the workers, if that has not been done; the first ``score`` does it otherwise."""
        if self._closed:
            raise UserError("this scorer is closed; make another")
        if self._phases:
            return
        kinds = {plan.name: self._kind(plan) for plan in self._plans}
        sendable = [plan for plan in self._plans if kinds[plan.name] == "pool"]
        stuck = self._open_pool(sendable)
        for name in stuck:
            kinds[name] = "local"
        self._warn({name for name, kind in kinds.items() if kind == "local" and self._cost(name) != "device"})
        self._phases = phases([plan.name for plan in self._plans], self.rubric.gates, kinds)

    def close(self) -> None:
        """End the workers and the event loop; what they were doing is lost."""
        self._closed = True
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        self._loop.close()

    def score(self, rows: Sequence[Row], *, step: int = 0) -> list[Scored]:
        """Score rows, in their order. ``step`` chooses the weights of schedules.

        Identical completions of one task are computed once. Nothing that a completion or a reward does raises here.
        """
        self.start()
        with no_collection():
            jobs, places = distinct(rows, self._seed)
        outcomes: list[dict[str, Outcome]] = [{} for _ in jobs]
        if jobs:
            self._progress.start("scoring", len(jobs) * len(self._phases))
            try:
                self._compute(jobs, outcomes)
            finally:
                self._progress.done()
        with no_collection():
            return self._assembled(rows, jobs, places, outcomes, step)

    @property
    def overlaps(self) -> bool:
        """Whether ``submit`` works beside the caller: nothing is computed in this process but what is awaited."""
        self.start()
        return all(phase.kind != "local" for phase in self._phases) and (self._pool is not None)

    def submit(self, rows: Sequence[Row], *, step: int = 0) -> Future[list[Scored]]:
        """``score`` beside the caller, where it ``overlaps``; of several at a time, judges work for all of them."""
        if not self.overlaps:
            done: Future[list[Scored]] = Future()
            done.set_result(self.score(rows, step=step))
            return done
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="honewise-scoring")
        return self._threads.submit(self.score, rows, step=step)

    def stats(self) -> Mapping[str, RewardStats]:
        """By reward, since this scorer was made."""
        return {name: tally.stats() for name, tally in self._tallies.items()}

    def check_budget(self, scored: Sequence[Scored], max_unscored: float) -> None:
        """Raise ``JudgeBudgetExceeded`` where the judge has used up what it may cost, and ``UnscoredBudgetExceeded``,
        with a table of reasons, where more than this share has no total."""
        if self._loop.stopped is not None:
            raise self._loop.stopped
        check_budget(scored, max_unscored)

    def take_calls(self) -> list[CallRecord]:
        """What the judge was asked since the last time; nothing where it keeps no ledger."""
        take = getattr(self._judge, "take_calls", None)
        return [] if take is None else list(take())

    def charge(self, calls: Sequence[CallRecord]) -> None:
        """Count against the judge's budget what was asked in another process."""
        charge = getattr(self._judge, "charge", None)
        if charge is not None:
            paid = [call for call in calls if call.source == "endpoint"]
            tokens = sum(call.prompt_tokens + call.tokens for call in paid)
            charge(Spent(len(paid), tokens, sum(call.cost for call in paid)))

    def _plan(self, name: str) -> Plan:
        reward, term = self._found[name].reward, self.rubric.term(name)
        call = bind(name, reward, term.options)
        return Plan(name, reward, self.rubric.gates.get(name), term.otherwise, call, reward.deadline)

    def _without_judged(self, rubric: Rubric, found: Mapping[str, Found]) -> Rubric:
        judged = [name for name in rubric.terms if "judge" in found[name].reward.arguments]
        if not judged:
            return rubric
        names = ", ".join(judged)
        left = {name: term for name, term in rubric.terms.items() if name not in judged}
        if not left or rubric.correct in judged:
            raise UserError(f"the rubric needs a judge for {names}, and none is configured")
        for name, gate in gates_of({name: rubric.term(name).when for name in rubric.terms}).items():
            if name in left and gate.other in judged:
                raise UserError(f"reward {name!r} is gated on a judge's ({gate}), and no judge is configured")
        self._progress.note(f"no judge is configured: {names} left out of the rubric")
        return replace(rubric, terms=left)

    def _cost(self, name: str) -> str:
        return self._found[name].reward.cost

    def _kind(self, plan: Plan) -> Kind:
        if plan.reward.asynchronous or "judge" in plan.wants:
            return "loop"
        sendable = self._found[plan.name].source is not None and self._domain_can_be_sent()
        return "pool" if sendable and self._count > 0 and plan.reward.cost != "device" else "local"

    def _domain_can_be_sent(self) -> bool:
        record = self._host.records.get((self._name or "").split("/", 1)[0])
        return self._name is not None and record is not None and record.entry_point is not None

    def _open_pool(self, plans: Sequence[Plan]) -> set[str]:
        """Start workers for these plans; returns the names that turn out not to be found there."""
        if self._count <= 0 or not self._domain_can_be_sent():
            return set()
        assert self._name is not None
        pool = Pool(
            self._name,
            self._options,
            plans,
            [self._found[plan.name].source or () for plan in plans],
            [self.rubric.term(plan.name).options for plan in plans],
            count=self._count,
        )
        try:
            missing = pool.missing()
        except PoolUnavailable as error:
            self._progress.note(f"worker processes cannot build domain {self._name!r}: {error}")
            return {plan.name for plan in plans}
        except BaseException:
            pool.close()
            raise
        self._pool = pool
        self._in_pool = {plan.name: index for index, plan in enumerate(plans)}
        self._pool_plans = list(plans)
        return set(missing)

    def _warn(self, names: set[str]) -> None:
        if names and self._count > 0:
            listed = ", ".join(sorted(names))
            line = f"scored in this process, where a hang cannot be ended: {listed} (not importable by a worker)"
            self._progress.note(line)
            warnings.warn(line, UserWarning, stacklevel=caller())

    def _assembled(
        self,
        rows: Sequence[Row],
        jobs: Sequence[Job],
        places: Sequence[int],
        outcomes: Sequence[Mapping[str, Outcome]],
        step: int,
    ) -> list[Scored]:
        shares = [0] * len(jobs)
        for place in places:
            shares[place] += 1
        with self._turn:
            for share, results in zip(shares, outcomes, strict=True):
                for name, outcome in results.items():
                    self._tallies[name].add(outcome, share)
        weights = self.rubric.weights(step)
        made = [
            scored(self.rubric, job.task, job.completion or Completion(job.text), results, weights=weights)
            for job, results in zip(jobs, outcomes, strict=True)
        ]
        return [
            made[place] if made[place].task is row.task else replace(made[place], task=row.task)
            for row, place in zip(rows, places, strict=True)
        ]

    def _compute(self, jobs: list[Job], outcomes: list[dict[str, Outcome]]) -> None:
        early: dict[tuple[int, str], Future[list[Outcome]]] = {}
        if not self._phases or self._phases[0].kind != "pool":
            self._run("pool" if self._pool else "local", (), jobs, outcomes, lambda _: None)
        for place, phase in enumerate(self._phases):
            if phase.kind == "loop":
                self._on_loop(phase, jobs, outcomes, early)
                continue
            after = self._phases[place + 1] if place + 1 < len(self._phases) else None

            def finished(index: int, after: Phase | None = after) -> None:
                self._progress.advance()
                if after is not None and after.kind == "loop":
                    # A judge's answer takes long: ask as soon as the completion's gates are known.
                    self._submit(after, index, jobs[index], early)

            self._run(phase.kind, phase.names, jobs, outcomes, finished)

    def _run(
        self,
        kind: Kind,
        names: Sequence[str],
        jobs: list[Job],
        outcomes: list[dict[str, Outcome]],
        done: Callable[[int], None],
    ) -> None:
        """Parse, and compute these rewards in the pool or here."""
        pooled = kind == "pool" and self._pool is not None
        plans = self._pool_plans if pooled else self._plans
        indices = [index for index, plan in enumerate(plans) if plan.name in names]
        open_jobs = [index for index, job in enumerate(jobs) if not job.broken]
        for index, job in enumerate(jobs):
            job.todo = indices
            if job.broken:
                outcomes[index].update({name: failed(name, job.broken) for name in names})

        def result(at: int, plan: int, outcome: Outcome) -> None:
            outcomes[open_jobs[at]][plans[plan].name] = outcome

        chosen_jobs = [jobs[index] for index in open_jobs]
        if pooled:
            assert self._pool is not None
            with self._turn, no_collection():
                self._pool.run(chosen_jobs, result, lambda at: done(open_jobs[at]))
            return
        state = random.getstate()
        try:
            self._here(plans, chosen_jobs, result)
        finally:
            random.setstate(state)
        for index in open_jobs:
            done(index)

    def _here(self, plans: Sequence[Plan], jobs: Sequence[Job], result: Callable[[int, int, Outcome], None]) -> None:
        def emit(row: int, plan: int, value: Any) -> None:
            if plan != PARSE:
                result(row, plan, value)

        for _ in evaluate(self.domain.parse, plans, jobs, _Unwatched(), emit):
            pass

    def _submit(self, phase: Phase, index: int, job: Job, early: dict[tuple[int, str], Future[list[Outcome]]]) -> None:
        for plan in self._plans:
            batch = plan.batch
            if plan.name in phase.names and not job.broken and not batch and gate_outcome(plan, job.raw) is None:
                early[index, plan.name] = self._loop.submit(plan, [job])

    def _on_loop(
        self,
        phase: Phase,
        jobs: list[Job],
        outcomes: list[dict[str, Outcome]],
        early: dict[tuple[int, str], Future[list[Outcome]]],
    ) -> None:
        calls: list[tuple[Plan, list[int], Future[list[Outcome]]]] = []
        for plan in [plan for plan in self._plans if plan.name in phase.names]:
            waiting: list[int] = []
            for index, job in enumerate(jobs):
                decided = failed(plan.name, job.broken) if job.broken else gate_outcome(plan, job.raw)
                if decided is not None:
                    outcomes[index][plan.name] = decided
                    job.note(plan, decided)
                elif plan.batch:
                    waiting.append(index)
                else:
                    calls.append((plan, [index], early.get((index, plan.name)) or self._loop.submit(plan, [job])))
            if waiting:
                calls.append((plan, waiting, self._loop.submit(plan, [jobs[index] for index in waiting])))
        for plan, indices, future in calls:
            for index, outcome in zip(indices, self._loop.result(future), strict=True):
                outcomes[index][plan.name] = outcome
                jobs[index].note(plan, outcome)
        self._progress.advance(len(jobs))


class _Unwatched:
    """Nobody ends what runs in this process."""

    def begin(self, row: int, plan: int, seconds: float) -> None:
        pass

    def end(self) -> None:
        pass


def chosen(domain: Domain, rubric: Rubric | str | None) -> Rubric:
    """A rubric by itself, by its preset's name, or the domain's first."""
    if isinstance(rubric, Rubric):
        return rubric
    if not domain.rubrics:
        raise UserError("the domain has no rubric; give one")
    if rubric is None:
        return next(iter(domain.rubrics.values()))
    if rubric not in domain.rubrics:
        raise UnknownName("rubric", rubric, domain.rubrics)
    return domain.rubrics[rubric]
