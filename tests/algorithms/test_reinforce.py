"""RLOO, GDPO, ReMax, REINFORCE++ and scaling by domain, against numbers worked by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from made_rollouts import full_rollouts, rollouts

from honewise.algorithms import (
    DENSE_RETURN,
    DR_GRPO,
    GDPO,
    GRPO,
    REINFORCE_PP,
    REINFORCE_PP_BASELINE,
    REMAX,
    RLOO,
    Rollouts,
    add_kl_reward,
)


def close(one: torch.Tensor, other: torch.Tensor | list[list[float]], atol: float = 1e-9) -> None:
    torch.testing.assert_close(one, torch.as_tensor(other, dtype=one.dtype), rtol=0, atol=atol)


# rloo and dr-grpo


def test_rloo_is_the_group_mean_times_n_over_n_less_one() -> None:
    batch = rollouts([[[1.0], [0], [0], [1]]], [1, 1, 1, 1])
    assert RLOO(batch).flatten().tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    assert DR_GRPO(batch).flatten().tolist() == pytest.approx([0.5, -0.5, -0.5, 0.5])
    many = full_rollouts(0, missing=False)
    close(RLOO(many), DR_GRPO(many) * 4 / 3)


def test_each_is_grpo_with_settings() -> None:
    batch = full_rollouts(2)
    assert torch.equal(RLOO(batch, scale="batch"), GRPO(batch, kappa="loo", scale="batch"))
    assert torch.equal(DR_GRPO(batch), GRPO(batch, scale="none"))


def test_the_spread_is_that_of_the_whole_group() -> None:
    """Seven of eight are right: by the spread of the others alone, the one that failed would be divided by nothing."""
    batch = rollouts([[[1.0]] * 7 + [[0.0]]], [1] * 8)
    spread = (1 / 8) ** 0.5  # sample standard deviation of seven ones and a zero
    assert RLOO(batch, scale="group").flatten().tolist() == pytest.approx(
        [1 / 7 / (spread + 1e-4)] * 7 + [-1 / (spread + 1e-4)]
    )


# domains in one batch


@pytest.mark.parametrize("estimator", [GRPO, DENSE_RETURN, RLOO], ids=lambda e: e.name)
def test_scale_by_domain_is_the_batch_scale_of_each_domain(estimator) -> None:
    batch = full_rollouts(6)
    wide = replace(batch, rewards=torch.where((batch.domain == 1)[:, None], batch.rewards * 50, batch.rewards))
    got = estimator(wide, scale="domain")
    for domain in (0, 1):
        alone = replace(wide, scored=wide.scored & (wide.domain == domain))
        close(got[wide.domain == domain], estimator(alone, scale="batch")[wide.domain == domain])
    assert got[wide.domain == 0].abs().mean() > 5 * estimator(wide, scale="batch")[wide.domain == 0].abs().mean()
    one = replace(wide, domain=None)
    assert torch.equal(estimator(one, scale="domain"), estimator(one, scale="batch"))


def test_whitening_by_domain() -> None:
    batch = full_rollouts(7, missing=False)
    got = REINFORCE_PP(batch, whitened="domain")
    for domain in (0, 1):
        there = got[batch.mask & (batch.domain == domain)[:, None]]
        assert float(there.mean()) == pytest.approx(0, abs=1e-9)
        assert float(there.var(correction=0)) == pytest.approx(1, abs=1e-6)


# gdpo


def test_gdpo_tells_apart_what_sums_confuse() -> None:
    """Two right and one right of two rewards both beat their group by one standard deviation of the sum."""
    one = rollouts([[[0.0], [1]], [[0], [0]]], [1, 1], weights=[1, 1])
    two = rollouts([[[0.0], [1]], [[0], [1]]], [1, 1], weights=[1, 1])
    assert GRPO(one)[1, 0] == pytest.approx(float(GRPO(two)[1, 0]), abs=1e-3)
    assert GDPO(one, scale="none")[1, 0] == pytest.approx(0.5 / (0.5**0.5 + 1e-4))
    assert GDPO(two, scale="none")[1, 0] == pytest.approx(2 * 0.5 / (0.5**0.5 + 1e-4))


def test_gdpo_is_trl_normalize_then_sum() -> None:
    """The trainer's own lines, on values before their weights, one of them negative."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(12, 3, dtype=torch.float64, generator=generator) * torch.tensor([1.0, 30.0, 0.01])
    weights = torch.tensor([1.0, 0.2, -2.0], dtype=torch.float64)
    grouped = values.view(3, 4, 3)
    normal = (grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + 1e-4)
    summed = (normal.view(12, 3) * weights).sum(1)
    wanted = (summed - summed.mean()) / (summed.std() + 1e-4)
    batch = rollouts((values * weights).T.unsqueeze(-1), [1] * 12, group=[0] * 4 + [1] * 4 + [2] * 4)
    batch = replace(batch, weights=weights)
    close(GDPO(batch).flatten(), wanted)
    close(GDPO(batch, scale="none").flatten(), summed)


def test_gdpo_and_components_that_nobody_varies_in_or_some_lack() -> None:
    batch = rollouts(
        [[[1.0], [0], [7.0]], [[3], [3], [3]], [[0], [0], [0]]],
        [1, 1, 1],
        scored=[[True, True, False], [True] * 3, [True] * 3],
        weights=[1, 1, 0],
    )
    share = 0.5 / (0.5**0.5 + 1e-4)
    assert GDPO(batch, scale="none").flatten().tolist() == pytest.approx([share, -share, 0])


