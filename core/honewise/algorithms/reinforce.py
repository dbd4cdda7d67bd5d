"""REINFORCE for completions: returns against a greedy completion, or whitened over the whole batch."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError

from .grouped import centre, compact, complete, discounted, earned, present, scaled_over, scatter, totals
from .masked import whiten
from .rollouts import Estimator, Rollouts

__all__ = [
    "REINFORCE_PP",
    "REINFORCE_PP_BASELINE",
    "REMAX",
    "Whitened",
    "check_share",
    "reinforce_pp",
    "reinforce_pp_baseline",
    "remax",
    "whiten_over",
]

Whitened = Literal["none", "batch", "domain"]


def remax(
    rollouts: Rollouts,
    *,
    gamma: float = 1.0,
    clip: float | None = None,
    kl_credit: Literal["one_step", "cumulative"] = "one_step",
) -> Tensor:
    """Each completion's total against that of the greedy completion of the same prompt.

    With x_ki the total of component k, g_ki the greedy completion's, L_i the number of i's tokens and c_{i,t} the KL
    charge on token t, where there is one::

        A_{i,t} = gamma^(L_i - t) clip(sum over k of (x_ki - g_ki), -clip, clip) + c_{i,t}                  one_step
        A_{i,t} = ...                                              + sum over s >= t of gamma^(s-t) c_{i,s}  cumulative

    A component that the completion or the greedy one lacks adds nothing. ``kl_credit: one_step`` is what the authors'
    code does; a token then answers for its own KL and not for what it leads to, so ``cumulative`` alone gives the
    gradient of the sequence's KL. The greedy baseline leaves the gradient unbiased (with ``clip: null``), and may raise
    its variance.

    Returns (B, T). Paper: ReMax (2310.10505); its code clips at 5.
    """
    check_share("remax", gamma=gamma)
    if clip is not None and clip <= 0:
        raise UserError(f"remax: clip must be above 0, not {clip}")
    assert rollouts.greedy is not None
    compared = present(rollouts) & ~torch.isnan(rollouts.greedy)
    if rollouts.kl is not None:
        compared[rollouts.kl] = False
    greedy = torch.where(compared, rollouts.greedy.to(rollouts.rewards), 0.0)
    ahead = torch.where(compared, totals(rollouts).squeeze(-1) - greedy, 0.0).sum(0)
    if clip is not None:
        ahead = ahead.clamp(-clip, clip)
    charge = earned(rollouts)[rollouts.kl] if rollouts.kl is not None else torch.zeros_like(rollouts.rewards[0])
    charges, order, lengths = compact(charge, rollouts.mask)
    if kl_credit == "cumulative":
        charges = discounted(charges, gamma)
    left = (lengths.unsqueeze(-1) - 1 - torch.arange(order.shape[-1], device=order.device)).clamp(min=0)
    advantages = scatter(ahead.unsqueeze(-1) * ahead.new_tensor(gamma).pow(left) + charges, order)
    return torch.where(rollouts.mask.bool() & compared.any(0).unsqueeze(-1), advantages, 0.0)


def reinforce_pp(rollouts: Rollouts, *, gamma: float = 1.0, whitened: Whitened = "batch") -> Tensor:
    """Returns, whitened over all tokens of the batch: REINFORCE++.

    With r_{i,t} the sum of all components at a token, a KL charge included::

        R_{i,t} = sum over s >= t of gamma^(s-t) r_{i,s}
        A_{i,t} = (R_{i,t} - mean(R)) / sqrt(var(R) + 1e-8)        over all tokens of the batch

    No group is needed: one completion for each prompt will do. ``whitened: domain`` takes mean and variance over the
    tokens of the row's domain, ``none`` leaves R. A completion that lacks a component which others have is left out:
    with no group to compare it with, what is missing would read as a reward of 0.

    Biased, since the mean and the variance depend on the token itself, by about 1 / tokens. Returns (B, T). Paper:
    REINFORCE++ (2501.03262).
    """
    check_share("reinforce++", gamma=gamma)
    rows = complete(rollouts)
    rewards, order, _ = compact(earned(rollouts).sum(0), rollouts.mask)
    returns = scatter(discounted(rewards, gamma), order)
    return whiten_over(returns, rollouts, rows, whitened)


def reinforce_pp_baseline(rollouts: Rollouts, *, whitened: Whitened = "batch") -> Tensor:
    """Totals against the mean of their group, whitened over all tokens of the batch: REINFORCE++-baseline.

    With the group-centred totals of ``dr-grpo``::

        c_i = sum over k of (x_ki - mean over the group of x_k)
        A_{i,t} = (c_i - mean(c)) / sqrt(var(c) + 1e-8)            over all tokens of the batch

    The paper puts the KL term into the loss here (k2). A component that is missing adds nothing. ``whitened`` is that
    of ``reinforce++``; ``none`` gives ``dr-grpo``.

    Returns (B, T). Paper: REINFORCE++ (2501.03262).
    """
    takes_part = present(rollouts)
    centred = centre(totals(rollouts), takes_part, rollouts.group, "group_mean").sum(0).expand(rollouts.mask.shape)
    return whiten_over(centred, rollouts, takes_part.any(0), whitened)


def whiten_over(values: Tensor, rollouts: Rollouts, rows: Tensor, whitened: str) -> Tensor:
    """``values`` (B, T) at the policy's tokens of ``rows`` (B,), whitened over the batch, by domain, or not."""
    mask = rollouts.mask.bool() & rows.unsqueeze(-1)
    if whitened == "none":
        return torch.where(mask, values, 0.0)
    return whiten(values, mask, over=scaled_over(rollouts, whitened))


def check_share(name: str, **shares: float) -> None:
    """Raise ``UserError`` unless each of ``shares`` lies in [0, 1]."""
    for option, value in shares.items():
        if not 0.0 <= value <= 1.0:
            raise UserError(f"{name}: {option} must lie in [0, 1], not {value}")


REMAX = Estimator("remax", remax, needs=frozenset({"greedy"}))
REINFORCE_PP = Estimator("reinforce++", reinforce_pp)
REINFORCE_PP_BASELINE = Estimator("reinforce++-baseline", reinforce_pp_baseline, dense=False)
