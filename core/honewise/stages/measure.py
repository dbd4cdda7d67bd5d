"""Measuring a policy: sample, score, and name the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from honewise.clients import CallRecord, judge_numbers
from honewise.contracts import Domain, Scored, Task
from honewise.metrics import metric_numbers
from honewise.progress import Progress
from honewise.runs.processes import Place
from honewise.runs.rows import RolloutRow
from honewise.scoring import AnyScorer, MixedDomain, Row, domain_of

if TYPE_CHECKING:
    from honewise.models.policy import Policy

__all__ = ["Measured", "Sampling", "best_of", "domains_of", "measure", "numbers_of", "per_task", "value_of"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a policy is asked."""

    temperature: float
    samples: int
    top_p: float = 1.0
    max_new_tokens: int = 256
    batch: int = 64
    seed: int = 0

    @property
    def label(self) -> str:
        """``greedy`` or ``t=0.7``."""
        return "greedy" if self.temperature == 0 else f"t={self.temperature:g}"


@dataclass(frozen=True, slots=True)
class Measured:
    """What a policy wrote, what it earned, and the numbers that sum it up."""

    rows: Sequence[RolloutRow]
    numbers: Mapping[str, float]
    calls: Sequence[CallRecord] = ()
    """What the judge was asked."""

    @property
    def scored(self) -> list[Scored]:
        return [row.scored for row in self.rows]


def measure(
    policy: Policy,
    tasks: Sequence[Task],
    scorer: AnyScorer,
    how: Sampling,
    progress: Progress,
    what: str,
    here: Place | None = None,
) -> Measured:
    """Completions of ``policy`` for ``tasks``, scored. ``what`` names the step to a person.

    Of several processes (``here`` says which this is) each does its share; all get the whole, equal to that of one.
    """
    from honewise.models.sampling import sample
    from honewise.models.text import prompt_text

    mine = range(here.rank, len(tasks), here.count) if here else range(len(tasks))
    progress.start(what, len(mine) * how.samples)
    drawn = sample(
        policy,
        [tasks[i].prompt for i in mine],
        samples=how.samples,
        temperature=how.temperature,
        top_p=how.top_p,
        max_new_tokens=how.max_new_tokens,
        batch=how.batch,
        seed=how.seed,
        places=mine,
        progress=progress,
    )
    rows = [
        Row(tasks[group], one.text, one.tokens, one.truncated, group)
        for group, samples in zip(mine, drawn, strict=True)
        for one in samples
    ]
    if here is not None and here.count > 1:
        from honewise.engine import processes

        mine_scored = processes.together(lambda: scorer.score(rows))
        scored, calls = _together(mine_scored, mine, how.samples), _all_calls(scorer)
    else:
        scored, calls = scorer.score(rows), scorer.take_calls()
    prompts = [prompt_text(policy.tokenizer, task.prompt) for task in tasks]
    stored = [
        RolloutRow(result, prompts[index // how.samples], index // how.samples, index % how.samples)
        for index, result in enumerate(scored)
    ]
    progress.done()
    return Measured(stored, {**numbers_of(scorer.domain, scored), **judge_numbers(calls)}, calls)


def _together(scored: Sequence[Scored], groups: Sequence[int], samples: int) -> list[Scored]:
    """The completions of all processes, in the order of their tasks."""
    from honewise.engine import processes

    parts = [(group, scored[i * samples : (i + 1) * samples]) for i, group in enumerate(groups)]
    return [one for _, part in sorted(processes.gather(parts), key=lambda each: each[0]) for one in part]


def _all_calls(scorer: AnyScorer) -> list[CallRecord]:
    from honewise.engine import processes

    return processes.everyones_calls(scorer)


def best_of(found: Measured, domain: Domain, by: str) -> Measured:
    """Of each task the one completion that is best in ``total`` or a reward, of equal ones the first; the numbers are
    theirs. One that is unscored is taken only where all of its task are."""
    name = by if by == "total" else f"reward/{by}"
    best: dict[int, RolloutRow] = {}
    for row in found.rows:
        value, kept = value_of(row.scored, name), best.get(row.group)
        before = None if kept is None else value_of(kept.scored, name)
        if kept is None or (value is not None and (before is None or value > before)):
            best[row.group] = row
    rows = list(best.values())
    return Measured(rows, numbers_of(domain, [row.scored for row in rows]))


def per_task(scored: Sequence[Scored], name: str) -> dict[str, float]:
    """Task id to the mean over its completions of ``correct``, ``total`` or ``reward/NAME``, where it was scored."""
    values: dict[str, list[float]] = {}
    for row in scored:
        value = value_of(row, name)
        if value is not None:
            values.setdefault(row.task.id, []).append(float(value))
    return {task: math.fsum(each) / len(each) for task, each in values.items()}


def numbers_of(domain: Domain, scored: Sequence[Scored]) -> dict[str, float]:
    """Means over tasks of the means over each task's completions, and the domain's own metrics.

    ``correct``, ``total``, ``reward/NAME``; ``any_correct`` is the share of tasks with a correct completion;
    ``unscored`` the share of completions without a total, ``tokens`` and ``truncated`` means over completions;
    ``metric/NAME`` or ``metric/NAME/KEY`` the domain's. What was never scored is left out. Of several domains, all but
    the rewards and metrics, which are named after theirs, stand as ``domain/NAME/...`` for each, too.
    """
    if not scored:
        return {}
    numbers = _means(scored)
    for name, metric in domain.metrics.items():
        numbers.update(metric_numbers(name, metric, scored))
    for name in domains_of(domain):
        own = _means([row for row in scored if domain_of(row.task) == name])
        numbers |= {f"domain/{name}/{key}": value for key, value in own.items() if not key.startswith("reward/")}
    return numbers


def _means(scored: Sequence[Scored]) -> dict[str, float]:
    if not scored:
        return {}
    names = [
        "correct",
        "total",
        *(f"reward/{name}" for name in dict.fromkeys(n for row in scored for n in row.rewards)),
    ]
    numbers: dict[str, float] = {}
    for name in names:
        values = per_task(scored, name)
        if values:
            numbers[name] = math.fsum(values.values()) / len(values)
    best: dict[str, bool] = {}
    for row in scored:
        if row.correct is not None:
            best[row.task.id] = best.get(row.task.id, False) or row.correct
    if best:
        numbers["any_correct"] = sum(best.values()) / len(best)
    count = len(scored)
    numbers["unscored"] = sum(row.total is None for row in scored) / count
    numbers["tokens"] = sum(row.completion.tokens for row in scored) / count
    numbers["truncated"] = sum(row.completion.truncated for row in scored) / count
    return numbers


def domains_of(domain: Domain) -> tuple[str, ...]:
    """The names of several domains; none where there is but one."""
    return tuple(domain.parts) if isinstance(domain, MixedDomain) else ()


def value_of(row: Scored, name: str) -> float | None:
    """``correct``, ``total`` or ``reward/NAME`` of one completion; None where it is not known, and for
    ``domain/NAME/...`` where it is of another domain."""
    if name.startswith("domain/"):
        _, domain, name = name.split("/", 2)
        if domain_of(row.task) != domain:
            return None
    if name == "correct":
        return None if row.correct is None else float(row.correct)
    if name == "total":
        return row.total
    cell = row.rewards.get(name.removeprefix("reward/"))
    return None if cell is None else cell.value
