"""The ``evaluate`` stage: policies measured on the held-out tasks, with paired intervals for their differences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from honewise.contracts import Scored, Task
from honewise.metrics import paired_bootstrap
from honewise.recipes.schema import EvaluateStage
from honewise.runs.run import StageContext
from honewise.runs.store import Store

from .judging import lent
from .measure import Measured, Sampling, best_of, domains_of, measure, per_task
from .workbench import Workbench

__all__ = ["run_evaluate"]

ROUNDS = 4_000
"""Of the bootstrap: the ends of an interval move by about a fiftieth of its width from seed to seed."""

COMPARED = ("correct", "total")


@dataclass(frozen=True, slots=True)
class _Setting:
    """One row of the table: a policy and how it is asked."""

    of: str
    how: Sampling
    control: bool = False
    by: str = ""
    """What the one completion is best in that is kept of each task's; empty where all are."""

    @property
    def name(self) -> str:
        if not self.by:
            return f"{self.of} {self.how.label}"
        by = "" if self.by == "total" else f" by {self.by}"
        return f"{self.of} {self.how.label} best of {self.how.samples}{by}"


def run_evaluate(bench: Workbench, stage: EvaluateStage, ctx: StageContext) -> None:
    """Measure what is not in the store yet, then compare. A measurement is stored whole or not at all."""
    settings = list({setting.name: setting for setting in reversed([*_settings(bench, stage, ctx)])}.values())[::-1]
    tasks = bench.materials.held_out.tasks[: stage.limit]
    stored = {evaluation.name for evaluation in ctx.store.evaluations(ctx.stage)}
    for of in dict.fromkeys(setting.of for setting in settings):
        todo = [setting for setting in settings if setting.of == of and setting.name not in stored]
        if todo:
            _measure(bench, ctx, of, todo, tasks)
    if ctx.place.first:
        _compare(ctx, stage, settings, domains_of(bench.materials.domain))


def _measure(bench: Workbench, ctx: StageContext, of: str, todo: Sequence[_Setting], tasks: Sequence[Task]) -> None:
    """All that is still to be measured of one policy, which is let go before the next is loaded."""
    policy = bench.policy(of)
    with lent(bench.judge, policy):
        for setting in todo:
            what = f"{ctx.stage}: {setting.name}"
            found = measure(policy, tasks, bench.scorer, setting.how, ctx.progress, what, ctx.place)
            ctx.store.write_calls(ctx.stage, None, found.calls)
            bench.check_budget(found.scored)
            kept = best_of(found, bench.scorer.domain, setting.by) if setting.by else found
            _keep(ctx, setting, kept, len(tasks))


def _settings(bench: Workbench, stage: EvaluateStage, ctx: StageContext) -> Iterator[_Setting]:
    """Each policy greedy and sampled, then the controls; each named once."""
    how = Sampling(
        temperature=0.0,
        samples=1,
        top_p=stage.top_p,
        max_new_tokens=stage.max_new_tokens or bench.completion_length(ctx.stage),
        batch=stage.batch,
        seed=ctx.seed,
    )
    sampled = replace(how, temperature=stage.temperature, samples=stage.samples)
    for of in bench.measured(ctx.stage):
        yield _Setting(of, how)
        if stage.samples:
            yield _Setting(of, sampled)
    for control in stage.controls:
        count = 1 if control.temperature == 0 else control.best_of or control.samples or stage.samples or 1
        by = control.by if control.best_of else ""
        yield _Setting(control.of, replace(how, temperature=control.temperature, samples=count), True, by)


def _keep(ctx: StageContext, setting: _Setting, found: Measured, tasks: int) -> None:
    how = setting.how
    settings: dict[str, Any] = {
        "temperature": how.temperature,
        "top_p": how.top_p,
        "samples": 1 if setting.by else how.samples,
        "max_new_tokens": how.max_new_tokens,
        "seed": how.seed,
        "tasks": tasks,
        "control": setting.control,
        "scored": sum(row.total is not None for row in found.scored),
        "completions": len(found.rows),
    }
    if setting.by:
        settings |= {"best_of": how.samples, "by": setting.by}
    ctx.store.write_eval(ctx.stage, setting.name, setting.of, settings, found.rows, found.numbers)


def _compare(ctx: StageContext, stage: EvaluateStage, settings: Sequence[_Setting], domains: Sequence[str]) -> None:
    """Each policy against the first, the named pairs, and the others against each control; like against like. Of
    several domains, over all their tasks, and over those of each."""
    main = [setting for setting in settings if not setting.control]
    first = main[0].of
    wanted = [[one.of, first] for one in main] + list(stage.differences)
    pairs = [(o, t) for o in main for t in main if o.how == t.how and o.of != t.of and [o.of, t.of] in wanted]
    usual = [setting for setting in main if setting.how.temperature > 0 or not stage.samples]
    pairs += [(o, t) for t in settings if t.control for o in usual if o.of not in (first, t.of)]
    read = _Reader(ctx.store, ctx.stage)
    for one, other in pairs:
        for metric in (*COMPARED, *(f"domain/{name}/{metric}" for name in domains for metric in COMPARED)):
            ours, theirs = per_task(read.scored(one.name), metric), per_task(read.scored(other.name), metric)
            shared = [task for task in ours if task in theirs]
            if shared:
                values = [ours[t] for t in shared], [theirs[t] for t in shared]
                found = paired_bootstrap(*values, seed=ctx.seed, rounds=ROUNDS)
                ctx.store.write_comparison(
                    ctx.stage, one.name, other.name, metric,
                    difference=found.difference, low=found.low, high=found.high, tasks=len(shared),
                )  # fmt: skip


class _Reader:
    """Scored completions of evaluations, from the store, so that a resumed stage compares what a whole one does."""

    def __init__(self, store: Store, stage: str) -> None:
        self._store = store
        self._ids = {evaluation.name: evaluation.id for evaluation in store.evaluations(stage)}
        self._read: dict[str, list[Scored]] = {}

    def scored(self, name: str) -> list[Scored]:
        if name not in self._read:
            self._read[name] = [row.scored for row in self._store.rollouts(evaluation=self._ids[name])]
        return self._read[name]
