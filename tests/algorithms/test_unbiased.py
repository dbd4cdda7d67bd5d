"""Which estimators follow the gradient of E[reward] - beta KL exactly, by enumeration, and which do not.

A toy language of two letters and an end, at most three tokens: 15 sequences with tabular probabilities. Every pair of
sequences is a group, weighted by its probability, through the clipped loss on policy. Rewards are dense and terminal,
in two components; the KL to a reference is in the reward, as a charge on each token.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from honewise.algorithms import (
    DENSE_RETURN,
    DR_GRPO,
    GAE,
    GDPO,
    GRPO_PROCESS,
    REINFORCE_PP,
    REINFORCE_PP_BASELINE,
    REMAX,
    RL_ZVP,
    RLOO,
    Estimator,
    Rollouts,
    add_kl_reward,
    policy_loss,
)

LETTERS, END, LONGEST, BETA = (0, 1), 2, 3, 0.3
PREFIXES = [p for n in range(LONGEST) for p in itertools.product(LETTERS, repeat=n)]
SEQUENCES = [
    (*prefix, token) for prefix in PREFIXES for token in (*LETTERS, END) if token == END or len(prefix) == LONGEST - 1
]
PAIRS = torch.tensor(list(itertools.product(range(len(SEQUENCES)), repeat=2)))


class Language:
    """Log-probabilities of all sequences by ``theta``, their rewards in two components, and a critic of no merit."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)

        def table(scale: float) -> Tensor:
            return torch.randn(len(PREFIXES), 3, dtype=torch.float64, generator=generator) * scale

        self.theta = table(0.7).requires_grad_()
        reference, paid, critic = torch.log_softmax(table(0.7), -1), table(1.0), table(1.0)
        policy = torch.log_softmax(self.theta, -1)
        shape = (len(SEQUENCES), LONGEST)
        self.mask = torch.zeros(shape, dtype=torch.bool)
        self.logps, self.ref_logps = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        self.rewards, self.values = torch.zeros(2, *shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        for row, sequence in enumerate(SEQUENCES):
            for t, token in enumerate(sequence):
                cell = (PREFIXES.index(sequence[:t]), token)
                self.mask[row, t] = True
                self.logps[row, t] = policy[cell]
                self.ref_logps[row, t], self.rewards[0, row, t] = reference[cell], paid[cell]
                self.values[row, t] = critic[cell[0], 0]
            self.rewards[1, row, len(sequence) - 1] = sum((t + 1) * (x + 1) for t, x in enumerate(sequence)) * 7 % 5 / 4

    @property
    def chances(self) -> Tensor:
        return self.logps.sum(1).exp()

    def true_gradient(self, beta: float) -> Tensor:
        kl = ((self.logps - self.ref_logps) * self.mask).sum(1)
        return self._gradient(self.chances @ (self.rewards.sum((0, 2)) - beta * kl))

    def expected_gradient(self, estimator: Estimator, beta: float, **options: Any) -> Tensor:
        rows = PAIRS.flatten()
        logps = self.logps[rows]
        batch = Rollouts(
            self.rewards[:, rows],
            torch.ones(2, len(rows), dtype=torch.bool),
            self.mask[rows],
            torch.arange(len(rows)) // 2,
            old_logps=logps.detach(),
            ref_logps=self.ref_logps[rows],
            values=self.values[rows],
            greedy=self.rewards.sum(2)[:, :1].expand(2, len(rows)),
            entropies=torch.ones(len(rows), LONGEST, dtype=torch.float64),
            correct=(self.rewards[1, rows].sum(1) > 0.5).long(),
            weights=torch.ones(2, dtype=torch.float64),
            domain=torch.arange(len(rows)) // 2,
        )
        advantages = estimator(add_kl_reward(batch, beta) if beta else batch, **options)
        chance = self.chances.detach()[PAIRS].prod(1).repeat_interleave(2) * len(PAIRS)
        loss = policy_loss(logps, logps.detach(), advantages * chance[:, None], batch.mask, length=1).loss
        return self._gradient(-loss)

    def _gradient(self, value: Tensor) -> Tensor:
        return torch.autograd.grad(value, self.theta, retain_graph=True)[0].flatten()


LANGUAGE = Language()


def angle(one: Tensor, other: Tensor) -> float:
    return float(1 - one @ other / (one.norm() * other.norm()))


@pytest.mark.parametrize("beta", [0.0, BETA])
@pytest.mark.parametrize(
    ("estimator", "options", "factor"),
    [
        (RLOO, {}, 1.0),
        (DR_GRPO, {}, 0.5),
        (DENSE_RETURN, {}, 1.0),
        (REINFORCE_PP, {"whitened": "none"}, 1.0),
        (REMAX, {"kl_credit": "cumulative"}, 1.0),
        (GAE, {"lam": 1.0}, 1.0),
        (RL_ZVP, {"scale": "none", "kappa": "loo", "base": "dense-return", "alpha": 0.0}, 1.0),
    ],
    ids=lambda value: value.name if isinstance(value, Estimator) else "",
)
def test_exact(estimator: Estimator, options: dict[str, Any], factor: float, beta: float) -> None:
    found = LANGUAGE.expected_gradient(estimator, beta, **options)
    torch.testing.assert_close(found, LANGUAGE.true_gradient(beta) * factor, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("estimator", "options", "beta"),
    [
        (REMAX, {"kl_credit": "one_step"}, BETA),
        (REMAX, {"clip": 0.5}, 0.0),
        (GAE, {"lam": 0.5}, 0.0),
        (GAE, {"lam": 1.0, "gamma": 0.8}, 0.0),
        (REINFORCE_PP, {"whitened": "domain"}, 0.0),  # each pair a batch of its own
        (REINFORCE_PP_BASELINE, {"whitened": "domain"}, 0.0),
        (RL_ZVP, {"scale": "none", "kappa": "loo", "alpha": 1.0}, 0.0),
        (GRPO_PROCESS, {"scale": "none"}, 0.0),
        (GDPO, {"scale": "none"}, 0.0),
        (RLOO, {"scale": "group"}, 0.0),
    ],
    ids=lambda value: value.name if isinstance(value, Estimator) else "",
)
def test_what_is_given_up(estimator: Estimator, options: dict[str, Any], beta: float) -> None:
    """Documentation calls these biased: they must be, or the test above sees nothing."""
    found = LANGUAGE.expected_gradient(estimator, beta, **options)
    assert angle(found, LANGUAGE.true_gradient(beta)) > 1e-4


def test_a_kl_left_out_is_seen() -> None:
    assert angle(LANGUAGE.true_gradient(0.0), LANGUAGE.true_gradient(BETA)) > 1e-3
