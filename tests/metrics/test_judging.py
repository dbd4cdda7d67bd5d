"""Numbers about judges against answers worked out by hand."""

from __future__ import annotations

import math
import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.metrics import (
    auc,
    bootstrap,
    brier,
    calibration_error,
    cohen_kappa,
    intervals,
    kendall_w,
    luck_of_calibration,
    ranks,
    verbosity_bias,
)

EXAMPLE = ["1234567", "2134576", "1324657", "1243567", "3214567"]
"""Five rankings of seven answers."""


def rows(text: list[str]) -> list[list[float]]:
    return [[float(place) for place in row] for row in text]


def test_verbosity_bias_is_a_difference_of_agreements() -> None:
    """80 of 100 where people prefer the longer answer, 47 of 100 where they prefer the shorter one."""
    found = [(True, float(n < 80)) for n in range(100)] + [(False, float(n < 47)) for n in range(100)]
    assert verbosity_bias(found) == pytest.approx(0.33, abs=1e-12)


def test_a_judge_that_always_takes_the_longer_answer_has_a_bias_of_one() -> None:
    chance = random.Random(0)
    longer = [chance.random() < 0.3 for _ in range(500)]
    assert verbosity_bias([(label, float(label)) for label in longer]) == 1.0
    assert verbosity_bias([(label, float(not label)) for label in longer]) == -1.0


def test_a_judge_that_repeats_the_labels_has_none_whatever_people_prefer() -> None:
    assert verbosity_bias([(n % 10 != 0, 1.0) for n in range(100)]) == 0.0


def test_a_judge_that_is_blind_to_length_has_none_within_its_interval() -> None:
    """Agrees with 70 % of the labels whichever answer is longer; people prefer the longer one in 80 %."""
    chance = random.Random(4)
    found = [(chance.random() < 0.8, float(chance.random() < 0.7)) for _ in range(800)]
    told = bootstrap(found, verbosity_bias, seed=1)
    assert told.value is not None
    assert told.low is not None
    assert told.high is not None
    assert told.low < 0 < told.high
    assert told.high - told.low < 0.25
    biased = [(longer, float(chance.random() < (0.85 if longer else 0.45))) for longer, _ in found]
    clear = bootstrap(biased, verbosity_bias, seed=1)
    assert clear.low is not None
    assert clear.low > 0.2


@pytest.mark.parametrize("found", [[], [(True, 1.0)], [(False, 0.0), (False, 1.0)]])
def test_verbosity_bias_needs_both_kinds_of_pairs(found: list[tuple[bool, float]]) -> None:
    assert verbosity_bias(found) is None
    assert bootstrap(found, verbosity_bias).value is None


def test_kendall_w_of_the_worked_example() -> None:
    found = kendall_w(rows(EXAMPLE))
    assert found is not None
    assert round(found, 6) == 0.894286
    assert found * 5 * 6 == pytest.approx(26.8286, abs=5e-5)  # Friedman's chi-square, m (n - 1) W


def test_kendall_w_is_the_mean_rank_correlation_in_another_form() -> None:
    def spearman(one: list[float], other: list[float]) -> float:
        return 1 - 6 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (7 * 48)

    found = [spearman(one, other) for one, other in combinations(rows(EXAMPLE), 2)]
    assert kendall_w(rows(EXAMPLE)) == pytest.approx((4 * sum(found) / len(found) + 1) / 5)


def test_kendall_w_of_equal_and_of_cyclic_rankings() -> None:
    assert kendall_w(rows(["1234567"] * 7)) == 1.0
    cyclic = [[float((start + n) % 7 + 1) for n in range(7)] for start in range(7)]
    assert kendall_w(cyclic) == 0.0


def test_kendall_w_of_rankings_drawn_at_random_is_one_over_their_number() -> None:
    chance = random.Random(2)
    found = [kendall_w([chance.sample(range(1, 8), 7) for _ in range(5)]) for _ in range(3000)]
    values = sorted(each for each in found if each is not None)
    assert sum(values) / 3000 == pytest.approx(0.2, abs=0.005)
    assert values[2850] == pytest.approx(0.394, abs=0.02)


def test_kendall_w_of_two_answers_is_the_squared_difference_of_votes() -> None:
    """k of m for the first: (1 - 2 k / m)^2."""
    for for_first in range(6):
        rankings = [[1.0, 2.0]] * for_first + [[2.0, 1.0]] * (5 - for_first)
        assert kendall_w(rankings) == pytest.approx((1 - 2 * for_first / 5) ** 2)


