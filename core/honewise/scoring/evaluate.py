"""Calling a domain's parser and reward functions on rows; the same code runs in workers and in this process.

No deadline is kept here: whoever calls from a worker says where it stands through a ``Watch``, and its parent kills.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from honewise.contracts import Completion, Reward, Task
from honewise.sandbox.process import running_model_text

from .gates import Gate
from .outcome import GATED, Outcome, checked, failed
from .settle import Turn, in_turn, settled

__all__ = [
    "PARSE",
    "PARSE_SECONDS",
    "SETTLE",
    "Job",
    "Plan",
    "Watch",
    "evaluate",
    "gate_outcome",
    "parse_text",
    "seed_for",
]

PARSE = -1
"""Stands for the parser where a plan's index is asked for."""

SETTLE = -2
"""The same for what an earlier part of a text was worth."""

PARSE_SECONDS = 5.0
"""Deadline of parsing one completion."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One reward of a rubric, ready to be called."""

    name: str
    reward: Reward
    gate: Gate | None = None
    otherwise: float = 0.0
    """The value that gates on this reward see where its own gate is closed."""
    call: Callable[..., Any] | None = None
    """The function with its options bound; None where it lives in workers only."""
    seconds: float = 5.0
    """Deadline per completion."""
    wants: frozenset[str] = field(init=False)
    """The arguments that the function takes; kept, because looking them up costs more than most rewards."""
    batch: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "wants", self.reward.arguments)
        object.__setattr__(self, "batch", bool(self.wants & {"tasks", "completions"}))


@dataclass(slots=True)
class Job:
    """One completion and what is still to be computed for it."""

    task: Task
    text: str
    todo: Sequence[int]
    """Indices of plans."""
    raw: dict[str, float | None]
    """Raw values by reward name, for gates; None where unscored."""
    tokens: int = 0
    truncated: bool = False
    seed: int = 0
    completion: Completion | None = None
    settle: bool = True
    """Whether a part that is written again is paid what it adds; False where to find that out ended a worker."""
    turns: Sequence[tuple[Turn, Job]] | None = None
    """Of ``settle.in_turn``, each with a job of its own, the last with this one; None where nobody has asked yet."""
    broken: str = ""
    """Why the text could not be parsed; ``completion`` is then the bare text."""

    def note(self, plan: Plan, outcome: Outcome) -> None:
        """Remember a result for the gates that ask for it."""
        unscored = outcome.unscored is not None
        self.raw[plan.name] = plan.otherwise if outcome.gated else None if unscored else outcome.value

    def refuse(self, reason: str) -> None:
        """The text could not be parsed, which is never the model's fault."""
        self.broken = reason
        self.completion = Completion(self.text, tokens=self.tokens, truncated=self.truncated)


class Watch(Protocol):
    """Told what is about to run, so that someone outside can end it."""

    def begin(self, row: int, plan: int, seconds: float) -> None: ...

    def end(self) -> None: ...


Emit = Callable[[int, int, Any], None]
"""``emit(row, plan, result)``: an ``Outcome``; for ``PARSE`` a ``Completion`` or the reason why there is none."""


def evaluate(
    parse: Callable[[str, Task], Completion], plans: Sequence[Plan], jobs: Sequence[Job], watch: Watch, emit: Emit
) -> Iterable[None]:
    """Parse each job once, then compute plan after plan; yields after each call, for whoever sends results on.

    Of a text in which a part is written again, what stood before is parsed and scored as well (``settle``).
    Rewards that take a batch get all jobs whose gate is open in one call, or one job a call where there is one job.
    """
    for row, job in enumerate(jobs):
        if job.completion is None:
            watch.begin(row, PARSE, PARSE_SECONDS)
            parsed = parse_text(parse, job)
            watch.end()
            if isinstance(parsed, str):
                job.refuse(parsed)
            else:
                job.completion = parsed
            emit(row, PARSE, parsed)
            yield
        if job.broken:
            for index in job.todo:
                emit(row, index, failed(plans[index].name, job.broken))
            job.todo = ()
    deciding = {plan.gate.other for plan in plans if plan.gate is not None}
    for index in sorted({index for job in jobs for index in job.todo}):
        rows = [row for row, job in enumerate(jobs) if index in job.todo]
        plan = plans[index]
        waiting = [row for row in rows if _gate(row, index, plan, jobs[row], emit)]
        for group in [waiting] if plan.batch and waiting else [[row] for row in waiting]:
            watch.begin(group[0], index, plan.seconds * len(group))
            outcomes = _call(plan, [jobs[row] for row in group])
            watch.end()
            for row, whole in zip(group, outcomes, strict=True):
                jobs[row].note(plan, whole)
            asked = [
                row
                for row, whole in zip(group, outcomes, strict=True)
                if jobs[row].settle
                and whole.unscored is None
                # What earned something, and at no place, is not paid for parts, and need not be asked again.
                and (whole.spans or whole.terminal <= 0 or plan.name in deciding)
            ]
            before = _before(parse, {row: jobs[row] for row in asked}, plan, watch)
            for row, whole in zip(group, outcomes, strict=True):
                emit(row, index, settled([*before[row], (_last(jobs[row]), whole)]) if before.get(row) else whole)
            yield


def parse_text(parse: Callable[[str, Task], Completion], job: Job) -> Completion | str:
    """The domain's reading of a text, or why there is none (which is never the model's fault)."""
    try:
        completion = parse(job.text, job.task)
        if not isinstance(completion, Completion):
            return f"the domain's parser gave {type(completion).__name__}, not a Completion"
        if completion.text != job.text:
            return "the domain's parser changed the text; spans would stand in the wrong place"
        answer = _json(completion.answer)
        if answer is completion.answer and (job.tokens, job.truncated) == (completion.tokens, completion.truncated):
            return completion
        return Completion(job.text, answer, completion.pieces, job.tokens, job.truncated, completion.segments)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return f"the domain's parser raised {type(error).__name__}: {error}"


