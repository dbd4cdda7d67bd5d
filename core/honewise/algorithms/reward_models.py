"""Losses of reward and cost models, one number a pair, and heads that score segments.

Signs: a reward is better the higher, a cost is worse the higher, and 0 is where safe turns into unsafe. ``cost_loss``
takes +1 for unsafe; the published safety signs are the other way round (+1 safe), so make them with ``cost_sign``.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .preference import pair_loss

__all__ = [
    "at_segment_ends",
    "bradley_terry_loss",
    "centre_penalty",
    "cost_loss",
    "cost_sign",
    "segment_ends",
]


def bradley_terry_loss(
    chosen: Tensor,
    rejected: Tensor,
    *,
    margin: Tensor | float = 0.0,
    target: Tensor | float | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log sigmoid(chosen - rejected - margin), with soft targets as in ``pair_loss``; the shape of the rewards.

    ``margin`` asks for at least that gap and has no finite optimum; a ``target`` p has it at log(p / (1 - p)).
    """
    return pair_loss(chosen - rejected - margin, target=target, label_smoothing=label_smoothing)


def cost_loss(unsafer: Tensor, safer: Tensor, unsafer_sign: Tensor, safer_sign: Tensor) -> Tensor:
    """Safe RLHF's loss of a cost model: which of two is less safe, and whether each is safe at all.

    ::

        -log sigmoid(C_unsafer - C_safer) - log sigmoid(s_unsafer C_unsafer) - log sigmoid(s_safer C_safer)

    s is +1 for unsafe and -1 for safe (``cost_sign``). The last two terms fix the zero point, without which a threshold
    on the cost would mean nothing. Raises ``ValueError`` for other signs. Paper: 2310.12773.
    """
    for sign in (unsafer_sign, safer_sign):
        if not bool((sign.abs() == 1).all()):
            raise ValueError("signs must be +1 (unsafe) or -1 (safe)")
    anchored = logsigmoid(unsafer_sign * unsafer) + logsigmoid(safer_sign * safer)
    return -logsigmoid(unsafer - safer) - anchored


def cost_sign(safe: Tensor) -> Tensor:
    """+1 where a completion is unsafe, -1 where it is ``safe`` (bool), as ``cost_loss`` wants them."""
    return 1.0 - 2.0 * safe.bool().to(torch.get_default_dtype())


def centre_penalty(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(chosen + rejected)^2, to be weighed and added: a pair's loss leaves the level of rewards free (2312.09244)."""
    return (chosen + rejected) ** 2


def segment_ends(entropies: Tensor, mask: Tensor, threshold: float) -> Tensor:
    """(B, T), bool: segments end at the policy's tokens with an entropy above ``threshold`` (nats), and at the last.

    ``entropies`` (B, T) are a fixed reference policy's. Paper: segment rewards (2501.02790).
    """
    own = mask.bool()
    last = own & (own.long().flip(-1).cumsum(-1).flip(-1) == 1)
    return own & ((entropies > threshold) | last)


def at_segment_ends(values: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
    """A head's values (B, T) at the ends of segments (B, T, bool), moved to the front: (B, S), and which are there.

    S is the largest number of segments of a row; what is not there is 0. Sum or average over the second for the pair's
    loss of segment rewards.
    """
    ends = ends.bool()
    width = int(ends.sum(-1).max()) if ends.numel() else 0
    order = torch.argsort(ends.logical_not().to(torch.uint8), dim=-1, stable=True)[:, :width]
    there = ends.gather(-1, order)
    return torch.where(there, values.gather(-1, order), 0.0), there