def test_kendall_w_corrects_for_ties() -> None:
    assert kendall_w([[1.5, 1.5], [1.5, 1.5]]) is None
    assert kendall_w([[1.5, 1.5, 3.0], [1.5, 1.5, 3.0]]) == pytest.approx(1.0)
    assert kendall_w([[1.0, 2.0]]) is None
    assert kendall_w([]) is None


def test_ranks_share_places() -> None:
    assert ranks([3, 1, 2]) == [1.0, 3.0, 2.0]
    assert ranks([0, 0, 0]) == [2.0, 2.0, 2.0]
    assert ranks([]) == []


def test_kappa() -> None:
    pairs = [("yes", "yes")] * 20 + [("yes", "no")] * 5 + [("no", "yes")] * 10 + [("no", "no")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)  # the textbook's example: p = .7, e = .5
    assert cohen_kappa([(1, 1), (1, 1)]) is None
    assert cohen_kappa([]) is None
    assert cohen_kappa([(1, -1), (-1, 1)]) == -1.0


def test_calibration_error_by_hand() -> None:
    """Two parts: .9, .9 with one right (gap .4, weight 1/2), .6, .6 with both right (gap .4, weight 1/2)."""
    assert calibration_error([0.9, 0.9, 0.6, 0.6], [True, False, True, True]) == pytest.approx(0.4)
    assert calibration_error([1.0, 1.0], [True, True]) == 0.0
    assert calibration_error([0.0], [False]) == 0.0
    assert calibration_error([], []) is None
    # In one part, what is too high and what is too low cancel: the error knows means only.
    assert calibration_error([0.95, 0.91, 0.99, 0.95], [True] * 4, 1) == pytest.approx(0.05)


def test_luck_alone_makes_an_error_that_shrinks_with_the_number() -> None:
    few, many = luck_of_calibration([0.8] * 10), luck_of_calibration([0.8] * 1000)
    assert few is not None
    assert many is not None
    assert few > 0.07
    assert many < 0.02
    assert luck_of_calibration([]) is None


def test_brier() -> None:
    assert brier([0.5] * 4, [True, False, True, True]) == 0.25
    assert brier([1.0, 0.0], [True, False]) == 0.0
    assert brier([0.7], [False]) == pytest.approx(0.49)
    assert brier([], []) is None


def test_bootstrap_leaves_out_draws_that_say_nothing() -> None:
    two = bootstrap([(True, 1.0), (False, 0.0)], verbosity_bias, seed=3, rounds=400)
    assert (two.value, two.low, two.high, two.count) == (1.0, 1.0, 1.0, 2)

    def never_twice(items: object) -> float | None:
        return next(answers, None)

    answers = iter([0.5])
    assert bootstrap([1], never_twice) == bootstrap([1], lambda items: 0.5).__class__(0.5, None, None, 1)


def test_bootstrap_of_a_mean_comes_to_the_normal_interval() -> None:
    chance = random.Random(7)
    values = [float(chance.random() < 0.3) for _ in range(900)]
    share = sum(values) / 900
    found = bootstrap(values, lambda drawn: sum(drawn) / len(drawn), seed=2)
    half = 1.96 * math.sqrt(share * (1 - share) / 900)
    assert found.low == pytest.approx(share - half, abs=0.006)
    assert found.high == pytest.approx(share + half, abs=0.006)
    assert found == bootstrap(values, lambda drawn: sum(drawn) / len(drawn), seed=2)


def test_bootstrap_of_much_takes_fewer_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "_MOST_DRAWS", 1000)
    calls = 0

    def counted(items: object) -> float:
        nonlocal calls
        calls += 1
        return 0.0

    bootstrap(range(100), counted, rounds=1000)
    assert calls == 201


@given(st.lists(st.integers(0, 4), max_size=12), st.lists(st.integers(0, 4), max_size=12))
def test_auc_by_all_pairs(right: list[int], wrong: list[int]) -> None:
    found = auc(Counter(map(float, right)), Counter(map(float, wrong)))
    pairs = [(one > other) + (one == other) / 2 for one in right for other in wrong]
    assert found == (pytest.approx(sum(pairs) / len(pairs)) if pairs else None)
