"""Estimators without a critic: the completions of one prompt are each other's baseline.

All centre each reward component over the completions of a group that have it, so that a component that could not be
computed for one completion favours none. This is right for rubrics that add up, and assumes that a component's absence
does not depend on how good the completion is.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .grouped import (
    EPSILON,
    Kappa,
    Scale,
    centre,
    compact,
    deviation,
    finish,
    present,
    scaled_over,
    scatter,
    totals,
)
from .rollouts import Estimator, Rollouts

__all__ = ["DENSE_RETURN", "DR_GRPO", "GDPO", "GRPO", "RLOO", "dense_return", "dr_grpo", "gdpo", "grpo", "rloo"]


def grpo(rollouts: Rollouts, *, kappa: Kappa = "group_mean", scale: Scale = "group") -> Tensor:
    """One advantage for all tokens of a completion: its total against those of its group.

    With totals x_ki of component k in completion i, and O_ki the other completions of i's group that have k::

        A_it = sum over k of kappa_k (x_ki - mean over j in O_ki of x_kj)

    kappa_k is 1 (``loo``: RLOO) or |O_ki| / (|O_ki| + 1) (``group_mean``: GRPO, Dr. GRPO). A component that i lacks, or
    that no other has, adds nothing.

    ``scale``: ``none``; ``group`` divides by the sample standard deviation of the group's totals + 1e-4 (GRPO);
    ``batch`` by that of all totals + 1e-4; ``domain`` by that of the totals of the row's domain + 1e-4. In a total, a
    missing component counts as its mean over the group. Any scaling but ``none`` biases the gradient.

    Where all components are scored and ``kappa`` is ``group_mean``, ``scale`` does what TRL's ``scale_rewards`` does.

    Returns (B, T). Papers: DeepSeekMath (2402.03300), RLOO (2402.14740), Dr. GRPO (2503.20783).
    """
    takes_part = present(rollouts)
    advantages = centre(totals(rollouts), takes_part, rollouts.group, kappa).sum(0).expand(rollouts.mask.shape)
    return finish(advantages, rollouts, takes_part, scale)


def dr_grpo(rollouts: Rollouts) -> Tensor:
    """``grpo`` without the division: A_it = sum over k of (x_ki - mean over the group of x_k).

    With the mean over n completions as a baseline, the expected gradient is (n-1)/n of the true one: right in
    direction. A KL term in the *loss* is not shrunk along, and so counts n/(n-1) as much; a KL charge in the reward is.

    Returns (B, T). Paper: Dr. GRPO (2503.20783).
    """
    return grpo(rollouts, kappa="group_mean", scale="none")


def rloo(rollouts: Rollouts, *, scale: Scale = "none") -> Tensor:
    """Each total against the mean of the *other* totals of its group: A_it = sum over k of (x_ki - mean over O_ki).

    Equal to n/(n-1) times ``dr_grpo`` where n completions have every component; unbiased with ``scale: none``.
    ``scale`` is that of ``grpo``.

    Returns (B, T). Paper: RLOO (2402.14740).
    """
    return grpo(rollouts, kappa="loo", scale=scale)


def dense_return(rollouts: Rollouts, *, kappa: Kappa = "loo", scale: Scale = "none") -> Tensor:
    """Each token's own return against the returns of the group at the same place: unbiased dense credit.

    With token rewards r_{i,s}, s = 1..L_i counted over the policy's own tokens (no discount)::

        R_{i,t} = sum over s = t..L_i of r_{i,s}
        b_{i,t} = mean over j in O_i of R_{j, min(t, L_j)}
        A_{i,t} = kappa (R_{i,t} - b_{i,t})

    O_i are the other scored completions of i's group; a shorter one holds its last return, which is what makes rewards
    at the end alone give the advantages of ``grpo`` exactly. With several components, each is centred over the
    completions that have it and the results are added. ``kappa`` and ``scale`` are those of ``grpo``.

    The baseline of a token depends on other completions only, so with ``loo``, no scaling and a loss that sums over
    tokens and divides by a constant (``dr_grpo``) the expected gradient is exactly that of the expected total reward.

    Returns (B, T).
    """
    takes_part = present(rollouts)
    rewards, order, lengths = compact(rollouts.rewards, rollouts.mask)
    place = torch.arange(rollouts.mask.shape[-1], device=order.device).expand_as(order)
    returns = rewards.flip(-1).cumsum(-1).flip(-1)
    last = torch.minimum(place, (lengths - 1).clamp(min=0).unsqueeze(-1))
    held = returns.gather(-1, last.expand_as(returns))
    advantages = scatter(centre(held, takes_part, rollouts.group, kappa).sum(0), order)
    return finish(advantages, rollouts, takes_part, scale)


def gdpo(rollouts: Rollouts, *, scale: Literal["none", "batch", "domain"] = "batch") -> Tensor:
    """Each component normalised by itself, then weighted and added: normalise-then-sum.

    With d_ki = x_ki - mean over the group's completions that have k, and s_k their sample standard deviation::

        A_i = sum over k of w_k d_ki / (s_k + 1e-4)        then, with ``scale: batch``, divided by std(A) + 1e-4

    A sum of raw totals is ruled by the component that spreads most, and totals made of different parts can be equal;
    here each component counts as its weight says. x and s are meant before weights; ``scale: domain`` divides by the
    standard deviation over the completions of the row's domain. A component that varies for nobody adds nothing, as
    does one that is missing. A KL charge in the reward is centred and not normalised, which would undo its coefficient.

    Biased, as every division by a spread is. Returns (B, T). Paper: GDPO (2601.05242). With everything scored it is
    TRL's ``multi_objective_aggregation="normalize_then_sum"``.
    """
    takes_part = present(rollouts)
    assert rollouts.weights is not None
    weights = rollouts.weights.to(rollouts.rewards).abs().reshape(-1, 1, 1)
    values = totals(rollouts)
    spread = deviation(values, takes_part, rollouts.group)
    share = weights / (spread + EPSILON * weights).clamp(min=torch.finfo(values.dtype).tiny)
    if rollouts.kl is not None:
        share[rollouts.kl] = 1.0
    advantages = (centre(values, takes_part, rollouts.group, "group_mean") * share).sum(0)
    rows = takes_part.any(0)
    if scale != "none":
        over = scaled_over(rollouts, scale)
        advantages = advantages / (deviation(advantages.unsqueeze(0), rows.unsqueeze(0), over).squeeze(0) + EPSILON)
    return torch.where(rollouts.mask.bool() & rows.unsqueeze(-1), advantages, 0.0)


GRPO = Estimator("grpo", grpo, dense=False)
DR_GRPO = Estimator("dr-grpo", dr_grpo, dense=False)
RLOO = Estimator("rloo", rloo, dense=False)
GDPO = Estimator("gdpo", gdpo, needs=frozenset({"weights"}), dense=False)
DENSE_RETURN = Estimator("dense-return", dense_return)
