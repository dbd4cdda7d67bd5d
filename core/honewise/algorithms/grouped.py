"""What estimators share: which rows take part, sums over groups, centring, and places without holes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError, near

from .rollouts import Rollouts

__all__ = [
    "EPSILON",
    "Kappa",
    "Scale",
    "Std",
    "centre",
    "compact",
    "complete",
    "deviation",
    "discounted",
    "earned",
    "finish",
    "group_sums",
    "present",
    "scatter",
    "totals",
]

Kappa = Literal["loo", "group_mean"]
Scale = Literal["none", "group", "batch", "domain"]
Std = Literal["sample", "population"]

EPSILON = 1e-4
"""Added to standard deviations, as TRL does."""


def present(rollouts: Rollouts) -> Tensor:
    """(K, B): the component is scored, and the row has at least one token of the policy's to learn from."""
    return rollouts.scored.bool() & rollouts.mask.bool().any(-1)


def complete(rollouts: Rollouts) -> Tensor:
    """(B,): rows with every component that anyone of their domain in the batch has.

    Without a group to compare with, a missing component would read as a reward of 0, which is a lie about the
    completion; critics and batch baselines leave such rows out.
    """
    there = present(rollouts)
    known = group_sums(there.long(), scaled_over(rollouts, "domain")) > 0
    return (there | ~known).all(0) & there.any(0)


def earned(rollouts: Rollouts) -> Tensor:
    """(K, B, T): rewards of present components at the policy's tokens, 0 elsewhere, whatever stood there."""
    return torch.where(present(rollouts).unsqueeze(-1) & rollouts.mask.bool(), rollouts.rewards, 0.0)


def totals(rollouts: Rollouts) -> Tensor:
    """(K, B, 1)."""
    return earned(rollouts).sum(-1, keepdim=True)


def group_sums(values: Tensor, group: Tensor) -> Tensor:
    """Sums of (K, B, ...) over the groups of B, spread back over the rows: the same shape."""
    _, index = torch.unique(group, return_inverse=True)
    count = int(index.max()) + 1 if index.numel() else 0
    sums = values.new_zeros((values.shape[0], count, *values.shape[2:]))
    return sums.index_add_(1, index, values).index_select(1, index)


def centre(values: Tensor, takes_part: Tensor, group: Tensor, kappa: Kappa) -> Tensor:
    """``values`` (K, B, T) minus the mean of the others that take part, times kappa; 0 where there is none.

    ``takes_part`` is (K, B).
    """
    if kappa not in ("loo", "group_mean"):
        raise UserError(f"kappa {kappa!r}{near(str(kappa), ('loo', 'group_mean'))}")
    here = takes_part.unsqueeze(-1)
    kept = torch.where(here, values, 0.0)
    count = group_sums(here.to(values.dtype), group)
    others = count - 1
    compared = kept - (group_sums(kept, group) - kept) / others.clamp(min=1)
    if kappa == "group_mean":
        compared = compared * (others / count.clamp(min=1))
    return torch.where(here & (others > 0), compared, 0.0)


def deviation(values: Tensor, takes_part: Tensor, group: Tensor, std: Std = "sample") -> Tensor:
    """(K, B, 1): standard deviation of ``values`` (K, B, 1) over the rows of each group that take part (K, B).

    0 where fewer than two do.
    """
    here = takes_part.unsqueeze(-1)
    kept = torch.where(here, values, 0.0)
    count = group_sums(here.to(values.dtype), group)
    mean = group_sums(kept, group) / count.clamp(min=1)
    squares = group_sums(torch.where(here, (values - mean) ** 2, 0.0), group)
    return (squares / (count - (1 if std == "sample" else 0)).clamp(min=1)).sqrt()


def finish(advantages: Tensor, rollouts: Rollouts, takes_part: Tensor, scale: Scale) -> Tensor:
    """Divided by the spread of the totals where asked, and 0 outside the mask and in unscored rows: (B, T)."""
    if scale not in ("none", "group", "batch", "domain"):
        raise UserError(f"scale {scale!r}{near(str(scale), ('none', 'group', 'batch', 'domain'))}")
    rows = takes_part.any(0)
    if scale != "none":
        advantages = advantages / (_spread(rollouts, takes_part, rows, scaled_over(rollouts, scale)) + EPSILON)
    return torch.where(rollouts.mask.bool() & rows.unsqueeze(-1), advantages, 0.0)


def scaled_over(rollouts: Rollouts, scale: str) -> Tensor:
    """(B,): the rows that share a standard deviation have the same number."""
    if scale == "group":
        return rollouts.group
    if scale == "domain" and rollouts.domain is not None:
        return rollouts.domain
    return torch.zeros_like(rollouts.group)


def _spread(rollouts: Rollouts, takes_part: Tensor, rows: Tensor, over: Tensor) -> Tensor:
    """(B, 1): sample standard deviation of the totals of the rows that take part; 0 below two of them.

    In a total, a missing component counts as its mean over the group.
    """
    here = takes_part.unsqueeze(-1)
    kept = totals(rollouts)
    means = group_sums(kept, rollouts.group) / group_sums(here.to(kept.dtype), rollouts.group).clamp(min=1)
    total = torch.where(here, kept, means).sum(0, keepdim=True)
    return deviation(total, rows.unsqueeze(0), over).squeeze(0)


def compact(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``values`` (..., B, T) with the policy's tokens moved to the front, and what it takes to move them back.

    Returns the moved values (0 behind the last token), ``order`` (B, T) for ``scatter``, and lengths (B,). Recursions
    over time run on these: tool text between two tokens of the policy's is no step of its own.
    """
    order = torch.argsort(mask.bool().logical_not().to(torch.uint8), dim=-1, stable=True)
    moved = torch.where(mask.bool(), values, 0.0).gather(-1, order.expand_as(values))
    return moved, order, mask.bool().sum(-1)


def scatter(values: Tensor, order: Tensor) -> Tensor:
    """Undo ``compact`` on (B, T)."""
    return torch.zeros_like(values).scatter(-1, order, values)


def discounted(values: Tensor, discount: float) -> Tensor:
    """Sums to come, sum over s >= t of discount^(s-t) values_s, along the last dimension."""
    if discount == 1.0:
        return values.flip(-1).cumsum(-1).flip(-1)
    result = torch.zeros_like(values)
    running = torch.zeros_like(values[..., 0]) if values.shape[-1] else values
    for t in reversed(range(values.shape[-1])):
        running = values[..., t] + discount * running
        result[..., t] = running
    return result
