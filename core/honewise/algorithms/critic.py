"""With a critic: generalised advantage estimation, what the critic is fitted to, and the loss that fits it."""

from __future__ import annotations

import torch
from torch import Tensor

from .grouped import compact, complete, discounted, earned, scatter
from .masked import masked_mean
from .reinforce import Whitened, check_share, whiten_over
from .rollouts import Estimator, Rollouts

__all__ = ["GAE", "gae", "gae_returns", "value_clip_fraction", "value_loss"]


def gae(rollouts: Rollouts, *, gamma: float = 1.0, lam: float = 0.95, whitened: Whitened = "none") -> Tensor:
    """Exponentially weighted sums of a critic's surprises: PPO's advantages.

    With r_{i,t} the sum of all components at the t-th token of the policy's, a KL charge included, V its value, and
    V_{L+1} = 0::

        d_t = r_t + gamma V_{t+1} - V_t
        A_t = d_t + gamma lam A_{t+1}

    ``lam: 1`` gives the return less the value, unbiased for any critic; less trusts the critic more. Text that a tool
    put in is no step: the next value is that of the policy's next token. ``whitened: batch`` gives all tokens of the
    batch mean 0 and variance 1 (what PPO mostly does; the fixed point of a KL-regularised reward then moves),
    ``domain`` those of each domain.

    A completion that lacks a component which others have is left out, as in ``reinforce++``; ``complete`` says which.

    Returns (B, T); ``gae_returns`` has what the critic is fitted to. Papers: GAE (1506.02438), PPO (1707.06347).
    """
    check_share("gae", gamma=gamma, lam=lam)
    return whiten_over(_advantages(rollouts, gamma, lam), rollouts, complete(rollouts), whitened)


def gae_returns(rollouts: Rollouts, *, gamma: float = 1.0, lam: float = 0.95) -> Tensor:
    """What the critic should have said: the advantages before any whitening, plus the values: (B, T).

    0 outside the mask and in rows that ``gae`` leaves out; a value loss must leave those out, too.
    """
    check_share("gae", gamma=gamma, lam=lam)
    assert rollouts.values is not None
    counts = rollouts.mask.bool() & complete(rollouts).unsqueeze(-1)
    return torch.where(counts, _advantages(rollouts, gamma, lam) + rollouts.values.to(rollouts.rewards), 0.0)


def _advantages(rollouts: Rollouts, gamma: float, lam: float) -> Tensor:
    assert rollouts.values is not None
    rewards, order, _ = compact(earned(rollouts).sum(0), rollouts.mask)
    values, _, _ = compact(rollouts.values.to(rollouts.rewards), rollouts.mask)
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], -1)
    return scatter(discounted(rewards + gamma * following - values, gamma * lam), order)


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    *,
    clip: float | None = 0.2,
    count: Tensor | float | None = None,
) -> Tensor:
    """Half the squared error of a critic, a scalar; with ``clip`` the worse of it and that of the clipped value.

    ::

        L = 1/2 mean over tokens of max((V - ret)^2, (clip(V, V_old - clip, V_old + clip) - ret)^2)

    All are of one shape, (B, T) or with one more dimension for several values of each token; ``old_values`` are those
    that the advantages were computed with. Give ``mask`` without the rows that have no returns. ``count`` is the number
    of tokens of the whole batch where these are a part of it; the parts' losses then add up to that of the whole.

    Paper: PPO (1707.06347).
    """
    value, old, target = (torch.where(mask.bool(), each, 0.0) for each in (values, old_values, returns))
    error = (value - target) ** 2
    if clip is not None:
        near_old = old + (value - old).clamp(-clip, clip)
        error = torch.maximum(error, (near_old - target) ** 2)
    return 0.5 * (masked_mean(error, mask) if count is None else torch.where(mask.bool(), error, 0.0).sum() / count)


def value_clip_fraction(values: Tensor, old_values: Tensor, mask: Tensor, clip: float | None) -> Tensor:
    """Share of tokens whose value has moved further from its old one than ``clip``."""
    if clip is None:
        return torch.zeros((), device=values.device)
    return masked_mean(((values - old_values).abs() > clip).to(values.dtype), mask)


GAE = Estimator("gae", gae, needs=frozenset({"values"}), returns=gae_returns)
