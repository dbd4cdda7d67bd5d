"""Rewards under constraints: Lagrange multipliers, and weights that make groups fare alike."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from honewise.errors import UserError, near

from .grouped import group_sums
from .masked import whiten

__all__ = ["Constraint", "Multipliers", "invariance_weights", "lagrangian"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """Mean cost of an episode at most ``threshold``, held by a multiplier lambda of its own."""

    threshold: float = 0.0
    """In the cost's unit."""
    initial: float = 1.0
    """lambda at the start, above 0: there is no way up from 0 in log space."""
    rate: float = 0.1
    """Step size in log space."""
    maximum: float = 100.0
    """lambda never passes it; at 100 the costs are all but the whole objective."""
    minimum: float = 1e-6
    """lambda never falls below it, from where it could hardly rise again."""
    delay: int = 0
    """Updates for which lambda stays where it is."""
    window: int = 128
    """Episodes over which the cost is averaged."""

    def __post_init__(self) -> None:
        if not 0 < self.minimum <= self.initial <= self.maximum < math.inf:
            raise UserError(
                "constraint: 0 < minimum <= initial <= maximum must hold;"
                f" given {self.minimum}, {self.initial} and {self.maximum}"
            )
        if self.rate < 0 or self.delay < 0 or self.window < 1:
            raise UserError(
                "constraint: rate and delay must not be below 0, nor window below 1;"
                f" given {self.rate}, {self.delay} and {self.window}"
            )


class Multipliers:
    """One Lagrange multiplier for each constraint, moved by gradient ascent on its logarithm.

    With J the mean cost of the last ``window`` episodes and d the threshold::

        log lambda <- clip(log lambda + rate lambda (J - d), log minimum, log maximum)

    as Safe RLHF does (2310.12773). Plain numbers: give every process the costs of all, and all hold the same.
    """

    def __init__(self, constraints: Mapping[str, Constraint]) -> None:
        self.constraints = dict(constraints)
        self._logs = {name: math.log(one.initial) for name, one in self.constraints.items()}
        self._costs: dict[str, deque[float]] = {
            name: deque(maxlen=one.window) for name, one in self.constraints.items()
        }
        self._updates = 0

    @property
    def values(self) -> dict[str, float]:
        """lambda of each constraint."""
        return {name: math.exp(value) for name, value in self._logs.items()}

    def update(self, costs: Mapping[str, Sequence[float]]) -> dict[str, float]:
        """Take in the episode costs of one step, and return the new values.

        Costs that could not be scored are left out by the caller; a constraint without any this time stays as it is.
        Raises ``UserError`` for an unknown constraint and ``ValueError`` for a cost that is no number.
        """
        for name, episodes in costs.items():
            if name not in self.constraints:
                raise UserError(f"no constraint {name!r}{near(name, self.constraints)}")
            if not all(math.isfinite(cost) for cost in episodes):
                raise ValueError(f"costs of {name!r} must be numbers, not {list(episodes)}")
        self._updates += 1
        for name, episodes in costs.items():
            constraint, window = self.constraints[name], self._costs[name]
            window.extend(float(cost) for cost in episodes)
            if not len(episodes) or self._updates <= constraint.delay:
                continue
            over = math.fsum(window) / len(window) - constraint.threshold
            moved = self._logs[name] + constraint.rate * math.exp(self._logs[name]) * over
            self._logs[name] = min(max(moved, math.log(constraint.minimum)), math.log(constraint.maximum))
        return self.values

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        costs = {name: list(window) for name, window in self._costs.items()}
        return {"updates": self._updates, "logs": dict(self._logs), "costs": costs}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state()``. Raises ``UserError`` where the constraints are others."""
        if set(state["logs"]) != set(self.constraints):
            raise UserError(f"saved with the constraints {sorted(state['logs'])}, now {sorted(self.constraints)}")
        self._updates = int(state["updates"])
        for name, constraint in self.constraints.items():
            self._logs[name] = float(state["logs"][name])
            self._costs[name] = deque(map(float, state["costs"][name]), maxlen=constraint.window)


def lagrangian(
    reward: Tensor,
    costs: Mapping[str, Tensor],
    multipliers: Mapping[str, float],
    mask: Tensor,
    *,
    normalised: bool = True,
) -> Tensor:
    """(B, T) advantages of reward and costs in one: (A_R - sum over j of lambda_j A_Cj) / (1 + sum over j of lambda_j).

    ``reward`` and each of ``costs`` are (B, T) advantages of their own stream of rewards (``Rollouts.select``). With
    ``normalised`` each is whitened by itself over ``mask`` first, without which lambda would have a unit. A KL charge
    -b kl in the reward stream and +b kl in every cost stream (unnormalised) comes out as -b kl, whatever the
    multipliers. Paper: Safe RLHF (2310.12773).
    """
    if set(costs) != set(multipliers):
        raise ValueError(f"costs {sorted(costs)} and multipliers {sorted(multipliers)} must have the same names")
    streams = {name: whiten(value, mask) if normalised else value for name, value in costs.items()}
    combined = whiten(reward, mask) if normalised else reward
    for name, cost in streams.items():
        combined = combined - multipliers[name] * cost
    return torch.where(mask.bool(), combined / (1 + math.fsum(multipliers.values())), 0.0)


def invariance_weights(returns: Tensor, group: Tensor, coefficient: float, *, known: Tensor | None = None) -> Tensor:
    """(B,) factors on the rows' policy gradient that punish groups which fare differently.

    With J_g the mean of ``returns`` (B,) over the rows of ``group`` (B,) g, p_g its share of the rows and J their
    mean, the objective is J - coefficient * sum over g of p_g (J_g - J)^2, and its gradient weighs a row of g by::

        1 - 2 coefficient (J_g - J)

    Harder groups count for more; with coefficient 0 or equal returns all count 1. Times p_g the factors are the weights
    of the groups' returns. Negative where a group is ahead by more than 1 / (2 coefficient): it would be held back.
    Rows that are not ``known`` (B,) get 0. The groups are the domains or a column of the data; the paper learns them.

    Paper: group-invariant learning (2310.11971).
    """
    counted = torch.ones_like(group, dtype=torch.bool) if known is None else known.bool()
    kept = torch.where(counted, returns, 0.0)
    one = counted.to(kept.dtype)
    sums, counts = group_sums(torch.stack([kept, one]), group)
    overall = kept.sum() / one.sum().clamp(min=1)
    ahead = sums / counts.clamp(min=1) - overall
    return torch.where(counted, 1 - 2 * coefficient * ahead, 0.0)
