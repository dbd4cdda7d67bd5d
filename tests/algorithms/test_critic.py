"""Generalised advantage estimation, whitening and the value loss, with the slips of public code as regressions."""

from __future__ import annotations

import math

import pytest
import torch
from made_rollouts import rollouts

from honewise.algorithms import GAE, add_kl_reward, complete, explained_variance, value_loss, whiten

REWARDS, VALUES = [-0.1, 0.05, -0.2, 1.0], [0.3, 0.4, 0.5, 0.6]


def close(one: torch.Tensor, other: torch.Tensor | list[list[float]], atol: float = 1e-9) -> None:
    torch.testing.assert_close(one, torch.as_tensor(other, dtype=one.dtype), rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("lam", "wanted"),
    [(1.0, [0.45, 0.45, 0.30, 0.40]), (0.95, [0.3952, 0.416, 0.28, 0.40]), (0.0, [0.0, 0.15, -0.10, 0.40])],
)
def test_table(lam: float, wanted: list[float]) -> None:
    batch = rollouts([[REWARDS]], [4], values=[VALUES])
    close(GAE(batch, lam=lam), [wanted], 5e-5)
    close(GAE.targets(batch, lam=lam), [[a + v for a, v in zip(wanted, VALUES, strict=True)]], 5e-5)


def test_lambda_one_is_the_return_less_the_value() -> None:
    batch = rollouts([[REWARDS]], [4], values=[VALUES])
    to_come = torch.tensor([REWARDS], dtype=torch.float64).flip(-1).cumsum(-1).flip(-1)
    close(GAE(batch, lam=1.0), to_come - torch.tensor([VALUES], dtype=torch.float64))
    close(GAE.targets(batch, lam=1.0), to_come)
    assert GAE.options == {"gamma": 1.0, "lam": 0.95, "whitened": "none"}
    close(GAE(batch), [[0.3952, 0.416, 0.28, 0.40]], 5e-5)  # by default, too


def test_discount() -> None:
    batch = rollouts([[[0, 1.0]]], [2], values=[[0.2, 0.5]])
    last = 1.0 - 0.5
    close(GAE(batch, gamma=0.9, lam=0.5), [[0.9 * 0.5 - 0.2 + 0.9 * 0.5 * last, last]])


def test_padding_changes_nothing_though_it_holds_rewards_and_values() -> None:
    padded = rollouts([[[*REWARDS, 9.0, 9.0, 9.0]]], [4], values=[[*VALUES, 9.0, 9.0, 9.0]])
    close(GAE(padded), [[0.3952375, 0.416025, 0.28, 0.40, 0, 0, 0]], 1e-4)
    close(GAE(padded)[:, :4], GAE(rollouts([[REWARDS]], [4], values=[VALUES])))
    close(GAE.targets(padded)[:, 4:], [[0.0, 0, 0]])


def test_tool_text_between_two_tokens_is_no_step() -> None:
    """With V = 0 inside the hole, the token before it would be told that nothing follows."""
    whole = rollouts([[REWARDS]], [4], values=[VALUES])
    holed = rollouts([[[-0.1, 0.05, 7.0, 7.0, -0.2, 1.0]]], [6], values=[[0.3, 0.4, 0.0, 0.0, 0.5, 0.6]])
    holed.mask[0, 2:4] = False
    own = [0, 1, 4, 5]
    close(GAE(holed)[:, own], GAE(whole))
    close(GAE.targets(holed)[:, own], GAE.targets(whole))
    naive = 0.05 + 0.0 - 0.4  # r + V(hole) - V at the token before the hole, with lambda 0
    assert GAE(holed, lam=0.0)[0, 1] == pytest.approx(0.15)
    assert naive != pytest.approx(0.15)


def test_targets_are_of_advantages_before_whitening() -> None:
    batch = rollouts([[REWARDS, [0.5, 0, 0, 0]]], [4, 1], values=[VALUES, [0.1, 0, 0, 0]])
    close(GAE.targets(batch, whitened="batch"), GAE.targets(batch))
    white = GAE(batch, whitened="batch")[batch.mask]
    assert float(white.mean()) == pytest.approx(0, abs=1e-9)
    assert float(white.var(correction=0)) == pytest.approx(1, abs=1e-4)


def test_all_components_and_the_kl_add_up() -> None:
    parts = [[-0.1, 0.0, -0.2, 0.0], [0.0, 0.0, 0.0, 1.0]]
    batch = rollouts([[part] for part in parts], [4], values=[VALUES], old_logps=[[0, -0.1, 0, 0]], ref_logps=[[0] * 4])
    close(GAE(add_kl_reward(batch, 0.5)), [[0.3952375, 0.416025, 0.28, 0.40]], 1e-4)


def test_incomplete_rows_neither_learn_nor_teach_the_critic() -> None:
    batch = rollouts(
        [[[1.0], [1], [1]], [[1], [0], [1]]], [1, 1, 1], scored=[[True] * 3, [True, False, True]], values=[[0.5]] * 3
    )
    assert complete(batch).tolist() == [True, False, True]
    close(GAE(batch), [[1.5], [0.0], [1.5]])
    close(GAE.targets(batch), [[2.0], [0.0], [2.0]])
    nobody = rollouts([[[1.0], [1]], [[0], [0]]], [1, 1], scored=[[True, True], [False, False]], values=[[0.0]] * 2)
    assert complete(nobody).tolist() == [True, True]  # a component that nobody has is no loss to anyone


