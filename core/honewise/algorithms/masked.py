"""Statistics over masked tokens: means, whitening, aggregation of a loss. Nothing outside the mask ever counts."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError, near

from .grouped import group_sums

__all__ = ["AGGREGATIONS", "Aggregation", "aggregate", "explained_variance", "masked_mean", "masked_var", "whiten"]

Aggregation = Literal["seq-mean", "token-mean", "constant"]
AGGREGATIONS = ("seq-mean", "token-mean", "constant")


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of ``values`` where ``mask`` (same shape) holds, a scalar; 0 where it never does."""
    mask = mask.bool()
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def masked_var(values: Tensor, mask: Tensor) -> Tensor:
    """Population variance of ``values`` where ``mask`` holds, a scalar."""
    return masked_mean((values - masked_mean(values, mask)) ** 2, mask)


def whiten(
    values: Tensor, mask: Tensor, *, shift: bool = True, eps: float = 1e-8, over: Tensor | None = None
) -> Tensor:
    """(B, T) ``values`` to mean 0 and variance 1 over the masked tokens: (x - mean) / sqrt(var + eps), 0 elsewhere.

    Give it the batch of a whole step, over all processes: whitened by pieces, each piece has a yardstick of its own.
    ``shift=False`` puts the mean back, so that only the spread changes. ``over`` (B,) whitens rows of equal number
    among themselves, such as those of one domain.
    """
    mask = mask.bool()
    rows = torch.zeros(mask.shape[0], dtype=torch.long, device=mask.device) if over is None else over
    kept = torch.where(mask, values, 0.0)
    count = group_sums(mask.sum(-1).to(kept).unsqueeze(0), rows).squeeze(0).clamp(min=1).unsqueeze(-1)
    mean = group_sums(kept.sum(-1).unsqueeze(0), rows).squeeze(0).unsqueeze(-1) / count
    off = torch.where(mask, kept - mean, 0.0)
    var = group_sums((off**2).sum(-1).unsqueeze(0), rows).squeeze(0).unsqueeze(-1) / count
    white = off * torch.rsqrt(var + eps)
    return white if shift else torch.where(mask, white + mean, 0.0)


def aggregate(
    values: Tensor, mask: Tensor, how: Aggregation, *, length: int | None = None, count: Tensor | int | None = None
) -> Tensor:
    """(B, T) token losses to one number.

    ``seq-mean``: mean over rows of the mean over a row's tokens (GRPO): a token of a long completion counts less.
    ``token-mean``: mean over all tokens (DAPO): rows count by their length.
    ``constant``: sum over tokens / (rows x ``length``), the longest completion allowed (Dr. GRPO): the only one under
    which the gradient of an unbiased advantage stays unbiased.

    Rows without tokens do not count. ``count`` is the number of rows (``token-mean``: of tokens) of the whole batch
    where ``values`` are a part of it; the parts' results then add up to that of the whole.
    """
    if how not in AGGREGATIONS:
        raise UserError(f"aggregation {how!r}{near(str(how), AGGREGATIONS)}")
    mask = mask.bool()
    kept, tokens = torch.where(mask, values, 0.0), mask.sum(-1)
    if how == "token-mean":
        return kept.sum() / _at_least_one(tokens.sum() if count is None else count)
    rows = _at_least_one((tokens > 0).sum() if count is None else count)
    if how == "seq-mean":
        return (kept.sum(-1) / tokens.clamp(min=1)).sum() / rows
    if length is None or length < 1:
        raise ValueError(f"aggregation 'constant' needs the longest completion's length, not {length}")
    return kept.sum() / (rows * length)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """Share of the returns' variance that a critic's values (B, T) explain: 1 - var(returns - values) / var(returns).

    1 is perfect, 0 what a constant would do, below 0 worse than that; 0 where the returns do not vary.
    """
    total = masked_var(returns, mask)
    left = masked_var(returns - values, mask)
    return torch.where(total > 0, 1 - left / total.clamp(min=torch.finfo(total.dtype).tiny), 0.0)


def _at_least_one(count: Tensor | int) -> Tensor | int:
    return count.clamp(min=1) if isinstance(count, Tensor) else max(count, 1)
