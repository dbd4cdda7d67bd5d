"""What each estimator and loss converges to, exactly: a bandit whose groups are all enumerated.

Three arms with rewards (1, .6, 0), a reference policy (.5, .3, .2), beta .5. The KL-regularised optimum is known in
closed form: ref exp(r / beta) / Z = (.7554, .2037, .0409). Every group of four draws is in the batch, weighted by its
probability, so that a step follows the expected gradient of the real estimator through the real loss.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from honewise.algorithms import (
    DR_GRPO,
    GAE,
    GRPO,
    REINFORCE_PP,
    REMAX,
    RLOO,
    Estimator,
    Rollouts,
    add_kl_reward,
    aggregate,
    kl_loss,
    policy_loss,
    value_loss,
)

REWARDS = torch.tensor([1.0, 0.6, 0.0], dtype=torch.float64)
REFERENCE = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
BETA, SAMPLES = 0.5, 4
GROUPS = torch.tensor(list(itertools.product(range(3), repeat=SAMPLES)))
ARMS = GROUPS.flatten()
MASK = torch.ones(len(ARMS), 1, dtype=torch.bool)
CLOSED_FORM = [0.7554, 0.2037, 0.0409]


def batch(arms: Tensor, logps: Tensor) -> Rollouts:
    """Draws of ``arms``, in groups of four; ``logps`` (N, 1) are those of the policy that drew them."""
    return Rollouts(
        rewards=REWARDS[arms].reshape(1, -1, 1),
        scored=torch.ones(1, len(arms), dtype=torch.bool),
        mask=torch.ones(len(arms), 1, dtype=torch.bool),
        group=torch.arange(len(arms)) // SAMPLES,
        old_logps=logps.detach(),
        ref_logps=REFERENCE.log()[arms].unsqueeze(-1),
        values=torch.zeros(len(arms), 1, dtype=torch.float64),
        greedy=torch.ones(1, len(arms), dtype=torch.float64),
    )


def expected_loss(theta: Tensor, estimator: Estimator, place: str, beta: float, options: dict[str, Any]) -> Tensor:
    policy = torch.log_softmax(theta, -1)
    logps = policy[ARMS].unsqueeze(-1)
    rollouts = batch(ARMS, logps)
    chance = policy.detach()[GROUPS].sum(-1).exp().repeat_interleave(SAMPLES).unsqueeze(-1) * len(GROUPS)
    advantages = estimator(add_kl_reward(rollouts, beta) if place == "reward" else rollouts, **options)
    loss = policy_loss(logps, logps.detach(), advantages * chance, MASK, length=1).loss
    if place == "loss":
        assert rollouts.ref_logps is not None
        kl = kl_loss(logps, rollouts.ref_logps, logps.detach(), MASK)
        loss = loss + beta * aggregate(kl * chance, MASK, "constant", length=1)
    return loss


def fixed_point(estimator: Estimator, place: str, *, beta: float = BETA, **options: Any) -> list[float]:
    """Where natural gradient steps end; they shrink, since advantages in units of their own spread do not."""
    theta = REFERENCE.log().clone().requires_grad_()
    for step in range(500):
        gradient = torch.autograd.grad(expected_loss(theta, estimator, place, beta, options), theta)[0]
        chances = torch.softmax(theta.detach(), -1)
        fisher = torch.diag(chances) - torch.outer(chances, chances)
        theta = (theta.detach() - 0.4 * 0.985**step * torch.linalg.pinv(fisher) @ gradient).requires_grad_()
    return torch.softmax(theta.detach(), -1).tolist()


def test_the_closed_form() -> None:
    optimum = REFERENCE * (REWARDS / BETA).exp()
    assert (optimum / optimum.sum()).tolist() == pytest.approx(CLOSED_FORM, abs=5e-5)


@pytest.mark.parametrize(
    ("estimator", "options", "place", "wanted"),
    [
        (RLOO, {}, "reward", CLOSED_FORM),
        (DR_GRPO, {}, "reward", CLOSED_FORM),
        (GRPO, {"scale": "group"}, "reward", [0.7548, 0.2041, 0.0411]),
        (DR_GRPO, {}, "loss", [0.7050, 0.2321, 0.0629]),
        (GRPO, {"scale": "group"}, "loss", [0.9501, 0.0320, 0.0179]),
        (RLOO, {}, "loss", CLOSED_FORM),
        (REMAX, {}, "reward", CLOSED_FORM),
        (REINFORCE_PP, {"whitened": "none"}, "reward", CLOSED_FORM),
        (GAE, {}, "reward", CLOSED_FORM),
    ],
    ids=lambda value: value.name if isinstance(value, Estimator) else value if isinstance(value, str) else "",
)
def test_fixed_points(estimator: Estimator, options: dict[str, Any], place: str, wanted: list[float]) -> None:
    assert fixed_point(estimator, place, **options) == pytest.approx(wanted, abs=1e-3)


def test_kl_in_the_loss_beside_a_group_mean_counts_more() -> None:
    """By n/(n-1): with that much less of it the closed form comes back, as the documentation says."""
    less = BETA * (SAMPLES - 1) / SAMPLES
    assert fixed_point(DR_GRPO, "loss", beta=less) == pytest.approx(CLOSED_FORM, abs=1e-3)


def quota(chances: Tensor, rows: int) -> Tensor:
    """``rows`` arms in the proportions of ``chances``, without chance."""
    return torch.searchsorted(chances.cumsum(0), (torch.arange(rows) + 0.5).double() / rows).clamp(max=2)


def test_ppo_with_a_critic_reaches_the_closed_form() -> None:
    """GAE, the clipped loss for four epochs a batch, the value loss, and the KL in the reward; nothing whitened."""
    theta = REFERENCE.log().clone().requires_grad_()
    value = torch.zeros((), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([{"params": [theta], "lr": 1.0}, {"params": [value], "lr": 0.2}])
    clipped = 0.0
    for _ in range(250):
        policy = torch.log_softmax(theta, -1)
        arms = quota(policy.detach().exp(), 100)
        old, old_values = policy.detach()[arms].unsqueeze(-1), value.detach().expand(100, 1)
        rollouts = add_kl_reward(replace(batch(arms, old), values=old_values), BETA)
        advantages, returns = GAE(rollouts), GAE.targets(rollouts)
        for _ in range(4):
            logps = torch.log_softmax(theta, -1)[arms].unsqueeze(-1)
            policy_part = policy_loss(logps, old, advantages, rollouts.mask, length=1)
            value_part = value_loss(value.expand(100, 1), old_values, returns, rollouts.mask)
            optimizer.zero_grad()
            (policy_part.loss + value_part).backward()
            optimizer.step()
            clipped += float(policy_part.numbers["clip_ratio/low"] + policy_part.numbers["clip_ratio/high"])
    assert torch.softmax(theta.detach(), -1).tolist() == pytest.approx(CLOSED_FORM, abs=1e-3)
    best = float((REFERENCE * (REWARDS / BETA).exp()).sum().log() * BETA)  # beta log Z: what the optimum is worth
    assert float(value.detach()) == pytest.approx(best, abs=1e-3)
    assert clipped > 0


def test_the_greedy_baseline_of_remax_is_unbiased_and_may_raise_the_variance() -> None:
    chances = torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64)
    rewards = torch.tensor([1.0, 0.5, -1.0], dtype=torch.float64)
    theta = chances.log().clone().requires_grad_()
    found = {}
    for name, baseline in (("zero", 0.0), ("greedy", 1.0), ("other", -7.0)):
        each = []
        for arm in range(3):
            logps = torch.log_softmax(theta, -1)[arm].reshape(1, 1)
            one = Rollouts(rewards[arm].reshape(1, 1, 1), torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1),
                           greedy=torch.tensor([[baseline]]))  # fmt: skip
            loss = policy_loss(logps, logps.detach(), REMAX(one), one.mask, length=1).loss
            each.append(-torch.autograd.grad(loss, theta)[0])
        gradients = torch.stack(each)
        mean = chances @ gradients
        assert mean.tolist() == pytest.approx([0.21, -0.045, -0.165], abs=1e-9)
        found[name] = float(chances @ ((gradients - mean) ** 2).sum(-1))
    assert found["zero"] == pytest.approx(0.2732, abs=5e-5)
    assert found["greedy"] == pytest.approx(0.4952, abs=5e-5)