# whitening


@pytest.mark.parametrize(("spread", "slip"), [(4.0, 2.00), (0.01, 0.0998)])
def test_whitening_divides_by_the_standard_deviation_and_not_by_its_root(spread: float, slip: float) -> None:
    values = torch.tensor([[spread, -spread, spread, -spread]], dtype=torch.float64)
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert float(whiten(values, mask).std(correction=0)) == pytest.approx(1, abs=1e-4)
    root = values.std(correction=0)  # what one public implementation calls the variance
    assert float((values * torch.rsqrt(root + 1e-8)).std(correction=0)) == pytest.approx(slip, abs=2e-4)


def test_whitened_rewards_stay_0_at_padding() -> None:
    """Two completions of six and three tokens, each with a reward of 1 at its end, no critic, lambda 1."""
    mask = torch.arange(6) < torch.tensor([6, 3])[:, None]
    rewards = torch.zeros(2, 6, dtype=torch.float64)
    rewards[0, 5] = rewards[1, 2] = 1.0
    white = whiten(rewards, mask, shift=False)
    assert not white[~mask].any()
    batch = rollouts(white.unsqueeze(0), [6, 3], values=torch.zeros(2, 6, dtype=torch.float64))
    assert float(GAE(batch, lam=1.0)[1, 2]) == pytest.approx(2.093, abs=5e-4)
    mean, var = 2 / 9, 2 / 9 * 7 / 9
    leaking = (rewards - mean) / math.sqrt(var) + mean  # the slip: not masked again
    assert float(leaking[1, 3]) == pytest.approx(-0.312, abs=5e-4)
    assert float(leaking[1, 2:].sum()) == pytest.approx(1.156, abs=5e-4)


def test_whitening_knows_nothing_of_padding() -> None:
    values = torch.tensor([[1.0, 2.0, 1e9], [4.0, math.nan, math.inf]], dtype=torch.float64)
    mask = torch.tensor([[True, True, False], [True, False, False]])
    white = whiten(values, mask)
    assert torch.equal(white[~mask], torch.zeros(3, dtype=torch.float64))
    inside = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
    close(white[mask], (inside - inside.mean()) / (inside.var(correction=0) + 1e-8).sqrt())
    close(whiten(values, mask, shift=False)[mask], white[mask] + inside.mean())
    assert not whiten(values, torch.zeros_like(mask)).any()


def test_rows_are_not_taken_for_columns() -> None:
    """With as many rows as tokens, statistics of rows that lost a dimension would broadcast along the wrong one."""
    values = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    mask = torch.arange(5) <= torch.arange(5)[:, None]
    by_row = whiten(values, mask, over=torch.arange(5))
    for row in range(5):
        close(by_row[row : row + 1], whiten(values[row : row + 1], mask[row : row + 1]))


# the value loss


def test_value_loss_by_hand() -> None:
    values = torch.tensor([[1.0, 2.0, 50.0]])
    old = torch.tensor([[0.9, 1.0, 50.0]])
    returns = torch.tensor([[1.5, 3.0, -50.0]])
    mask = torch.tensor([[True, True, False]])
    # Token 0 moved by .1, inside the clip: .25. Token 1 moved by 1, clipped at 1.2: max(1, 1.8^2) = 3.24.
    assert float(value_loss(values, old, returns, mask)) == pytest.approx(0.5 * (0.25 + 3.24) / 2)
    assert float(value_loss(values, old, returns, mask, clip=None)) == pytest.approx(0.5 * (0.25 + 1.0) / 2)


def test_a_value_beyond_the_clip_is_not_pushed_further() -> None:
    value = torch.tensor([[2.0]], requires_grad=True)
    old, returns, mask = torch.tensor([[1.0]]), torch.tensor([[3.0]]), torch.ones(1, 1, dtype=torch.bool)
    value_loss(value, old, returns, mask).backward()
    assert value.grad is not None
    assert value.grad.item() == 0.0


def test_what_is_masked_has_no_gradient_whatever_it_is() -> None:
    values = torch.tensor([[1.0, math.nan], [math.inf, 2.0]], requires_grad=True)
    mask = torch.tensor([[True, False], [False, True]])
    rest = torch.where(mask, 0.5, math.nan)
    value_loss(values, rest, rest, mask).backward()
    assert values.grad is not None
    assert values.grad.tolist() == [[0.25, 0.0], [0.0, 0.75]]


def test_explained_variance() -> None:
    returns = torch.tensor([[1.0, 2.0, 3.0, 99.0]])
    mask = torch.tensor([[True, True, True, False]])
    assert float(explained_variance(returns, returns, mask)) == 1.0
    assert float(explained_variance(torch.zeros(1, 4), returns, mask)) == pytest.approx(0.0)
    assert float(explained_variance(-returns, returns, mask)) == pytest.approx(-3.0)
    assert float(explained_variance(returns + 5, returns, mask)) == pytest.approx(1.0)
    assert float(explained_variance(returns, torch.ones(1, 4), mask)) == 0.0
