"""Kendall's W with its numbers, and what keeping the steadiest does for accuracy."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.judges import keep_concordant, kendall_w, mid_ranks

ROWS = [[int(rank) for rank in row] for row in ("1234567", "2134576", "1324657", "1243567", "3214567")]


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    n = len(one)
    return 1 - 6 * sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / (n**3 - n)


def test_the_worked_example() -> None:
    found = kendall_w(ROWS)
    assert found.w == pytest.approx(0.894286, abs=5e-7)
    assert found.chi_square == pytest.approx(26.8286, abs=5e-5)
    assert (found.rankings, found.things) == (5, 7)
    pairs = [spearman(a, b) for a, b in itertools.combinations(ROWS, 2)]
    assert found.w == pytest.approx((4 * sum(pairs) / len(pairs) + 1) / 5)


def test_the_ends() -> None:
    assert kendall_w([[1, 2, 3, 4]] * 5).w == 1.0
    cyclic = [[(place + turn) % 7 + 1 for place in range(7)] for turn in range(7)]
    assert kendall_w(cyclic).w == 0.0
    assert kendall_w([[2, 2, 2], [2, 2, 2]]).w == 0.0


def test_ties_are_corrected_for() -> None:
    tied = [[1, 2.5, 2.5, 4]] * 3
    # By hand: rank sums 3, 7.5, 7.5, 12 around 7.5, S = 40.5; m^2 (n^3 - n) = 540, m sum T = 3 * 3 * 6 = 54.
    assert kendall_w(tied).w == pytest.approx(12 * 40.5 / (540 - 54)) == 1.0
    without = 12 * 40.5 / 540
    assert without < 1


@pytest.mark.parametrize("rankings", [[], [[1, 2]], [[1], [1]], [[1, 2], [1, 2, 3]]])
def test_too_little_to_compare(rankings: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="two or more"):
        kendall_w(rankings)


def test_random_rankings_have_mean_one_over_m_and_the_known_quantile() -> None:
    draw = random.Random(0)
    ws = sorted(kendall_w([draw.sample(range(1, 8), 7) for _ in range(5)]).w for _ in range(4000))
    assert sum(ws) / len(ws) == pytest.approx(0.2, abs=0.005)
    assert ws[int(0.95 * len(ws))] == pytest.approx(0.394, abs=0.02)


@given(st.lists(st.lists(st.integers(0, 5), min_size=4, max_size=4), min_size=2, max_size=6), st.permutations(range(4)))
def test_w_is_in_range_and_knows_no_names(rows: list[list[int]], order: list[int]) -> None:
    ranks = [mid_ranks(row) for row in rows]
    w = kendall_w(ranks).w
    assert -1e-9 <= w <= 1 + 1e-9
    assert kendall_w([[row[place] for place in order] for row in ranks]).w == pytest.approx(w)
    assert kendall_w(ranks[::-1]).w == pytest.approx(w)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=8))
def test_mid_ranks_add_up(values: list[int]) -> None:
    ranks = mid_ranks(values)
    assert math.fsum(ranks) == len(values) * (len(values) + 1) / 2
    for (a, ra), (b, rb) in itertools.combinations(zip(values, ranks, strict=True), 2):
        assert (a < b) == (ra < rb)
        assert (a == b) == (ra == rb)


def test_keeping_the_steadiest_raises_accuracy() -> None:
    """Judges of mixed noise: the pairs best against worst of the prompts with the highest W are right more often."""
    draw = random.Random(1)
    ws, right = [], []
    for _ in range(4000):
        noise = draw.choice([0.3, 1.0, 3.0])
        truth = [draw.gauss(0, 1) for _ in range(7)]
        rounds = [mid_ranks([-(value + draw.gauss(0, noise)) for value in truth]) for _ in range(5)]
        ws.append(kendall_w(rounds).w)
        means = [sum(column) for column in zip(*rounds, strict=True)]
        best, worst = means.index(min(means)), means.index(max(means))
        right.append(truth[best] > truth[worst])
    accuracy = [
        sum(right[place] for place in kept) / len(kept)
        for kept in (keep_concordant(ws, share) for share in (1.0, 0.75, 0.5, 0.25))
    ]
    # With the noise that the reference names no parameters of: .960, .993, .9995, 1.000.
    assert accuracy == sorted(accuracy)
    assert accuracy[0] == pytest.approx(0.96, abs=0.02)
    assert accuracy[1] > 0.98
    assert accuracy[2] > 0.998
    assert accuracy[3] == 1.0


def test_what_is_kept() -> None:
    ws = [0.2, 0.9, 0.5, 0.9, 0.1]
    assert keep_concordant(ws, 0.4) == (1, 3)
    assert keep_concordant(ws, 0.5) == (1, 2, 3), "rounded up"
    assert keep_concordant(ws, 0.0) == ()
    assert keep_concordant(ws, at_least=0.5) == (1, 2, 3)
    for wrong in ({}, {"fraction": 0.5, "at_least": 0.5}, {"fraction": 1.5}):
        with pytest.raises(ValueError, match=r"either|from 0 to 1"):
            keep_concordant(ws, **wrong)  # type: ignore[arg-type]
