"""Numbers over scored completions: accuracy by subject, macro-F1, calibration, majority of k, pass@k, exam marks.

All of them need a reward that decides ``correct`` in the rubric. Rows whose right option is not known are left out and
counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from honewise import Scored
from honewise.metrics import pass_at_k

from .parse import read_confidence
from .tasks import gold_label

__all__ = [
    "METRICS",
    "accuracy",
    "brier_score",
    "calibration",
    "exam",
    "expected_calibration_error",
    "macro_f1",
    "macro_f1_of",
    "majority",
    "majority_of",
    "negative_marks",
    "passes",
]

PENALTY = 1 / 3
"""What a wrong answer costs in exams of four options."""
BINS = 10
"""Bins of the expected calibration error."""

Numbers = Mapping[str, float]


def accuracy(rows: Sequence[Scored]) -> Numbers:
    """``accuracy`` over all rows and ``accuracy/SUBJECT``; ``answered`` is the share from which an option was read."""
    known = _known(rows)
    if not known:
        return {}
    groups: dict[str, list[bool]] = {}
    for row, gold in known:
        subject = str(row.task.meta.get("subject") or "")
        if subject:
            groups.setdefault(subject, []).append(row.completion.answer == gold)
    hits = [row.completion.answer == gold for row, gold in known]
    return {
        "accuracy": _mean(hits),
        **{f"accuracy/{subject}": _mean(groups[subject]) for subject in sorted(groups)},
        "answered": _mean(row.completion.answer is not None for row, _ in known),
        "accuracy_scored": float(len(known)),
        "accuracy_of": float(len(rows)),
    }


def macro_f1(rows: Sequence[Scored]) -> Numbers:
    """``macro_f1``: the mean F1 of the labels that are right somewhere or were chosen, as PubMedQA reports it.

    What chose nothing counts as a miss of its right label and as no choice of another.
    """
    known = _known(rows)
    return {"macro_f1": macro_f1_of([(row.completion.answer, gold) for row, gold in known])} if known else {}


def macro_f1_of(pairs: Sequence[tuple[str | None, str]]) -> float:
    """The unweighted mean of 2 TP / (2 TP + FP + FN) over labels, from pairs of what was chosen and what is right."""
    labels = sorted({label for pair in pairs for label in pair if label is not None})
    scores = []
    for label in labels:
        hits = sum(said == gold == label for said, gold in pairs)
        chosen, right = sum(said == label for said, _ in pairs), sum(gold == label for _, gold in pairs)
        scores.append(2 * hits / (chosen + right))
    return _mean(scores)


def calibration(rows: Sequence[Scored]) -> Numbers:
    """``ece``, ``brier`` and ``mean_confidence`` of stated probabilities; ``stated`` is the share that states one."""
    known = [(row, gold) for row, gold in _known(rows) if row.completion.answer is not None]
    if not known:
        return {}
    said = [
        (stated, row.completion.answer == gold)
        for row, gold in known
        if (stated := read_confidence(row.completion.pieces.get("confidence"))) is not None
    ]
    numbers = {"stated": len(said) / len(known)}
    if said:
        numbers["ece"] = expected_calibration_error(said)
        numbers["brier"] = brier_score(said)
        numbers["mean_confidence"] = _mean(stated for stated, _ in said)
    return numbers


def expected_calibration_error(said: Sequence[tuple[float, bool]], bins: int = BINS) -> float:
    """The mean distance of confidence and accuracy over equal-width bins, weighted by their size (Naeini et al. 2015).

    Bin b holds confidences in (b/B, (b+1)/B]; 0 belongs to the first.
    """
    groups: dict[int, list[tuple[float, bool]]] = {}
    for stated, hit in said:
        groups.setdefault(min(bins - 1, max(0, math.ceil(stated * bins - 1e-12) - 1)), []).append((stated, hit))
    gaps = [
        abs(_mean(stated for stated, _ in group) - _mean(hit for _, hit in group)) * len(group)
        for group in groups.values()
    ]
    return math.fsum(gaps) / len(said)


def brier_score(said: Sequence[tuple[float, bool]]) -> float:
    """The mean of (p - y)^2."""
    return _mean((stated - hit) ** 2 for stated, hit in said)


def majority_of(answers: Sequence[str | None], *, quorum: int | None = None) -> str | None:
    """The answer that most of several completions gave; None where it is not one, or fewer than ``quorum`` gave it.

    ``quorum`` is more than half of all of them where it is left out, as in Gaokerena's evaluation (3 of 5). Completions
    without an answer count among all.

    >>> majority_of(["A", "A", "B", None, "A"]), majority_of(["A", "A", "B", "B", None])
    ('A', None)
    """
    needed = len(answers) // 2 + 1 if quorum is None else quorum
    counts = Counter(answer for answer in answers if answer is not None).most_common(2)
    if not counts or counts[0][1] < needed or (len(counts) == 2 and counts[1][1] == counts[0][1]):
        return None
    return counts[0][0]


def negative_marks(right: int, wrong: int, of: int, penalty: float = PENALTY) -> float:
    """(right - penalty x wrong) / all: what was left open costs nothing."""
    return (right - penalty * wrong) / of


def majority(rows: Sequence[Scored]) -> Numbers:
    """Over tasks, by the majority of each one's completions: ``majority``, ``majority_open`` (no majority) and
    ``majority_marks`` with negative marking. Only for tasks with at least two completions."""
    tasks = [group for group in _by_task(rows) if len(group) > 1]
    if not tasks:
        return {}
    chosen = [(majority_of([row.completion.answer for row, _ in group]), group[0][1]) for group in tasks]
    right = sum(answer == gold for answer, gold in chosen)
    open_ = sum(answer is None for answer, _ in chosen)
    return {
        "majority": right / len(chosen),
        "majority_open": open_ / len(chosen),
        "majority_marks": negative_marks(right, len(chosen) - right - open_, len(chosen)),
    }


def passes(rows: Sequence[Scored]) -> Numbers:
    """``pass@k`` for k = 1, 2, 3, 5 as far as tasks have that many completions; unbiased (Chen et al. 2021)."""
    groups = [[row.completion.answer == gold for row, gold in group] for group in _by_task(rows)]
    numbers = {}
    for k in (1, 2, 3, 5):
        chances = [pass_at_k(len(hits), sum(hits), k) for hits in groups if len(hits) >= k]
        if chances:
            numbers[f"pass@{k}"] = _mean(chances)
    return numbers


def exam(rows: Sequence[Scored]) -> Numbers:
    """``marks``: the mean of 1 for right, -1/3 for wrong and 0 for open, where what is unreadable counts as open."""
    known = _known(rows)
    if not known:
        return {}
    right = sum(row.completion.answer == gold for row, gold in known)
    open_ = sum(row.completion.answer is None for row, _ in known)
    return {"marks": negative_marks(right, len(known) - right - open_, len(known)), "open": open_ / len(known)}


METRICS: Mapping[str, Callable[[Sequence[Scored]], Numbers]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "calibration": calibration,
    "majority": majority,
    "passes": passes,
    "exam": exam,
}


def _known(rows: Sequence[Scored]) -> list[tuple[Scored, str]]:
    return [(row, gold) for row in rows if (gold := gold_label(row.task)) is not None]


def _by_task(rows: Sequence[Scored]) -> list[list[tuple[Scored, str]]]:
    groups: dict[str, list[tuple[Scored, str]]] = {}
    for row, gold in _known(rows):
        groups.setdefault(row.task.id, []).append((row, gold))
    return list(groups.values())


def _mean(values: Iterable[Any]) -> float:
    every = [float(value) for value in values]
    return math.fsum(every) / len(every)
