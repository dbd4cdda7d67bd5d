"""Process supervision as in DeepSeekMath: the rewards of steps, normalised over all steps of the group."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError

from .grouped import EPSILON, Std, compact, discounted, earned, group_sums, present, scaled_over, scatter
from .rollouts import Estimator, Rollouts

__all__ = ["GRPO_PROCESS", "grpo_process", "step_ends"]


def grpo_process(
    rollouts: Rollouts,
    *,
    steps: Literal["sum", "mean"] = "sum",
    scale: Literal["none", "group", "batch"] = "group",
    std: Std = "sample",
    eps: float = EPSILON,
) -> Tensor:
    """Every step's reward against those of all steps of the group; a token gets what its step and later ones earned.

    With r_{k,i,j} the reward of component k at step j of completion i, and mean_k the mean over all steps of k in i's
    group::

        n_{i,j} = sum over k of (r_{k,i,j} - mean_k) / (std + eps)
        A_{i,t} = sum, or mean, over the steps j of i that end at t or later of n_{i,j}

    Steps are ``rollouts.steps`` and wherever something was earned; where nobody said, also the last token of each
    completion. The standard deviation, ``sample`` or ``population``, is that of the steps' rewards, summed over
    components, in the group or, with ``scale: batch``, in the batch; ``none`` divides by nothing. With one component
    this is DeepSeekMath's equation; with one step per completion, at its end, it is ``grpo``.

    ``steps: sum`` is the paper's; a completion can earn by cutting its work into more steps, each better than the
    mean, and ``mean`` takes that away. Both are biased (``dense-return`` is not): completions with more steps count
    for more in the mean, which depends on the completion itself.

    Returns (B, T). Raises ``UserError`` with a KL charge in the reward: a charge on every token would make every token
    a step. Paper: DeepSeekMath (2402.03300), section 4.1.3.
    """
    if rollouts.kl is not None:
        raise UserError("grpo-process: a KL charge on every token is no step; put the KL term into the loss")
    if eps < 0:
        raise UserError(f"grpo-process: eps {eps} is below 0")
    ends = step_ends(rollouts)
    ends = ends & (_sums(ends.any(-1), rollouts.group) >= 2).unsqueeze(-1)
    number = _sums(ends.sum(-1), rollouts.group)
    mean = group_sums(torch.where(ends, rollouts.rewards, 0.0).sum(-1), rollouts.group) / number.clamp(min=1)
    off = torch.where(ends, rollouts.rewards - mean.unsqueeze(-1), 0.0).sum(0)
    here = ends.any(0)
    if scale != "none":
        spread = _spread(off + mean.sum(0).unsqueeze(-1), here, scaled_over(rollouts, scale), std)
        off = off / (spread + eps).clamp(min=torch.finfo(off.dtype).tiny)
    values, order, _ = compact(torch.stack([off, here.to(off.dtype)]), rollouts.mask)
    to_come, count = discounted(values, 1.0)
    return scatter(to_come / count.clamp(min=1) if steps == "mean" else to_come, order)


def step_ends(rollouts: Rollouts) -> Tensor:
    """(K, B, T), bool: where steps of present components end, at tokens of the policy's."""
    own = rollouts.mask.bool()
    if rollouts.steps is not None:
        said = rollouts.steps.bool()
    else:
        said = own & (discounted(own.long(), 1.0) == 1)
    return (said & own & present(rollouts).unsqueeze(-1)) | (earned(rollouts) != 0)


def _spread(levels: Tensor, here: Tensor, over: Tensor, std: Std) -> Tensor:
    """(B, 1): standard deviation of ``levels`` (B, T) over the steps that are ``here``, of rows of equal ``over``."""
    count = _sums(here.sum(-1).unsqueeze(0), over)
    mean = group_sums(torch.where(here, levels, 0.0).sum(-1).unsqueeze(0), over) / count.clamp(min=1)
    squares = torch.where(here, (levels - mean.squeeze(0).unsqueeze(-1)) ** 2, 0.0).sum(-1)
    less = 1 if std == "sample" else 0
    return (group_sums(squares.unsqueeze(0), over) / (count - less).clamp(min=1)).sqrt().squeeze(0).unsqueeze(-1)


def _sums(counts: Tensor, group: Tensor) -> Tensor:
    return group_sums(counts.long(), group)


GRPO_PROCESS = Estimator("grpo-process", grpo_process)
