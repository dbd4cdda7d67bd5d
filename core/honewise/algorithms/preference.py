"""Losses on pairs of completions, one number a pair; the caller takes the mean.

A log-ratio is log pi(y|x) - log ref(y|x), summed over the tokens of y (or averaged, for length-normalised variants).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from honewise.errors import UserError, near

__all__ = [
    "DIVERGENCES",
    "Divergence",
    "bt_margin_target",
    "divergence_score",
    "dpo_loss",
    "nll_term",
    "pair_loss",
    "trl_divergence",
]

Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]
DIVERGENCES = ("reverse_kl", "forward_kl", "js", "alpha")


def pair_loss(gap: Tensor, *, target: Tensor | float | None = None, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of "the chosen one is better": -p log sigmoid(z) - (1 - p) log sigmoid(-z); the shape of ``gap``.

    z is ``gap``, in logits; p is ``target`` in [0, 1] (1 where left out), moved to p (1 - e) + (1 - p) e by
    ``label_smoothing`` e in [0, 0.5]: labels are taken to be wrong that often (cDPO). The minimum lies where
    sigmoid(z) = p and is finite for 0 < p < 1, unlike that of hard labels.

    Raises ``ValueError`` for a target outside [0, 1] or that is NaN.
    """
    if not 0.0 <= label_smoothing <= 0.5:
        raise UserError(f"label_smoothing must lie in [0, 0.5], not {label_smoothing}")
    p = torch.ones_like(gap) if target is None else torch.as_tensor(target, dtype=gap.dtype, device=gap.device)
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise ValueError("targets must be probabilities")
    p = p * (1 - label_smoothing) + (1 - p) * label_smoothing
    return -p * logsigmoid(gap) - (1 - p) * logsigmoid(-gap)


def bt_margin_target(chosen: Tensor, rejected: Tensor, gamma: float) -> Tensor:
    """MMPO's soft target: sigmoid(gamma (chosen - rejected)) of two scores; gamma in logits per unit of score.

    gamma 0 says that no pair differs, infinity is a hard label. One gamma needs scores on one scale: calibrate them for
    each domain first. Not to be confused with a ``margin``, which moves an unbounded optimum. Paper: 2410.03145.
    """
    if gamma < 0 or math.isnan(gamma):
        raise UserError(f"gamma must not be below 0, not {gamma}")
    gap = chosen - rejected
    if math.isinf(gamma):
        return torch.where(gap == 0, 0.5, (gap > 0).to(gap.dtype))
    return torch.sigmoid(gamma * gap)


def dpo_loss(
    chosen_log_ratio: Tensor,
    rejected_log_ratio: Tensor,
    *,
    beta: float = 0.1,
    target: Tensor | float | None = None,
    label_smoothing: float = 0.0,
    margin: Tensor | float = 0.0,
    divergence: Divergence = "reverse_kl",
    alpha: float = 0.5,
    clamp: float | None = None,
) -> Tensor:
    """DPO's sigmoid loss, (N,), with soft targets, a margin and f-divergences.

    ::

        z = beta (g(u_chosen) - g(u_rejected)) - margin        L = ``pair_loss``(z, target, label_smoothing)

    ``target``: probability that the chosen one is better, from a judge or ``bt_margin_target`` (MMPO). g is
    ``divergence_score``. Papers: DPO (2305.18290), f-DPO (2309.16240), MMPO (2410.03145).
    """
    if beta <= 0:
        raise UserError(f"beta must be above 0, not {beta}")
    won = divergence_score(chosen_log_ratio, divergence, alpha=alpha, clamp=clamp)
    lost = divergence_score(rejected_log_ratio, divergence, alpha=alpha, clamp=clamp)
    return pair_loss(beta * (won - lost) - margin, target=target, label_smoothing=label_smoothing)


def nll_term(chosen_logps: Tensor, tokens: Tensor) -> Tensor:
    """(N,): mean negative log-likelihood of the chosen completions' tokens, to be weighed and added to a pair's loss.

    ``chosen_logps`` are sums over ``tokens`` (N,). It keeps the chosen completion likely, where a pair's loss asks only
    that the rejected one be less so. Paper: RPO (2404.19733).
    """
    return -chosen_logps / tokens.clamp(min=1)


def divergence_score(
    log_ratio: Tensor, divergence: Divergence = "reverse_kl", *, alpha: float = 0.5, clamp: float | None = None
) -> Tensor:
    """g(u) = f'(u) up to a constant, which cancels in a pair; u = pi/ref is given as ``log_ratio``.

    ==============  ==================  ===============================================================
    ``reverse_kl``  log u               DPO
    ``forward_kl``  1 - 1/u             keeps all that the reference does; explodes where u is small
    ``js``          log(2u / (1 + u))   saturates at log 2: no gradient at large log-ratios
    ``alpha``       (1 - u^-alpha)/alpha  from ``reverse_kl`` (alpha 0) to ``forward_kl`` (alpha 1)
    ==============  ==================  ===============================================================

    ``alpha`` is in the paper's convention, in [0, 1]; ``trl_divergence`` translates. ``clamp`` limits the log-ratio to
    [-clamp, clamp], without gradient beyond; sums over long completions need it, or length normalisation.
    """
    if divergence not in DIVERGENCES:
        raise UserError(f"divergence {divergence!r}{near(str(divergence), DIVERGENCES)}")
    if not 0.0 <= alpha <= 1.0:
        raise UserError(f"alpha must lie in [0, 1], not {alpha}; TRL's coefficient is 1 - alpha")
    if clamp is not None:
        log_ratio = log_ratio.clamp(-clamp, clamp)
    if divergence == "js":
        return math.log(2) + logsigmoid(log_ratio)
    power = {"reverse_kl": 0.0, "forward_kl": 1.0}.get(divergence, alpha)
    return log_ratio if power == 0 else -torch.expm1(-power * log_ratio) / power


def trl_divergence(divergence: Divergence, *, alpha: float = 0.5) -> dict[str, Any]:
    """Arguments of TRL's ``DPOConfig`` for a divergence: its ``f_alpha_divergence_coef`` is 1 - the paper's alpha."""
    if divergence not in DIVERGENCES:
        raise UserError(f"divergence {divergence!r}{near(str(divergence), DIVERGENCES)}")
    if divergence != "alpha":
        return {"f_divergence_type": "js_divergence" if divergence == "js" else divergence}
    if not 0.0 <= alpha <= 1.0:
        raise UserError(f"alpha must lie in [0, 1], not {alpha}")
    return {"f_divergence_type": "alpha_divergence", "f_alpha_divergence_coef": 1.0 - alpha}
