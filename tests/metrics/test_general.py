"""Means that leave nothing out in silence, and pass@k against every way to draw."""

from __future__ import annotations

from itertools import combinations
from statistics import mean

import pytest

from honewise import Cell, Completion, Scored, Task
from honewise.metrics import accuracy, group_means, mean_of, pass_at_k, pass_at_ks, reward_means, summary


def row(task: str, correct: bool | None, value: float | None = 0.5, level: str = "easy") -> Scored:
    cell = Cell(value, unscored=None if value is not None else "gone")
    return Scored(Task(task, {}, meta={"level": level}), Completion("x"), {"a": cell}, value, correct)


ROWS = [
    row("1", True, 1.0),
    row("1", False, 0.0),
    row("2", None, None, "hard"),
    row("2", True, 0.25, "hard"),
]


def test_means_say_how_many_were_scored() -> None:
    assert accuracy(ROWS) == {"accuracy": 2 / 3, "accuracy_scored": 3, "accuracy_of": 4}
    assert reward_means(ROWS) == {
        "total": 1.25 / 3,
        "total_scored": 3,
        "total_of": 4,
        "a": 1.25 / 3,
        "a_scored": 3,
        "a_of": 4,
    }


def test_nothing_scored_is_no_number() -> None:
    assert accuracy([]) == {"accuracy_scored": 0, "accuracy_of": 0}
    assert accuracy([row("1", None)]) == {"accuracy_scored": 0, "accuracy_of": 1}
    assert str(mean_of([None, None])) == "- (0 of 2 scored)"
    assert str(mean_of([1, 0, None])) == "0.5 (2 of 3 scored)"
    assert str(mean_of([True])) == "1"


@pytest.mark.parametrize(("samples", "correct"), [(1, 0), (1, 1), (5, 0), (5, 2), (6, 5), (6, 6)])
def test_pass_at_k_is_the_share_of_all_draws_with_a_right_one(samples: int, correct: int) -> None:
    outcomes = [index < correct for index in range(samples)]
    for k in range(1, samples + 1):
        assert pass_at_k(samples, correct, k) == pytest.approx(mean(map(any, combinations(outcomes, k))))


@pytest.mark.parametrize(("samples", "correct", "k"), [(3, 1, 4), (3, 1, 0), (3, 4, 1), (3, -1, 1)])
def test_pass_at_k_refuses_what_has_no_sense(samples: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(samples, correct, k)


def test_pass_at_ks_is_the_mean_over_tasks_with_enough_scored() -> None:
    # task 1: 1 of 2; task 2: 1 of 1 scored
    assert pass_at_ks(1, 2)(ROWS) == {
        "pass@1": 0.75,
        "pass@1_scored": 2,
        "pass@1_of": 2,
        "pass@2": 1.0,
        "pass@2_scored": 1,
        "pass@2_of": 2,
    }


def test_groups_are_sorted_and_counted() -> None:
    groups = group_means(ROWS, lambda row: row.task.meta["level"], lambda row: row.correct)
    assert {name: (each.value, each.scored, each.of) for name, each in groups.items()} == {
        "easy": (0.5, 2, 2),
        "hard": (1.0, 1, 2),
    }
    assert list(groups) == ["easy", "hard"]
    assert list(summary(ROWS)) == ["correct", "total", "reward a"]
