"""Preference pairs from scored completions: which is better than which, by what rule, and why a task gave none.

Rules, for the completions of one task. ``best-worst``: the highest score against the lowest; of several that share one,
the first. ``max-min``: the same, but of those that share a rating one is drawn, which coarse ratings want. ``all``:
every two, the widest difference first. Whatever the rule: what is unscored never takes part, a text counts once, and
two that differ by less than ``margin`` or are too unlike in length are no pair.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from honewise.contracts import Message, Scored, Task

from .gates import Gate

__all__ = ["BY_TOTAL", "REASONS", "Candidate", "Found", "Pair", "PairRule", "candidate", "make_pairs", "prompt_key"]

BY_TOTAL = "total"
"""The score that decides where no reward is named."""

REASONS: Mapping[str, str] = {
    "unscored": "fewer than two of their completions are scored",
    "single": "they have fewer than two different completions",
    "tie": "all their completions score the same",
    "margin": "scores differ by less than the margin",
    "length": "lengths are too unlike",
}
"""Why a task gives no pair, in words."""

_SLACK = 1e-9


@dataclass(frozen=True, slots=True)
class Candidate:
    """One completion that may take part in a pair."""

    task: Task
    text: str
    score: float | None
    """What decides; None where it is unscored."""
    rewards: Mapping[str, float | None] = field(default_factory=dict)
    truncated: bool = False
    safe: bool | None = None
    """For cost models: whether it is safe at all; None where nobody said."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two completions of one prompt, of which the first is better."""

    task_id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    scores: tuple[float, float] | None = None
    """Of the chosen and the rejected one; None where only a preference is known."""
    margin: float | None = None
    """Difference of what was compared: of ``scores``, less a length penalty."""
    prob: float | None = None
    """Probability that the chosen one is better, where somebody gave one."""
    safe: tuple[bool, bool] | None = None
    truncated: tuple[bool, bool] = (False, False)
    """Which of the two was cut at the limit of sampling, so that it has no end to be learnt."""
    source: str = ""
    weight: float = 1.0
    provenance: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRule:
    """How pairs are made; see the module."""

    rule: Literal["best-worst", "max-min", "all"] = "best-worst"
    by: str = BY_TOTAL
    """``total``, or the name of a reward."""
    margin: float = 0.0
    ties: Literal["skip", "keep"] = "skip"
    """``keep``: two of equal score are a pair with ``prob`` one half, which is for soft targets only."""
    length_ratio: float | None = None
    """The longer text has at most so many times the characters of the shorter."""
    length_penalty: float = 0.0
    """Taken from the score for each character when completions are compared."""
    per_task: int | None = None
    """At most so many pairs of one task, the widest first."""
    safe: str | None = None
    """``"reward >= 1"``: which completions count as safe."""


@dataclass(slots=True)
class Found:
    """Pairs, and what became of everything else."""

    pairs: list[Pair] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    """``tasks``, ``tasks/paired``, ``tasks/REASON`` for each that gave none, ``completions``,
    ``completions/unscored``, ``completions/duplicate``."""

    def add(self, other: Found) -> None:
        self.pairs += other.pairs
        self.counts.update(other.counts)

    def why(self) -> str:
        """Why tasks gave no pair, the most frequent reason first."""
        told = [(self.counts[f"tasks/{name}"], words) for name, words in REASONS.items()]
        ranked = sorted((each for each in told if each[0]), key=lambda each: -each[0])
        return "; ".join(f"{count} of {self.counts['tasks']} tasks: {words}" for count, words in ranked)


def candidate(scored: Scored, rule: PairRule) -> Candidate:
    """A scored completion as the rule sees it."""
    values = {name: cell.value for name, cell in scored.rewards.items()}
    score = scored.total if rule.by == BY_TOTAL else values.get(rule.by)
    return Candidate(
        scored.task, scored.completion.text, score, values, scored.completion.truncated, safety(values, rule.safe)
    )


def safety(values: Mapping[str, float | None], safe: str | None) -> bool | None:
    """What the condition ``safe`` says of these rewards; None without a condition or without the reward's value."""
    if safe is None:
        return None
    gate = Gate.of("safe", safe)
    value = values.get(gate.other)
    return None if value is None else gate.open(value)


