"""DAPO's dynamic sampling: which prompts are worth a step, and how many more to try (2503.14476)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from honewise.errors import UserError

from .grouped import group_sums

__all__ = ["Kept", "Refill", "informative", "refill"]


@dataclass(frozen=True, slots=True)
class Kept:
    """The decision on one batch of groups."""

    rows: Tensor
    """(B,), bool: completions of the groups that are kept."""
    kept: int
    """Groups that are kept; the other numbers count those that are not."""
    solved: int
    """All known completions are correct, or more than allowed."""
    failed: int
    """None is, or fewer than asked for."""
    unknown: int
    """Of no completion is it known."""


def informative(correct: Tensor, group: Tensor, *, low: float = 0.0, high: float = 1.0) -> Kept:
    """Keep a group where the share of correct completions among those known lies between ``low`` and ``high``, open.

    By default 0 < #correct < #known. ``correct`` is (B,): 1, 0, or -1 for not known, which a completion is that could
    not be scored; it counts for neither side, and is kept or dropped with its group. A group of which nothing is known
    is dropped, since nothing shows that it teaches. Correctness decides and not the reward: dense rewards nearly always
    differ, and a group whose rewards are all .5 would pass a test of their mean.
    """
    if not 0.0 <= low < high <= 1.0:
        raise UserError(f"dynamic sampling: 0 <= low < high <= 1 must hold; given {low} and {high}")
    votes = torch.stack([correct == 1, correct >= 0]).double()
    right, known = group_sums(votes, group)
    share = right / known.clamp(min=1)
    unknown = known == 0
    failed, solved = ~unknown & (share <= low), ~unknown & (share >= high)
    rows = ~(unknown | failed | solved)
    first = _first_of_group(group)
    kept, over, under, nothing = (int((which & first).sum()) for which in (rows, solved, failed, unknown))
    return Kept(rows, kept, over, under, nothing)


@dataclass(frozen=True, slots=True)
class Refill:
    """What to do next for a full step."""

    prompts: int
    """To sample now; 0 where the step is full or no more may be tried."""
    exhausted: bool
    """The step is not full, and no more may be tried: train on what there is, or stop."""


def refill(kept: int, wanted: int, *, tried: int, rounds: int, max_rounds: int, limit: int | None = None) -> Refill:
    """How many prompts to try next, when ``kept`` of ``wanted`` groups are there after ``rounds`` of refilling.

    As many as it should take at the rate so far (``kept`` of ``tried``), at most ``limit`` (``wanted`` where left out)
    in a round; none after ``max_rounds`` rounds. All processes must agree: give them the numbers of all together.

    >>> refill(12, 16, tried=16, rounds=0, max_rounds=3)
    Refill(prompts=6, exhausted=False)
    >>> refill(12, 16, tried=16, rounds=3, max_rounds=3)
    Refill(prompts=0, exhausted=True)
    """
    missing = wanted - kept
    if missing <= 0:
        return Refill(0, False)
    if rounds >= max_rounds:
        return Refill(0, True)
    most = wanted if limit is None else limit
    if most < 1:
        raise UserError(f"dynamic sampling: limit must be at least 1, not {most}")
    expected = math.ceil(missing * tried / kept) if kept else most
    return Refill(min(max(expected, missing), most), False)


def _first_of_group(group: Tensor) -> Tensor:
    """(B,), bool: one row of each group."""
    same = group.unsqueeze(0) == group.unsqueeze(1)
    return ~torch.tril(same, diagonal=-1).any(-1)
