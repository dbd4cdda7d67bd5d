"""Metrics against scikit-learn, against a second implementation, and by hand."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Scored, Task
from honewise_medical_mcq.metrics import (
    METRICS,
    accuracy,
    brier_score,
    calibration,
    exam,
    expected_calibration_error,
    macro_f1_of,
    majority,
    majority_of,
    negative_marks,
    passes,
)
from honewise_medical_mcq.parse import parse
from honewise_medical_mcq.tasks import make_task

sklearn = pytest.importorskip("sklearn.metrics")


def task(id: str, answer: int | None = 0, subject: str = "") -> Task:
    return make_task(id, "Which?", ["w", "x", "y", "z"], answer, subject=subject)


def row(made: Task, text: str) -> Scored:
    return Scored(made, parse(text, made), {})


LABELS = st.sampled_from(["yes", "no", "maybe"])


@given(st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=40))
def test_macro_f1_agrees_with_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    said, gold = zip(*pairs, strict=True)
    assert macro_f1_of(pairs) == pytest.approx(sklearn.f1_score(gold, said, average="macro", zero_division=0))


PERCENTS = st.integers(0, 100).map(lambda percent: percent / 100)


@given(st.lists(st.tuples(PERCENTS, st.booleans()), min_size=1, max_size=60))
def test_brier_and_ece_agree_with_others(said: list[tuple[float, bool]]) -> None:
    stated, hits = zip(*said, strict=True)
    assert brier_score(said) == pytest.approx(
        sklearn.brier_score_loss(hits, stated, pos_label=True, labels=[False, True])
    )
    assert expected_calibration_error(said) == pytest.approx(_second_ece(said), abs=1e-9)


def _second_ece(said: list[tuple[float, bool]]) -> float:
    """Another way to the same number: whole percents, each put into its bin by integers."""
    bins: dict[int, list[tuple[float, bool]]] = {}
    for stated, hit in said:
        bins.setdefault(max(0, (round(100 * stated) - 1) // 10), []).append((stated, hit))
    return sum(abs(sum(p for p, _ in inside) - sum(y for _, y in inside)) for inside in bins.values()) / len(said)


def test_ece_by_hand() -> None:
    said = [(0.95, True), (0.95, False), (0.15, False), (1.0, True), (0.0, False)]
    assert expected_calibration_error(said) == pytest.approx((abs(2.9 - 2) + 0.15 + 0.0) / 5)


def test_accuracy_by_subject_agrees_with_scikit_learn() -> None:
    dice = random.Random(0)
    rows = [
        row(task(str(n), dice.randrange(4), dice.choice(["heart", "lung"])), dice.choice("ABCD")) for n in range(200)
    ]
    numbers = accuracy(rows)
    for subject in ("heart", "lung"):
        chosen = [each for each in rows if each.task.meta["subject"] == subject]
        gold = ["ABCD"[each.task.reference["answer"]] for each in chosen]
        expected = sklearn.accuracy_score(gold, [each.completion.answer for each in chosen])
        assert numbers[f"accuracy/{subject}"] == pytest.approx(expected)
    assert numbers["answered"] == 1.0
    assert accuracy([*rows, row(task("hidden", None), "A")])["accuracy_scored"] == 200


@pytest.mark.parametrize(
    ("answers", "agreed"),
    [
        ("AAABB", "A"),
        ("AABBC", None),
        ("AAB--", None),
        ("AAA--", "A"),
        ("-----", None),
        ("AB", None),
        ("AA", "A"),
    ],
)
def test_majority_needs_more_than_half(answers: str, agreed: str | None) -> None:
    given_ = [None if letter == "-" else letter for letter in answers]
    assert majority_of(given_) == agreed
    assert majority_of(["A", "A", "B", "C", "D"], quorum=2) == "A"
    assert majority_of(["A", "A", "B", "B", "D"], quorum=2) is None


def test_negative_marking_by_hand() -> None:
    assert negative_marks(7, 2, 10) == pytest.approx((7 - 2 / 3) / 10)
    rows = [row(task("0"), text) for text in ("A", "A", "B", "I do not know", "A or B")]
    assert exam(rows) == pytest.approx({"marks": (2 - 1 / 3) / 5, "open": 2 / 5})


def test_majority_and_pass_at_k_by_hand() -> None:
    texts = {"0": "AAABB", "1": "AABBC", "2": "BBBBA"}
    rows = [row(task(id), letter) for id, letters in texts.items() for letter in letters]
    assert majority(rows) == pytest.approx(
        {"majority": 1 / 3, "majority_open": 1 / 3, "majority_marks": (1 - 1 / 3) / 3}
    )
    numbers = passes(rows)
    for k in (1, 2, 3, 5):
        drawn = [
            any(letters[at] == "A" for at in chosen)
            for letters in texts.values()
            for chosen in itertools.combinations(range(5), k)
        ]
        assert numbers[f"pass@{k}"] == pytest.approx(sum(drawn) / len(drawn))
    assert numbers["pass@3"] == pytest.approx((1 + (1 - 1 / 10) + 6 / 10) / 3)


def test_calibration_reads_what_was_stated() -> None:
    rows = [row(task("0"), "<answer>A</answer><confidence>0.75</confidence>"), row(task("1"), "B"), row(task("2"), "?")]
    assert calibration(rows) == pytest.approx({"stated": 0.5, "ece": 0.25, "brier": 0.0625, "mean_confidence": 0.75})


def test_nothing_to_count_is_no_number() -> None:
    for name, metric in METRICS.items():
        for rows in ([], [row(task("0", None), "A")]):
            assert not metric(rows), name
