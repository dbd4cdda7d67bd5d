"""The tables of a report, computed from the store."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from honewise.metrics import paired_bootstrap
from honewise.runs.rows import Comparison, Evaluation, StoredRollout
from honewise.runs.store import Store

__all__ = ["Headline", "Latency", "Measurement", "Reason", "headlines", "latencies", "measurements", "unscored_reasons"]

_ROUNDS = 2000
_SHOWN_REASONS = 12


@dataclass(frozen=True, slots=True)
class Measurement:
    """One policy measured in one way, with the interval of its share of correct completions."""

    evaluation: Evaluation
    low: float | None
    high: float | None

    @property
    def control(self) -> bool:
        return bool(self.evaluation.settings.get("control"))

    @property
    def correct(self) -> float | None:
        value = self.evaluation.metrics.get("correct")
        return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class Headline:
    """Before and after, of one way of sampling."""

    how: str
    before: Evaluation
    after: Evaluation
    comparison: Comparison


@dataclass(frozen=True, slots=True)
class Reason:
    """Why completions could not be scored by one reward."""

    where: str
    reward: str
    reason: str
    count: int
    of: int


@dataclass(frozen=True, slots=True)
class Latency:
    """How long one reward took for a completion, in seconds, over ``calls`` completions."""

    reward: str
    calls: int
    mean: float
    p50: float
    p95: float
    slowest: float
    total: float
    gated: int
    unscored: int


def measurements(store: Store, stage: str, rollouts: Mapping[int, Sequence[StoredRollout]]) -> list[Measurement]:
    """Each evaluation of a stage; the interval is a bootstrap over its tasks. ``rollouts`` are by evaluation."""
    made = []
    for evaluation in store.evaluations(stage):
        tasks: dict[str, list[float]] = {}
        for row in rollouts.get(evaluation.id, ()):
            if row.scored.correct is not None:
                tasks.setdefault(row.task_id, []).append(float(row.scored.correct))
        means = [math.fsum(each) / len(each) for each in tasks.values()]
        if means:
            found = paired_bootstrap(means, [0.0] * len(means), rounds=_ROUNDS)
            made.append(Measurement(evaluation, found.low, found.high))
        else:
            made.append(Measurement(evaluation, None, None))
    return made


def headlines(store: Store, stage: str) -> list[Headline]:
    """What the last policy gained over the first it is compared with, for each way of sampling, controls left out."""
    named = {evaluation.name: evaluation for evaluation in store.evaluations(stage)}
    trained = {state.stage for state in store.stages() if state.kind in ("rl", "dpo")}
    best: dict[str, Headline] = {}
    for pair in store.comparisons(stage):
        after, before = named.get(pair.one), named.get(pair.other)
        if pair.metric != "correct" or after is None or before is None:
            continue
        if after.settings.get("control") or before.settings.get("control") or (trained and after.of not in trained):
            continue
        how = _how(after)
        if how == _how(before) and (how not in best or best[how].before.of == before.of):
            best[how] = Headline(how, before, after, pair)
    return list(best.values())


def _how(evaluation: Evaluation) -> str:
    temperature = evaluation.settings.get("temperature")
    if not isinstance(temperature, int | float):
        return evaluation.name
    return "greedy" if temperature == 0 else f"sampled at temperature {temperature:g}"


def unscored_reasons(rollouts: Mapping[str, Sequence[StoredRollout]]) -> list[Reason]:
    """The most frequent reasons by place (a stage, an evaluation) and reward; the rest is one line for each reward."""
    made: list[Reason] = []
    for where, rows in rollouts.items():
        counts = Counter(
            (name, cell.unscored)
            for row in rows
            for name, cell in row.scored.rewards.items()
            if cell.unscored is not None
        )
        ranked = counts.most_common()
        made += [Reason(where, name, reason, count, len(rows)) for (name, reason), count in ranked[:_SHOWN_REASONS]]
        others: Counter[str] = Counter()
        for (name, _), count in ranked[_SHOWN_REASONS:]:
            others[name] += count
        made += [Reason(where, name, "other reasons", count, len(rows)) for name, count in others.items()]
    return made


def latencies(rollouts: Sequence[StoredRollout]) -> list[Latency]:
    """By reward, in the order of first appearance. A gated or repeated completion costs no time and is no call."""
    seconds: dict[str, list[float]] = {}
    gated: Counter[str] = Counter()
    unscored: Counter[str] = Counter()
    for row in rollouts:
        for name, cell in row.scored.rewards.items():
            kept = seconds.setdefault(name, [])
            gated[name] += cell.gated
            unscored[name] += cell.unscored is not None
            if cell.seconds > 0 and not cell.gated:
                kept.append(cell.seconds)
    made = []
    for name, values in seconds.items():
        values.sort()
        total = math.fsum(values)
        mean, slowest = (total / len(values), values[-1]) if values else (0.0, 0.0)
        p50, p95 = _quantile(values, 0.5), _quantile(values, 0.95)
        made.append(Latency(name, len(values), mean, p50, p95, slowest, total, gated[name], unscored[name]))
    return made


def _quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)] if ordered else 0.0
