"""The paired bootstrap against what can be worked out."""

from __future__ import annotations

import math
import random
import statistics

import pytest

from honewise.metrics import bootstrap_change, paired_bootstrap
from honewise.metrics.judging import mean


def test_equal_differences_leave_no_doubt() -> None:
    found = paired_bootstrap([0.5, 0.75, 1.0], [0.25, 0.5, 0.75])
    assert (found.difference, found.low, found.high, found.tasks) == (0.25, 0.25, 0.25, 3)


def test_two_tasks_give_the_three_means_they_can_give() -> None:
    """Drawing 2 of {0, 1}: mean 0, .5, 1 with chances 1/4, 1/2, 1/4."""
    wide = paired_bootstrap([0.0, 1.0], [0.0, 0.0], confidence=0.95)
    assert (wide.difference, wide.low, wide.high) == (0.5, 0.0, 1.0)
    narrow = paired_bootstrap([0.0, 1.0], [0.0, 0.0], confidence=0.4)
    assert (narrow.low, narrow.high) == (0.5, 0.5)


def test_many_tasks_come_to_the_normal_interval() -> None:
    rng = random.Random(5)
    ours = [float(rng.random() < 0.7) for _ in range(400)]
    theirs = [float(rng.random() < 0.5) for _ in range(400)]
    found = paired_bootstrap(ours, theirs, seed=1)
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    middle = math.fsum(differences) / 400
    error = math.sqrt(math.fsum((each - middle) ** 2 for each in differences) / 400) / 20
    assert found.difference == pytest.approx(middle)
    assert found.low == pytest.approx(middle - 1.96 * error, abs=0.1 * error)
    assert found.high == pytest.approx(middle + 1.96 * error, abs=0.1 * error)


def test_it_turns_round_with_its_sides_and_depends_on_the_seed_alone() -> None:
    rng = random.Random(2)
    one, other = [rng.random() for _ in range(50)], [rng.random() for _ in range(50)]
    random.seed(1)
    first = paired_bootstrap(one, other, seed=3)
    random.seed(2)
    assert paired_bootstrap(one, other, seed=3) == first
    assert paired_bootstrap(one, other, seed=4) != first
    turned = paired_bootstrap(other, one, seed=3)
    assert (turned.difference, turned.low, turned.high) == pytest.approx((-first.difference, -first.high, -first.low))


def test_pairing_is_what_makes_it_narrow() -> None:
    rng = random.Random(4)
    theirs = [rng.random() for _ in range(100)]
    ours = [each + 0.05 + 0.01 * rng.random() for each in theirs]
    found = paired_bootstrap(ours, theirs)
    assert found.high - found.low < 0.01
    assert 0.05 < found.low < found.difference < found.high < 0.06


@pytest.mark.parametrize(
    ("ours", "theirs", "settings"),
    [
        ([], [], {}),
        ([1.0], [1.0, 2.0], {}),
        ([math.nan], [1.0], {}),
        ([1.0], [math.inf], {}),
        ([1.0], [1.0], {"confidence": 1.0}),
        ([1.0], [1.0], {"rounds": 0}),
    ],
)
def test_what_has_no_sense_is_refused(ours: list[float], theirs: list[float], settings: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        paired_bootstrap(ours, theirs, **settings)  # type: ignore[arg-type]


# changes between two sides


def test_a_change_of_means_has_the_width_of_theory() -> None:
    chance = random.Random(5)
    before = [chance.gauss(0, 1) for _ in range(400)]
    after = [chance.gauss(1, 2) for _ in range(300)]
    found = bootstrap_change(before, after, mean, rounds=2000)
    assert found.value == pytest.approx(statistics.fmean(after) - statistics.fmean(before))
    assert found.count == 300
    wide = 2 * 1.96 * math.sqrt(statistics.variance(before) / 400 + statistics.variance(after) / 300)
    assert found.high is not None
    assert found.low is not None
    assert found.high - found.low == pytest.approx(wide, rel=0.1)


def test_pairs_are_drawn_together() -> None:
    """Everything rose by one: without doubt where pairs are pairs, with doubt where they are not."""
    before = [float(n) for n in range(30)]
    after = [value + 1 for value in before]
    paired = bootstrap_change(before, after, mean, paired=True)
    assert (paired.low, paired.high) == (pytest.approx(1), pytest.approx(1))
    loose = bootstrap_change(before, after, mean)
    assert loose.low is not None
    assert loose.low < 0
    with pytest.raises(ValueError, match="one of each for every task"):
        bootstrap_change(before, after[1:], mean, paired=True)


def test_a_change_without_a_side() -> None:
    assert bootstrap_change([], [1.0], mean).value is None
    assert bootstrap_change([1.0], [], mean).value is None
    never = bootstrap_change([1.0], [2.0], lambda items: None)
    assert (never.value, never.low) == (None, None)
    assert bootstrap_change([1.0], [2.0], mean) == bootstrap_change([1.0], [2.0], mean)