def gate_outcome(plan: Plan, raw: Mapping[str, float | None]) -> Outcome | None:
    """What a gate decides without a call: ``GATED``, or unscored where its own reward is; None where it is open."""
    if plan.gate is None:
        return None
    value = raw.get(plan.gate.other)
    if value is None:
        return failed(plan.name, f"its gate {plan.gate} cannot be decided, {plan.gate.other} is unscored")
    return None if plan.gate.open(value) else GATED


def seed_for(seed: int, task_id: str, text: str) -> int:
    """The same for the same run seed, task and text, wherever and whenever it is scored."""
    digest = hashlib.blake2b(f"{seed}\0{task_id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8)
    return int.from_bytes(digest.digest(), "big")


def _gate(row: int, index: int, plan: Plan, job: Job, emit: Emit) -> bool:
    """Whether the reward must be called; else what the gate decided is emitted."""
    outcome = gate_outcome(plan, job.raw)
    if outcome is None:
        return True
    job.note(plan, outcome)
    emit(row, index, outcome)
    return False


def _before(
    parse: Callable[[str, Task], Completion], jobs: Mapping[int, Job], plan: Plan, watch: Watch
) -> Mapping[int, list[tuple[Turn, Outcome]]]:
    """What each row's text was worth after each of its turns but the last, in their order."""
    found: dict[int, list[tuple[Turn, Outcome]]] = {row: [] for row in jobs}
    calls: list[tuple[int, Turn, Job]] = []
    for row, job in jobs.items():
        for turn, each in _turns(parse, row, job, watch)[:-1]:
            gate = gate_outcome(plan, {**job.raw, **each.raw})
            if gate is None:
                calls.append((row, turn, each))
            else:
                each.note(plan, gate)
                found[row] += [(turn, Outcome())] if gate.gated else []
    for group in [calls] if plan.batch and calls else [[call] for call in calls]:
        watch.begin(group[0][0], SETTLE, plan.seconds * len(group))
        outcomes = _call(plan, [each for _, _, each in group])
        watch.end()
        for (row, turn, each), outcome in zip(group, outcomes, strict=True):
            each.note(plan, outcome)
            found[row] += [(turn, outcome)] if outcome.unscored is None else []
    return {row: sorted(own, key=lambda item: item[0].start) for row, own in found.items()}


def _turns(parse: Callable[[str, Task], Completion], row: int, job: Job, watch: Watch) -> Sequence[tuple[Turn, Job]]:
    if job.turns is None:
        assert job.completion is not None

        def read(text: str) -> Completion | None:
            watch.begin(row, SETTLE, PARSE_SECONDS)
            found = parse_text(parse, Job(job.task, text, (), {}))
            watch.end()
            return None if isinstance(found, str) else found

        *earlier, last = in_turn(read, job.completion)
        job.turns = [*((turn, _up_to(job, turn.completion)) for turn in earlier), (last, job)]
    return job.turns


def _last(job: Job) -> Turn:
    assert job.turns is not None
    return job.turns[-1][0]


def _up_to(job: Job, completion: Completion) -> Job:
    """A job for what stood before; how many tokens it has can only be estimated."""
    tokens = round(job.tokens * len(completion.text) / len(job.text))
    return Job(job.task, completion.text, (), {}, tokens, seed=job.seed, completion=replace(completion, tokens=tokens))


def _call(plan: Plan, jobs: Sequence[Job]) -> list[Outcome]:
    random.seed(jobs[0].seed)
    began = time.perf_counter()
    try:
        results = _results(plan, jobs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() in a reward is its own failure, not ours
        if len(jobs) > 1:
            return [_call(plan, [job])[0] for job in jobs]
        why = f"raised {type(error).__name__}: {error}"
        return [failed(plan.name, why, time.perf_counter() - began)]
    seconds = (time.perf_counter() - began) / len(jobs)
    if isinstance(results, str):
        return [failed(plan.name, results, seconds)] * len(jobs)
    return [
        checked(plan.name, plan.reward, result, job.text, seconds) for job, result in zip(jobs, results, strict=True)
    ]


def _results(plan: Plan, jobs: Sequence[Job]) -> Sequence[object] | str:
    assert plan.call is not None
    arguments: dict[str, Any] = {}
    if "tasks" in plan.wants:
        arguments["tasks"] = [job.task for job in jobs]
    if "completions" in plan.wants:
        arguments["completions"] = [job.completion for job in jobs]
    if "task" in plan.wants:
        arguments["task"] = jobs[0].task
    if "completion" in plan.wants:
        arguments["completion"] = jobs[0].completion
    hostile = plan.reward.cost == "process"
    with running_model_text() if hostile else nullcontext():
        result = plan.call(**arguments)
        if not plan.batch:
            return [result]
        try:
            results = list(result)
        except TypeError:
            return f"takes a batch and returned {type(result).__name__}; one result for each completion is needed"
    if len(results) != len(jobs):
        return f"returned {len(results)} results for a batch of {len(jobs)}"
    return results


def _json(answer: Any) -> Any:
    """An answer as every reward sees it, whether or not it travelled between processes."""
    if answer is None or type(answer) in (str, int, bool):
        return answer
    return json.loads(json.dumps(answer, allow_nan=False))
