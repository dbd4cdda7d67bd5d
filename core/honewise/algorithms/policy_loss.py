"""Policy losses on importance ratios: clipped as in PPO, per token or per sequence, aggregated in three ways.

Gradients never pass through ``old_logps`` or advantages. What stands outside the mask, even if infinite, changes
neither a loss nor a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError, near

from .masked import Aggregation, aggregate, masked_mean

__all__ = [
    "LOSSES",
    "RATIO_LEVELS",
    "PolicyLoss",
    "RatioLevel",
    "approximate_kl",
    "check_policy_loss",
    "clip_fractions",
    "clipped_loss",
    "importance_ratio",
    "policy_loss",
    "refusal",
]

RatioLevel = Literal["token", "sequence", "sequence_token"]
RATIO_LEVELS = ("token", "sequence", "sequence_token")

CLIPPED = ("ppo", "grpo", "dr_grpo", "dapo", "bnpo")
"""PPO's clipped loss, averaged in one way or another."""
_THROUGH_RATIO = (*CLIPPED, "sapo", "luspo")
"""Their gradient passes through the ratio, so that one ratio for a completion shares it out evenly."""
_WEIGHTING = ("cispo", "vespo")
"""Here the ratio is a weight without a gradient, and each token's log-probability has its own."""
LOSSES = (*_THROUGH_RATIO, *_WEIGHTING)
"""``ppo`` is ``policy_loss``; the others are TRL's ``loss_type``. ``sequence_token`` is not TRL's."""


def importance_ratio(logps: Tensor, old_logps: Tensor, mask: Tensor, level: RatioLevel = "token") -> Tensor:
    """(B, T) ratios of the policy to the one that sampled; 1 outside the mask.

    With d = logp - old_logp and n the tokens of a completion::

        token            exp(d_t)
        sequence         s = exp(1/n sum over t of d_t), the same for all tokens (GSPO, 2507.18071)
        sequence_token   sg(s) exp(logp_t - sg(logp_t)): the value of s, and the gradient of token t (GSPO-token)

    s is the geometric mean and does not grow with the length, as the plain product would. Under ``sequence`` every
    token pulls on all others, which leaves of (B, T) advantages only their mean; ``sequence_token`` keeps each where it
    is.
    """
    if level not in RATIO_LEVELS:
        raise UserError(f"importance ratio {level!r}{near(str(level), RATIO_LEVELS)}")
    own = mask.bool()
    off = torch.where(own, logps - old_logps.detach(), 0.0)
    if level == "token":
        return off.exp()
    sequence = (off.sum(-1, keepdim=True) / own.sum(-1, keepdim=True).clamp(min=1)).exp()
    if level == "sequence":
        return torch.where(own, sequence, 1.0)
    kept = torch.where(own, logps, 0.0)
    return torch.where(own, sequence.detach() * (kept - kept.detach()).exp(), 1.0)


def clipped_loss(
    ratio: Tensor, advantages: Tensor, *, low: float = 0.2, high: float | None = None, dual_clip: float | None = None
) -> Tensor:
    """Per-token loss of PPO, to be minimised: -min(rho A, clip(rho, 1 - low, 1 + high) A).

    ``high`` (as ``low`` where left out) above ``low`` is DAPO's clip-higher (2503.14476). ``dual_clip`` c > 1 bounds
    the loss of a negative advantage whatever the ratio: -max(min(...), c A) (1912.09729).
    """
    above = low if high is None else high
    if not 0 <= low < 1 or above < 0:
        raise UserError(f"clip: low must lie in [0, 1) and high must not be below 0; given {low} and {above}")
    if dual_clip is not None and dual_clip <= 1:
        raise UserError(f"clip: dual_clip must be above 1, not {dual_clip}")
    objective = torch.minimum(ratio * advantages, ratio.clamp(1 - low, 1 + above) * advantages)
    if dual_clip is not None:
        objective = torch.where(advantages < 0, torch.maximum(objective, dual_clip * advantages), objective)
    return -objective


@dataclass(frozen=True, slots=True)
class PolicyLoss:
    """A loss to go backward from, and what the log wants to know."""

    loss: Tensor
    """Scalar."""
    numbers: Mapping[str, Tensor]
    """``clip_ratio/low``, ``clip_ratio/high``: shares of tokens; ``ratio/mean``; ``approx_kl`` in nats a token."""


