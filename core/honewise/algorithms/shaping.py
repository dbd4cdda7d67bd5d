"""Changes to what a learner is paid: a further component, a limit of the totals, a common scale."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from honewise.errors import UserError

from .grouped import complete, earned, present, totals
from .masked import masked_var
from .rollouts import Rollouts

__all__ = ["at_last_token", "charge_missing_end", "limit_totals", "scale_rewards", "with_component"]


def with_component(rollouts: Rollouts, rewards: Tensor, rows: Tensor, *, greedy: Tensor | None = None) -> Rollouts:
    """The same rollouts with one more component: ``rewards`` (B, T), present in ``rows`` (B,), of weight 1.

    ``greedy`` (B,) is the greedy completions' total of it; left out, they have none.
    """
    changed = {
        "rewards": torch.cat([rollouts.rewards, rewards.to(rollouts.rewards).unsqueeze(0)]),
        "scored": torch.cat([rollouts.scored.bool(), rows.bool().unsqueeze(0)]),
    }
    if rollouts.greedy is not None:
        theirs = torch.full_like(rollouts.greedy[0], torch.nan) if greedy is None else greedy.to(rollouts.greedy)
        changed["greedy"] = torch.cat([rollouts.greedy, theirs.unsqueeze(0)])
    if rollouts.weights is not None:
        changed["weights"] = torch.cat([rollouts.weights, torch.ones_like(rollouts.weights[:1])])
    if rollouts.steps is not None:
        changed["steps"] = torch.cat([rollouts.steps, torch.zeros_like(rollouts.steps[:1])])
    return replace(rollouts, **changed)


def at_last_token(values: Tensor, mask: Tensor) -> Tensor:
    """(B,) values on the policy's last token of each row of ``mask`` (B, T), 0 elsewhere."""
    own = mask.bool()
    last = own & (own.long().flip(-1).cumsum(-1).flip(-1) == 1)
    return torch.where(last, values.unsqueeze(-1), 0.0)


def limit_totals(rollouts: Rollouts, limit: float) -> Rollouts:
    """Each row's total over its components limited to [-limit, limit]; the difference is a component at the last token.

    Spans keep what they earned. The greedy completions' totals are limited alike.
    """
    if limit <= 0:
        raise UserError(f"shaping: clip must be above 0, not {limit}")

    def cut(total: Tensor) -> Tensor:
        return total.clamp(-limit, limit) - total

    greedy = None
    if rollouts.greedy is not None:
        known = rollouts.greedy.isnan().logical_not().any(0)
        greedy = torch.where(known, cut(rollouts.greedy.nansum(0)), torch.nan)
    rows = present(rollouts).any(0)
    taken = torch.where(rows, cut(totals(rollouts).sum(0).squeeze(-1)), 0.0)
    return with_component(rollouts, at_last_token(taken, rollouts.mask), rows, greedy=greedy)


def charge_missing_end(
    rollouts: Rollouts, truncated: Tensor, penalty: float, *, greedy: Tensor | None = None
) -> Rollouts:
    """``penalty`` taken at the last token from rows that are ``truncated`` (B,), bool.

    ``greedy`` (B,) says the same of the greedy completions.
    """
    if penalty < 0:
        raise UserError(f"shaping: missing_end must not be below 0, but {penalty}")
    rows = present(rollouts).any(0)
    lost = torch.where(rows & truncated.bool(), -penalty, 0.0)
    theirs = None if greedy is None else torch.where(greedy.bool(), -penalty, 0.0)
    return with_component(rollouts, at_last_token(lost, rollouts.mask), rows, greedy=theirs)


def scale_rewards(rollouts: Rollouts, *, eps: float = 1e-8) -> Rollouts:
    """All rewards divided by the standard deviation of the tokens' sums over the batch.

    What was 0 stays 0. To subtract the mean as well and put it back afterwards, as "whitening without shift" is often
    done, pays every token a constant, and so long completions more than short ones.
    """
    sums = earned(rollouts).sum(0)
    spread = (masked_var(sums, rollouts.mask.bool() & complete(rollouts).unsqueeze(-1)) + eps).sqrt()
    return replace(rollouts, rewards=rollouts.rewards / spread)