def test_gdpo_leaves_the_coefficient_of_a_kl_alone() -> None:
    batch = replace(full_rollouts(3, missing=False), weights=torch.ones(2, dtype=torch.float64))
    added = [GDPO(add_kl_reward(batch, b), scale="none") - GDPO(batch, scale="none") for b in (0.1, 0.2)]
    close(added[1], 2 * added[0])
    assert added[0].abs().max() > 0


# remax


def test_remax_against_the_greedy_completion() -> None:
    batch = rollouts([[[0.2, 0.5, 0], [0, 1.0, 9.0]], [[0, 1.0, 0], [0, 0, 0]]], [2, 2], greedy=[[0.5, 0.25], [0, 1]])
    close(REMAX(batch), [[0.2 + 1.0, 1.2, 0], [0.75 - 1, -0.25, 0]])
    # gamma^(L - t): the last token of the policy's has gamma^0, whatever padding follows.
    close(REMAX(batch, gamma=0.5), [[0.6, 1.2, 0], [-0.125, -0.25, 0]])


def test_remax_clips_the_difference() -> None:
    batch = rollouts([[[101.0], [100.5]]], [1, 1], greedy=[[100.0, 110.0]])
    close(REMAX(batch, clip=5), [[1.0], [-5.0]])


def test_remax_without_a_greedy_value_learns_nothing_from_it() -> None:
    batch = rollouts([[[1.0], [1]], [[4], [4]]], [1, 1], greedy=[[math.nan, 0], [math.nan, math.nan]])
    close(REMAX(batch), [[0.0], [1.0]])


def test_kl_credit_of_remax() -> None:
    """k1 of .1, .2, .4 at beta 1: each token its own, or with all that follow."""
    batch = rollouts([[[0, 0, 1.0]]], [3], greedy=[[0.4]], old_logps=[[0.1, 0.2, 0.4]], ref_logps=[[0.0, 0, 0]])
    charged = add_kl_reward(batch, 1.0)
    close(REMAX(charged), [[0.6 - 0.1, 0.6 - 0.2, 0.6 - 0.4]])
    close(REMAX(charged, kl_credit="cumulative"), [[0.6 - 0.7, 0.6 - 0.6, 0.6 - 0.4]])
    close(REMAX(charged, kl_credit="cumulative", gamma=0.5), [[0.15 - 0.3, 0.3 - 0.4, 0.6 - 0.4]])


# reinforce++


def test_whitened_returns_by_hand() -> None:
    # Returns [[1, 1], [0, 0, 0]]: mean .4, population variance .24.
    batch = rollouts([[[0, 1.0, 0], [0, 0, 0]]], [2, 3], group=[0, 1])
    close(REINFORCE_PP(batch), [[1.224745, 1.224745, 0], [-0.816497, -0.816497, -0.816497]], 1e-6)
    close(REINFORCE_PP(batch, whitened="none"), [[1, 1, 0], [0, 0, 0]])
    close(REINFORCE_PP(batch, whitened="none", gamma=0.9), [[0.9, 1, 0], [0, 0, 0]])


def test_a_kl_in_the_reward_accumulates() -> None:
    batch = rollouts([[[0, 1.0]]], [2], old_logps=[[0.1, 0.3]], ref_logps=[[0.0, 0.0]])
    close(REINFORCE_PP(add_kl_reward(batch, 0.5), whitened="none"), [[1 - 0.2, 1 - 0.15]])


def test_a_row_that_lacks_a_component_is_left_out() -> None:
    batch = rollouts([[[1.0], [1], [1]], [[1], [0], [0.5]]], [1, 1, 1], scored=[[True] * 3, [True, False, True]])
    close(REINFORCE_PP(batch, whitened="none"), [[2.0], [0.0], [1.5]])
    close(REINFORCE_PP(batch), [[1.0], [0.0], [-1.0]], 1e-6)


def test_the_baseline_variant_centres_before_it_whitens() -> None:
    """Groups of means .5 and 10.5; the first has two tokens a row, the second one."""
    batch = rollouts([[[0, 1.0], [0, 0], [11.0, 0], [10.0, 0]]], [2, 2, 1, 1], group=[0, 0, 1, 1])
    close(REINFORCE_PP_BASELINE(batch), [[1, 1], [-1, -1], [1, 0], [-1, 0]], 1e-6)
    assert torch.equal(REINFORCE_PP_BASELINE(batch, whitened="none"), DR_GRPO(batch))


def test_whitened_over_the_batch_and_not_by_its_parts() -> None:
    batch = full_rollouts(9, missing=False)
    advantages = REINFORCE_PP(batch)
    inside = advantages[batch.mask]
    assert float(inside.mean()) == pytest.approx(0, abs=1e-9)
    assert float(inside.std(correction=0)) == pytest.approx(1, abs=1e-6)
    half = Rollouts(batch.rewards[:, :6], batch.scored[:, :6], batch.mask[:6], batch.group[:6])
    assert not torch.allclose(advantages[:6], REINFORCE_PP(half), atol=1e-3)