def prompt_key(prompt: Sequence[Message]) -> str:
    """Equal for equal prompts, whatever their tasks are called."""
    return json.dumps([dict(message) for message in prompt], sort_keys=True, ensure_ascii=False)


def make_pairs(
    candidates: Iterable[Candidate],
    rule: PairRule,
    *,
    seed: int = 0,
    source: str = "",
    weight: float = 1.0,
    provenance: Mapping[str, Any] | None = None,
) -> Found:
    """The pairs of each task's candidates, in the order in which tasks first occur.

    What is drawn follows from ``seed`` and the task's id, whatever other tasks there are.
    """
    groups: dict[tuple[str, str], list[Candidate]] = {}
    for each in candidates:
        groups.setdefault((each.task.id, prompt_key(each.task.prompt)), []).append(each)
    found = Found()
    for group in groups.values():
        found.counts["tasks"] += 1
        made, reason = _of_task(group, rule, seed, found.counts)
        if not made:
            found.counts[f"tasks/{reason}"] += 1
            continue
        found.counts["tasks/paired"] += 1
        facts = {"rule": rule.rule, "by": rule.by, "of": len(group), **(provenance or {})}
        found.pairs += [
            replace(pair, source=source, weight=weight, provenance={**facts, **pair.provenance}) for pair in made
        ]
    return found


def _of_task(group: Sequence[Candidate], rule: PairRule, seed: int, counts: Counter[str]) -> tuple[list[Pair], str]:
    """The pairs of one task, or why it has none."""
    counts["completions"] += len(group)
    texts: dict[str, Candidate] = {}
    for each in group:
        if each.text not in texts or (texts[each.text].score is None and each.score is not None):
            texts[each.text] = each
    different = list(texts.values())
    counts["completions/duplicate"] += len(group) - len(different)
    scored = [each for each in different if each.score is not None]
    counts["completions/unscored"] += sum(each.score is None for each in group)
    if len(scored) < 2:
        return [], "single" if len(different) < 2 else "unscored"
    draw = random.Random(f"{seed}\0{group[0].task.id}")
    ranked = sorted(_ordered(scored, rule, draw), key=lambda each: -each[0])
    wide = [each for each in ranked if each[0] >= rule.margin - _SLACK and (each[0] > _SLACK or rule.ties == "keep")]
    if not wide:
        return [], "tie" if ranked[0][0] <= _SLACK else "margin"
    alike = [each for each in wide if _alike(each[1].text, each[2].text, rule.length_ratio)]
    if not alike:
        return [], "length"
    most = 1 if rule.rule != "all" else rule.per_task
    if rule.rule == "max-min":
        top = [each for each in alike if each[0] >= alike[0][0] - _SLACK]
        alike = [draw.choice(top)]
    return [_pair(*each) for each in alike[:most]], ""


def _ordered(
    scored: Sequence[Candidate], rule: PairRule, draw: random.Random
) -> Iterator[tuple[float, Candidate, Candidate]]:
    """(difference, better, worse) of every two; which of two equal ones comes first is drawn."""
    compared = [float(each.score or 0.0) - rule.length_penalty * len(each.text) for each in scored]
    for one, other in combinations(range(len(scored)), 2):
        gap = compared[one] - compared[other]
        swap = gap < -_SLACK or (abs(gap) <= _SLACK and draw.random() < 0.5)
        better, worse = (scored[other], scored[one]) if swap else (scored[one], scored[other])
        yield abs(gap) if abs(gap) > _SLACK else 0.0, better, worse


def _alike(one: str, other: str, ratio: float | None) -> bool:
    return ratio is None or max(len(one), len(other)) <= ratio * min(len(one), len(other))


def _pair(gap: float, better: Candidate, worse: Candidate) -> Pair:
    assert better.score is not None
    assert worse.score is not None
    safe = None if better.safe is None or worse.safe is None else (better.safe, worse.safe)
    names = [name for name in better.rewards if name in worse.rewards]
    return Pair(
        task_id=better.task.id,
        prompt=better.task.prompt,
        chosen=better.text,
        rejected=worse.text,
        scores=(better.score, worse.score),
        margin=gap,
        prob=0.5 if gap == 0 else None,
        safe=safe,
        truncated=(better.truncated, worse.truncated),
        provenance={"rewards": {name: [better.rewards[name], worse.rewards[name]] for name in names}},
    )