def policy_loss(
    logps: Tensor,
    old_logps: Tensor,
    advantages: Tensor,
    mask: Tensor,
    *,
    low: float = 0.2,
    high: float | None = None,
    dual_clip: float | None = None,
    level: RatioLevel = "token",
    aggregation: Aggregation = "constant",
    length: int | None = None,
    count: Tensor | int | None = None,
) -> PolicyLoss:
    """PPO's clipped loss with all its parts. ``logps``, ``old_logps`` and ``mask`` are (B, T).

    ``advantages`` are (B, T), or (B,) for one a completion, and must be so with ``level: sequence``. ``aggregation``,
    ``length`` and ``count`` are those of ``aggregate``.
    """
    if level == "sequence" and advantages.dim() != 1:
        raise ValueError("level 'sequence' takes advantages of shape (B,): one ratio erases where credit was earned")
    spread = (advantages.unsqueeze(-1) if advantages.dim() == 1 else advantages).detach()
    ratio = importance_ratio(logps, old_logps, mask, level)
    losses = clipped_loss(ratio, spread, low=low, high=high, dual_clip=dual_clip)
    below, above = clip_fractions(ratio, spread, mask, low=low, high=high)
    numbers = {
        "clip_ratio/low": below,
        "clip_ratio/high": above,
        "ratio/mean": masked_mean(ratio.detach(), mask),
        "approx_kl": approximate_kl(logps.detach(), old_logps, mask),
    }
    return PolicyLoss(aggregate(losses, mask, aggregation, length=length, count=count), numbers)


def clip_fractions(
    ratio: Tensor, advantages: Tensor, mask: Tensor, *, low: float = 0.2, high: float | None = None
) -> tuple[Tensor, Tensor]:
    """Shares of tokens that the clip takes out of the gradient: from below (A < 0) and from above (A > 0)."""
    ratio, above = ratio.detach(), low if high is None else high
    under = (ratio < 1 - low) & (advantages < 0)
    over = (ratio > 1 + above) & (advantages > 0)
    return masked_mean(under.to(ratio.dtype), mask), masked_mean(over.to(ratio.dtype), mask)


def approximate_kl(logps: Tensor, old_logps: Tensor, mask: Tensor) -> Tensor:
    """KL(old || new) in nats a token, from tokens that the old policy sampled: mean of rho - 1 - log rho (k3)."""
    off = torch.where(mask.bool(), logps - old_logps, 0.0)
    return masked_mean(torch.expm1(off) - off, mask)


def refusal(loss: str, level: str, *, dense: bool) -> str | None:
    """Why a loss, a level of the ratio and advantages do not go together; None where they do.

    ``dense``: advantages differ between the tokens of one completion.
    """
    if loss not in LOSSES:
        raise UserError(f"loss {loss!r}{near(str(loss), LOSSES)}")
    if level not in RATIO_LEVELS:
        raise UserError(f"importance ratio {level!r}{near(str(level), RATIO_LEVELS)}")
    if level == "sequence_token" and loss not in CLIPPED:
        return f"{loss!r} has ratios for a token or a sequence only; 'sequence_token' goes with {', '.join(CLIPPED)}"
    if loss == "luspo" and level != "sequence":
        return "'luspo' weighs whole completions by their length; it needs the ratio of a sequence"
    if loss == "vespo" and level != "token":
        return "'vespo' makes its own weight of the whole completion and takes no notice of 'sequence'; leave 'token'"
    if level == "sequence" and dense and loss in _THROUGH_RATIO:
        return (
            "one ratio for all tokens of a completion leaves of their advantages only the mean, which erases where"
            " credit was earned; use 'token', or 'sequence_token' with a clipped loss"
        )
    return None


def check_policy_loss(loss: str, level: str, *, dense: bool) -> None:
    """Raise ``UserError`` with the reason where ``refusal`` has one."""
    reason = refusal(loss, level, dense=dense)
    if reason is not None:
        raise UserError(f"loss {loss!r} with a ratio per {level!r}: {reason}")
