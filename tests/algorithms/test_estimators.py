"""Advantages against hand-worked numbers, TRL's own formulas, and the symmetries that must hold."""

from __future__ import annotations

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rollouts import random_rollouts, rollouts

from honewise.algorithms import DENSE_RETURN, GRPO, Estimator, Rollouts
from honewise.errors import UserError

BOTH = pytest.mark.parametrize("estimator", [GRPO, DENSE_RETURN], ids=lambda e: e.name)


def test_dense_return_by_hand() -> None:
    # Returns: row 0 [3, 2], row 1 [1, 1, 1] (paid at its end), row 2 [0.5] (held: 0.5, 0.5).
    batch = rollouts([[[1, 2, 0], [0, 0, 1], [0.5, 0, 0]]], [2, 3, 1])
    wanted = [
        [3 - (1 + 0.5) / 2, 2 - (1 + 0.5) / 2, 0],
        [1 - (3 + 0.5) / 2, 1 - (2 + 0.5) / 2, 1 - (2 + 0.5) / 2],  # row 0 holds its last return, 2
        [0.5 - (3 + 1) / 2, 0, 0],
    ]
    torch.testing.assert_close(DENSE_RETURN(batch), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)
    mean = torch.tensor(wanted, dtype=torch.float64) * 2 / 3
    torch.testing.assert_close(DENSE_RETURN(batch, kappa="group_mean"), mean, rtol=0, atol=1e-12)


def test_grpo_by_hand() -> None:
    # Totals 1, 0, 0, 1: mean .5, sample standard deviation .57735, so +-.5 / .57745 = +-.865875.
    batch = rollouts([[[0.4, 0.6], [0, 0], [0, 0], [1, 0]]], [2, 1, 2, 1])
    scaled = GRPO(batch)
    assert scaled[:, 0].tolist() == pytest.approx([0.865875, -0.865875, -0.865875, 0.865875], abs=1e-6)
    assert scaled[1, 1] == 0
    assert scaled[3, 1] == 0
    assert GRPO(batch, kappa="loo", scale="none")[:, 0].tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])


@BOTH
def test_equal_completions_of_which_one_lost_a_component(estimator: Estimator) -> None:
    rewards = [[[0, 1.0]] * 4, [[0.5, 0]] * 3 + [[0, 0]]]
    batch = rollouts(rewards, [2] * 4, scored=[[True] * 4, [True, True, True, False]])
    for kappa in ("loo", "group_mean"):
        for scale in ("none", "group", "batch"):
            assert torch.equal(estimator(batch, kappa=kappa, scale=scale), torch.zeros(4, 2, dtype=torch.float64))


@BOTH
def test_a_missing_component_is_centred_over_those_that_have_it(estimator: Estimator) -> None:
    # Component 0: 1, 0, 1; component 1: 4, 2 and missing. Leave-one-out: 0: .5, -1, .5; 1: 2, -2, nothing.
    batch = rollouts([[[1.0], [0], [1]], [[4], [2], [0]]], [1, 1, 1], scored=[[True] * 3, [True, True, False]])
    assert estimator(batch, kappa="loo", scale="none").flatten().tolist() == pytest.approx([2.5, -3, 0.5])


@BOTH
def test_nothing_to_compare_with_is_zero(estimator: Estimator) -> None:
    alone = rollouts([[[1.0, 2.0], [3.0, 4.0]]], [2, 2], group=[0, 1])
    assert not estimator(alone).any()
    only_one_scored = rollouts([[[1.0, 2.0], [0, 0]]], [2, 2], scored=[[True, False]])
    assert not estimator(only_one_scored).any()
    dropped = rollouts([[[1.0, 2.0], [3.0, 4.0]]], [2, 2], scored=[[False, False]])
    assert not estimator(dropped, scale="batch").any()
    nobody = Rollouts(torch.zeros(2, 0, 3), torch.zeros(2, 0, dtype=torch.bool), torch.zeros(0, 3, dtype=torch.bool),
                      torch.zeros(0, dtype=torch.long))  # fmt: skip
    assert estimator(nobody, scale="group").shape == (0, 3)


@BOTH
def test_an_unscored_row_neither_learns_nor_votes(estimator: Estimator) -> None:
    batch = rollouts([[[1.0], [0.0], [99.0]]], [1, 1, 1], scored=[[True, True, False]])
    advantages = estimator(batch, kappa="loo", scale="none").flatten()
    assert advantages.tolist() == [1, -1, 0]
    empty = rollouts([[[1.0], [0.0], [99.0]]], [1, 1, 0])
    assert estimator(empty, kappa="loo", scale="none").flatten().tolist() == [1, -1, 0]


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
@pytest.mark.parametrize("estimator", [GRPO, DENSE_RETURN], ids=lambda e: e.name)
def test_scalar_limit_is_stock(estimator: Estimator, scale: str) -> None:
    """One reward at the last token: what TRL computes from the totals, whatever the lengths."""
    generator = torch.Generator().manual_seed(3)
    totals = torch.randn(5, 4, dtype=torch.float64, generator=generator)
    lengths = torch.randint(1, 7, (20,), generator=generator)
    mask = torch.arange(6) < lengths[:, None]
    rewards = torch.zeros(1, 20, 6, dtype=torch.float64)
    rewards[0, torch.arange(20), lengths - 1] = totals.flatten()
    batch = Rollouts(rewards, torch.ones(1, 20, dtype=torch.bool), mask, torch.arange(5).repeat_interleave(4))
    stock = totals - totals.mean(1, keepdim=True)
    if scale == "group":
        stock = stock / (totals.std(1, keepdim=True) + 1e-4)
    elif scale == "batch":
        stock = stock / (totals.std() + 1e-4)
    advantages = estimator(batch, kappa="group_mean", scale=scale)
    torch.testing.assert_close(advantages, stock.flatten()[:, None] * mask, rtol=0, atol=1e-12)


