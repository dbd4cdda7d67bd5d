"""Which prompts are worth a step, how many more to try, and folds in which no prompt leaks."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from honewise.algorithms import folds, informative, refill
from honewise.errors import UserError


def decide(*groups: list[int], **options: float):
    correct = torch.tensor([value for group in groups for value in group])
    group = torch.tensor([number for number, group in enumerate(groups) for _ in group])
    return informative(correct, group, **options)


def test_some_and_not_all() -> None:
    found = decide([1, 0, 0, 1], [1, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1])
    assert found.rows.tolist() == [True] * 4 + [False] * 8 + [True] * 4
    assert (found.kept, found.solved, found.failed, found.unknown) == (2, 1, 1, 0)


def test_what_is_not_known_is_on_neither_side() -> None:
    found = decide([1, 0, -1, -1], [1, 1, -1, -1], [0, -1, -1, -1], [-1, -1, -1, -1])
    assert found.rows.tolist() == [True] * 4 + [False] * 12
    assert (found.kept, found.solved, found.failed, found.unknown) == (1, 1, 1, 1)


def test_equal_scores_of_half_do_not_pass_for_variety() -> None:
    """Rewards of .5 each have a mean in (0, 1) and teach nothing; none of them is correct."""
    assert decide([0, 0, 0, 0]).kept == 0


def test_a_narrower_range_and_groups_in_any_order() -> None:
    found = decide([1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], low=0.25, high=0.75)
    assert found.rows.tolist() == [False] * 4 + [True] * 4 + [False] * 4
    assert (found.failed, found.solved) == (1, 1)
    mixed = informative(torch.tensor([1, 1, 0, 1]), torch.tensor([9, -4, 9, -4]))
    assert mixed.rows.tolist() == [True, False, True, False]
    assert (mixed.kept, mixed.solved) == (1, 1)
    with pytest.raises(UserError, match="0 <= low < high <= 1"):
        decide([1, 0], low=0.5, high=0.5)
    assert informative(torch.zeros(0), torch.zeros(0, dtype=torch.long)).kept == 0


def test_refilling() -> None:
    assert refill(16, 16, tried=16, rounds=0, max_rounds=3).prompts == 0
    assert not refill(20, 16, tried=32, rounds=3, max_rounds=3).exhausted
    half = refill(8, 16, tried=16, rounds=0, max_rounds=3)
    assert (half.prompts, half.exhausted) == (16, False)
    assert refill(0, 16, tried=16, rounds=0, max_rounds=3).prompts == 16  # no rate yet: at most a whole step
    assert refill(2, 16, tried=64, rounds=1, max_rounds=3, limit=40).prompts == 40
    last = refill(15, 16, tried=64, rounds=3, max_rounds=3)
    assert (last.prompts, last.exhausted) == (0, True)
    with pytest.raises(UserError, match="limit must be at least 1"):
        refill(0, 1, tried=1, rounds=0, max_rounds=1, limit=0)


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 200), st.integers(0, 4))
def test_refilling_ends(kept: int, wanted: int, tried: int, rounds: int) -> None:
    plan = refill(kept, wanted, tried=max(tried, kept), rounds=rounds, max_rounds=3)
    assert 0 <= plan.prompts <= wanted
    assert (plan.prompts > 0) == (kept < wanted and rounds < 3)
    assert plan.exhausted == (kept < wanted and rounds >= 3)


@given(st.lists(st.sampled_from([f"p{n}" for n in range(12)]), min_size=30, max_size=60), st.integers(0, 9))
def test_folds_keep_prompts_together(groups: list[str], seed: int) -> None:
    count = 3
    if len(set(groups)) < count:
        return
    found = folds(groups, count, seed=seed)
    where = dict(zip(groups, found, strict=True))
    assert [where[name] for name in groups] == found
    sizes = Counter(where.values())
    assert set(sizes) == set(range(count))
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert folds(groups[::-1], count, seed=seed) == found[::-1]


def test_folds_depend_on_the_seed_and_need_enough_prompts() -> None:
    names = [str(n) for n in range(40)]
    assert folds(names, 2, seed=0) != folds(names, 2, seed=1)
    with pytest.raises(UserError, match="3 folds of 2 prompts"):
        folds(["a", "b", "a"], 3)
    with pytest.raises(UserError, match="2 folds or more"):
        folds(["a", "b"], 1)
