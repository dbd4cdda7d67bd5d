"""Estimators without a critic: the completions of one prompt are each other's baseline.

Both centre each reward component over the completions of a group that have it, so that a component that could not be
computed for one completion favours none. This is right for rubrics that add up, and assumes that a component's absence
does not depend on how good the completion is.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError, near

from .rollouts import Estimator, Rollouts

__all__ = ["DENSE_RETURN", "GRPO", "dense_return", "grpo"]

Kappa = Literal["loo", "group_mean"]
Scale = Literal["none", "group", "batch"]

EPSILON = 1e-4
"""Added to standard deviations, as TRL does."""


def grpo(rollouts: Rollouts, *, kappa: Kappa = "group_mean", scale: Scale = "group") -> Tensor:
    """One advantage for all tokens of a completion: its total against those of its group.

    With totals x_ki of component k in completion i, and O_ki the other completions of i's group that have k::

        A_it = sum over k of kappa_k (x_ki - mean over j in O_ki of x_kj)

    kappa_k is 1 (``loo``: RLOO) or |O_ki| / (|O_ki| + 1) (``group_mean``: GRPO, Dr. GRPO). A component that i lacks, or
    that no other has, adds nothing.

    ``scale``: ``none``; ``group`` divides by the sample standard deviation of the group's totals + 1e-4 (GRPO);
    ``batch`` by that of all totals + 1e-4. In a total, a missing component counts as its mean over the group. Any
    scaling but ``none`` biases the gradient.

    Where all components are scored and ``kappa`` is ``group_mean``, ``scale`` does what TRL's ``scale_rewards`` does.

    Returns (B, T). Papers: DeepSeekMath (2402.03300), RLOO (2402.14740), Dr. GRPO (2503.20783).
    """
    takes_part = _takes_part(rollouts)
    totals = (rollouts.rewards * rollouts.mask).sum(-1, keepdim=True)
    advantages = _centre(totals, takes_part, rollouts.group, kappa).sum(0).expand(rollouts.mask.shape)
    return _finish(advantages, rollouts, takes_part, scale)


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
    takes_part = _takes_part(rollouts)
    lengths = rollouts.mask.sum(-1)
    order = torch.argsort(rollouts.mask.logical_not().to(torch.uint8), dim=-1, stable=True)
    place = torch.arange(rollouts.mask.shape[-1], device=order.device).expand_as(order)
    rewards = (rollouts.rewards * rollouts.mask).gather(-1, order.expand_as(rollouts.rewards))
    returns = rewards.flip(-1).cumsum(-1).flip(-1)
    last = torch.minimum(place, (lengths - 1).clamp(min=0).unsqueeze(-1))
    held = returns.gather(-1, last.expand_as(returns))
    compact = _centre(held, takes_part, rollouts.group, kappa).sum(0)
    advantages = torch.zeros_like(compact).scatter(-1, order, compact)
    return _finish(advantages, rollouts, takes_part, scale)


def _takes_part(rollouts: Rollouts) -> Tensor:
    """(K, B): scored, and with at least one token of the policy's to learn from."""
    return rollouts.scored.bool() & rollouts.mask.bool().any(-1)


def _group_sums(values: Tensor, group: Tensor) -> Tensor:
    """Sums of (K, B, ...) over the groups of B, spread back over the rows: the same shape."""
    _, index = torch.unique(group, return_inverse=True)
    count = int(index.max()) + 1 if index.numel() else 0
    sums = values.new_zeros((values.shape[0], count, *values.shape[2:]))
    return sums.index_add_(1, index, values).index_select(1, index)


def _centre(values: Tensor, takes_part: Tensor, group: Tensor, kappa: Kappa) -> Tensor:
    """``values`` (K, B, T) minus the mean of the others that take part, times kappa; 0 where there is none."""
    if kappa not in ("loo", "group_mean"):
        raise UserError(f"kappa {kappa!r}{near(str(kappa), ('loo', 'group_mean'))}")
    present = takes_part.unsqueeze(-1)
    kept = torch.where(present, values, 0.0)
    count = _group_sums(present.to(values.dtype), group)
    others = count - 1
    compared = kept - (_group_sums(kept, group) - kept) / others.clamp(min=1)
    if kappa == "group_mean":
        compared = compared * (others / count.clamp(min=1))
    return torch.where(present & (others > 0), compared, 0.0)


def _finish(advantages: Tensor, rollouts: Rollouts, takes_part: Tensor, scale: Scale) -> Tensor:
    """Divided by the spread of the totals where asked, and 0 outside the mask and in unscored rows."""
    if scale not in ("none", "group", "batch"):
        raise UserError(f"scale {scale!r}{near(str(scale), ('none', 'group', 'batch'))}")
    rows = takes_part.any(0)
    if scale != "none":
        group = rollouts.group if scale == "group" else torch.zeros_like(rollouts.group)
        advantages = advantages / (_spread(rollouts, takes_part, rows, group) + EPSILON)
    return torch.where(rollouts.mask.bool() & rows.unsqueeze(-1), advantages, 0.0)


def _spread(rollouts: Rollouts, takes_part: Tensor, rows: Tensor, group: Tensor) -> Tensor:
    """(B, 1): sample standard deviation of the totals of the rows of ``group`` that take part; 0 below two of them."""
    present = takes_part.unsqueeze(-1)
    totals = (rollouts.rewards * rollouts.mask).sum(-1, keepdim=True)
    kept = torch.where(present, totals, 0.0)
    means = _group_sums(kept, rollouts.group) / _group_sums(present.to(kept.dtype), rollouts.group).clamp(min=1)
    total = torch.where(present, totals, means).sum(0, keepdim=True)
    counted = rows.to(total.dtype).reshape(1, -1, 1)
    count = _group_sums(counted, group)
    mean = _group_sums(total * counted, group) / count.clamp(min=1)
    squares = _group_sums((total - mean) ** 2 * counted, group)
    return (squares / (count - 1).clamp(min=1)).sqrt().squeeze(0)


GRPO = Estimator("grpo", grpo, dense=False)
DENSE_RETURN = Estimator("dense-return", dense_return)
