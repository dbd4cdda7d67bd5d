"""RL-ZVP: something to learn from prompts whose completions are all right or all wrong."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError

from .estimators import dense_return, grpo
from .grouped import Kappa, Scale, group_sums, present
from .rollouts import Estimator, Rollouts

__all__ = ["RL_ZVP", "rl_zvp", "zero_variance"]


def rl_zvp(
    rollouts: Rollouts,
    *,
    alpha: float = 0.1,
    cap: float | None = None,
    base: Literal["grpo", "dense-return"] = "grpo",
    kappa: Kappa = "group_mean",
    scale: Scale = "group",
) -> Tensor:
    """``grpo``, and for prompts that are all correct or all wrong an advantage shaped by the policy's entropy.

    With H_{i,t} the entropy of the next-token distribution at token t, no gradient through it::

        all correct    A_{i,t} + alpha H_{i,t}
        all wrong      A_{i,t} - alpha (max over i's tokens s of H_{i,s} - H_{i,t})
        otherwise      A_{i,t}

    A is that of ``base`` with ``kappa`` and ``scale``; where rewards are correctness alone, it is 0 for such prompts
    and this is the paper's equation. Correctness is the rubric's ``correct``; a group counts as all correct, or all
    wrong, where that is known of each of its scored completions, and there are at least two. ``alpha: 0`` is ``base``.
    ``cap`` (nats) limits H, which is large in an untrained policy.

    Returns (B, T). Paper: RL-ZVP, No Prompt Left Behind (2509.21880).
    """
    if alpha < 0 or (cap is not None and cap <= 0):
        raise UserError(f"rl-zvp: alpha must not be below 0, nor cap at or below it; given alpha={alpha}, cap={cap}")
    assert rollouts.entropies is not None
    advantages = (dense_return if base == "dense-return" else grpo)(rollouts, kappa=kappa, scale=scale)
    right, wrong = zero_variance(rollouts)
    own = rollouts.mask.bool()
    entropy = torch.where(own, rollouts.entropies.detach().to(rollouts.rewards), 0.0)
    entropy = entropy.clamp(min=0.0, max=cap)
    if not own.shape[-1]:
        return advantages
    shaped = torch.where(right.unsqueeze(-1), entropy, 0.0)
    shaped = torch.where(wrong.unsqueeze(-1), entropy - entropy.amax(-1, keepdim=True), shaped)
    return advantages + torch.where(own, alpha * shaped, 0.0)


def zero_variance(rollouts: Rollouts) -> tuple[Tensor, Tensor]:
    """(B,) twice: scored rows of groups in which every scored row is known to be correct; and of all-wrong ones."""
    assert rollouts.correct is not None
    rows = present(rollouts).any(0)
    votes = torch.stack([rows, rows & (rollouts.correct == 1), rows & (rollouts.correct == 0)]).long()
    counted, right, wrong = group_sums(votes, rollouts.group)
    several = rows & (counted >= 2)
    return several & (right == counted), several & (wrong == counted)


RL_ZVP = Estimator("rl-zvp", rl_zvp, needs=frozenset({"entropies", "correct"}))