@BOTH
@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    kappa=st.sampled_from(["loo", "group_mean"]),
    scale=st.sampled_from(["none", "group", "batch"]),
)
def test_order_of_rows_does_not_matter(estimator: Estimator, seed: int, kappa: str, scale: str) -> None:
    batch = random_rollouts(seed)
    order = torch.randperm(len(batch.group), generator=torch.Generator().manual_seed(seed))
    names = torch.tensor([70, -3, 12])  # group ids are labels
    moved = Rollouts(batch.rewards[:, order], batch.scored[:, order], batch.mask[order], names[batch.group][order])
    wanted = estimator(batch, kappa=kappa, scale=scale)[order]
    torch.testing.assert_close(estimator(moved, kappa=kappa, scale=scale), wanted, rtol=0, atol=1e-9)


@BOTH
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from(["none", "group", "batch"]))
def test_masked_tokens_do_not_matter(estimator: Estimator, seed: int, scale: str) -> None:
    """Garbage under the mask, more padding, and tool text inside a completion change nothing."""
    batch = random_rollouts(seed)
    wanted = estimator(batch, scale=scale)
    rows, tokens = batch.mask.shape
    wide = tokens + 3
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(rows, wide, generator=generator).argsort(-1)[:, :tokens].sort(-1).values  # the policy's places
    mask = torch.zeros(rows, wide, dtype=torch.bool).scatter(-1, keep, batch.mask)
    rewards = torch.full((2, rows, wide), 1e3, dtype=torch.float64)
    rewards = rewards.scatter(-1, keep.expand(2, -1, -1), batch.rewards) * mask + 1e3 * ~mask
    holed = estimator(Rollouts(rewards, batch.scored, mask, batch.group), scale=scale)
    assert not holed[~mask].any()
    torch.testing.assert_close(holed.gather(-1, keep), wanted, rtol=0, atol=1e-9)


@BOTH
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_groups_do_not_touch_each_other(estimator: Estimator, seed: int) -> None:
    batch = random_rollouts(seed)
    first = batch.group == 0
    alone = Rollouts(batch.rewards[:, first], batch.scored[:, first], batch.mask[first], batch.group[first])
    for scale in ("none", "group"):
        torch.testing.assert_close(estimator(batch, scale=scale)[first], estimator(alone, scale=scale))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_first_token_of_dense_return_is_leave_one_out_of_totals(seed: int) -> None:
    batch = random_rollouts(seed)
    dense, scalar = DENSE_RETURN(batch), GRPO(batch, kappa="loo", scale="none")
    torch.testing.assert_close(dense[:, 0], scalar[:, 0], rtol=0, atol=1e-9)


@BOTH
def test_double_precision_is_kept(estimator: Estimator) -> None:
    batch = rollouts([[[1e9 + 0.25], [1e9]]], [1, 1])
    assert estimator(batch, kappa="loo", scale="none").dtype == torch.float64
    assert estimator(batch, kappa="loo", scale="none").flatten().tolist() == [0.25, -0.25]


@BOTH
def test_options(estimator: Estimator) -> None:
    batch = random_rollouts(0)
    with pytest.raises(UserError, match="'grop'; did you mean 'group'"):
        estimator(batch, scale="grop")
    with pytest.raises(UserError, match="there are: group_mean, loo"):
        estimator(batch, kappa="?")
    with pytest.raises(UserError, match="has no option 'kapa'; did you mean 'kappa'"):
        estimator(batch, kapa="loo")
    with pytest.raises(UserError, match="kappa 'lo'; did you mean 'loo'"):
        estimator.fn(batch, kappa="lo")
    with pytest.raises(UserError, match="scale 'domian'; did you mean 'domain'"):
        estimator.fn(batch, scale="domian")
    assert set(estimator.options) == {"kappa", "scale"}
    assert "Returns (B, T)" in (inspect.getdoc(estimator.fn) or "")


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"mask must have shape \(3, 2\)"):
        Rollouts(torch.zeros(1, 3, 2), torch.ones(1, 3), torch.ones(2, 3), torch.zeros(3))
    with pytest.raises(ValueError, match="floating"):
        Rollouts(torch.zeros(1, 3, 2, dtype=torch.long), torch.ones(1, 3), torch.ones(3, 2), torch.zeros(3))
    with pytest.raises(ValueError, match="entropies must have shape"):
        Rollouts(torch.zeros(1, 3, 2), torch.ones(1, 3), torch.ones(3, 2), torch.zeros(3), entropies=torch.zeros(3))


def test_needs_are_declared_and_held() -> None:
    with pytest.raises(ValueError, match="needs 'entropy'; did you mean 'entropies'"):
        Estimator("x", lambda rollouts: rollouts.rewards[0], needs=frozenset({"entropy"}))
    hungry = Estimator("x", lambda rollouts: rollouts.entropies, needs=frozenset({"entropies"}))
    with pytest.raises(ValueError, match="needs entropies"):
        hungry(random_rollouts(0))
