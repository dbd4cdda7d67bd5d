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

__all__ = ["PARSE", "PARSE_SECONDS", "Job", "Plan", "Watch", "evaluate", "gate_outcome", "parse_text", "seed_for"]

PARSE = -1
"""Stands for the parser where a plan's index is asked for."""

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
    turns: Sequence[Turn] | None = None
    """Of ``settle.in_turn``; None where nobody has asked yet."""
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

    Of a text with several answers, what stood after each but the last is parsed and scored as well (``settle``).
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
    for index in sorted({index for job in jobs for index in job.todo}):
        rows = [row for row, job in enumerate(jobs) if index in job.todo]
        plan = plans[index]
        waiting = [row for row in rows if _gate(row, index, plan, jobs[row], emit)]
        for group in [waiting] if plan.batch and waiting else [[row] for row in waiting]:
            watch.begin(group[0], index, plan.seconds * len(group))
            outcomes = _call(plan, [jobs[row] for row in group])
            watch.end()
            for row, bare in zip(group, outcomes, strict=True):
                outcome = _settled(parse, row, index, plan, jobs[row], bare, watch)
                jobs[row].note(plan, outcome)
                emit(row, index, outcome)
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


def _settled(
    parse: Callable[[str, Task], Completion], row: int, index: int, plan: Plan, job: Job, whole: Outcome, watch: Watch
) -> Outcome:
    """``whole``, or settled answer by answer where the text has several."""
    assert job.completion is not None
    if whole.unscored is not None:
        return whole
    if job.turns is None:
        watch.begin(row, index, PARSE_SECONDS)
        job.turns = in_turn(lambda text: _read(parse, Job(job.task, text, (), {})), job.completion)
        watch.end()
    found = []
    for turn in job.turns[:-1]:
        watch.begin(row, index, plan.seconds)
        (outcome,) = _call(plan, [replace(job, text=turn.completion.text, completion=turn.completion)])
        watch.end()
        if outcome.unscored is None:
            found.append((turn, outcome))
    return settled([*found, (job.turns[-1], whole)]) if found else whole


def _read(parse: Callable[[str, Task], Completion], job: Job) -> Completion | None:
    found = parse_text(parse, job)
    return None if isinstance(found, str) else found


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
