"""What each estimator and loss converges to, exactly: a bandit whose groups are all enumerated.

Three arms with rewards (1, .6, 0), a reference policy (.5, .3, .2), beta .5. The KL-regularised optimum is known in
closed form: ref exp(r / beta) / Z = (.7554, .2037, .0409). Every group of four draws is one batch, weighted by its
probability, so that a step follows the expected gradient of the real estimator and the real loss.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from honewise.algorithms import (
    DR_GRPO,
    GAE,
    GRPO,
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


def batch(logps: Tensor) -> Rollouts:
    return Rollouts(
        rewards=REWARDS[ARMS].reshape(1, -1, 1),
        scored=torch.ones(1, len(ARMS), dtype=torch.bool),
        mask=MASK,
        group=torch.arange(len(GROUPS)).repeat_interleave(SAMPLES),
        old_logps=logps.detach(),
        ref_logps=REFERENCE.log()[ARMS].unsqueeze(-1),
    )


def loss_of(theta: Tensor, estimator: Estimator, place: str, options: dict[str, Any]) -> Tensor:
    policy = torch.log_softmax(theta, -1)
    logps = policy[ARMS].unsqueeze(-1)
    rollouts = batch(logps)
    chance = policy.detach()[GROUPS].sum(-1).exp().repeat_interleave(SAMPLES).unsqueeze(-1) * len(GROUPS)
    advantages = estimator(add_kl_reward(rollouts, BETA) if place == "reward" else rollouts, **options)
    loss = policy_loss(logps, logps.detach(), advantages * chance, MASK, length=1).loss
    if place == "loss":
        kl = kl_loss(logps, rollouts.ref_logps, logps.detach(), MASK)
        loss = loss + BETA * aggregate(kl * chance, MASK, "constant", length=1)
    return loss


def natural_step(theta: Tensor, loss: Tensor, rate: float) -> Tensor:
    gradient = torch.autograd.grad(loss, theta)[0]
    chances = torch.softmax(theta.detach(), -1)
    fisher = torch.diag(chances) - torch.outer(chances, chances)
    return (theta.detach() - rate * torch.linalg.pinv(fisher) @ gradient).requires_grad_()


def fixed_point(estimator: Estimator, place: str, **options: Any) -> list[float]:
    theta = REFERENCE.log().clone().requires_grad_()
    for n in range(400):
        theta = natural_step(theta, loss_of(theta, estimator, place, options), 0.3 * 0.98**n)
    return torch.softmax(theta.detach(), -1).tolist()


@pytest.mark.parametrize(
    ("estimator", "options", "place", "wanted"),
    [
        (RLOO, {}, "reward", CLOSED_FORM),
        (DR_GRPO, {}, "reward", CLOSED_FORM),
        (DR_GRPO, {}, "loss", [0.7050, 0.2321, 0.0629]),
        (GRPO, {"scale": "group"}, "reward", [0.7548, 0.2041, 0.0411]),
        (GRPO, {"scale": "group"}, "loss", [0.9501, 0.0320, 0.0179]),
    ],
    ids=["rloo-reward", "dr-grpo-reward", "dr-grpo-loss", "grpo-reward", "grpo-loss"],
)
def test_fixed_points(estimator, options, place, wanted) -> None:
    got = fixed_point(estimator, place, **options)
    print(got)
    assert got == pytest.approx(wanted, abs=1e-3)
