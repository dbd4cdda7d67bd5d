"""From scored completions to what estimators take: each component's credit, on the tokens that earned it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from honewise.contracts import Rubric, Scored
from honewise.scoring.credit import GroupCredit, credit
from honewise.scoring.rubric import CAP

from .credit import Decoded, Placement, place

__all__ = ["RolloutBatch", "TokenCredit", "components", "group_credits", "token_credit"]


@dataclass(slots=True)
class RolloutBatch:
    """The completions that this process generated in one go, from sampling to advantages."""

    decoded: list[Decoded]
    scored: list[Scored]
    everyone: list[Scored]
    """Those of all processes, in the sampler's order: ``samples`` consecutive ones answer one prompt."""
    credit: TokenCredit | None = None
    extra: dict[str, float] = field(default_factory=dict)
    """Numbers for the log."""


@dataclass(frozen=True, slots=True)
class TokenCredit:
    """Credit of b completions of at most T tokens, K components."""

    rewards: Tensor
    """(b, K, T), float64."""
    scored: Tensor
    """(b, K), bool."""
    mask: Tensor
    """(b, T), bool: tokens that the policy wrote."""
    moved: int
    """Spans that overlap no token of the policy's and were paid at the end."""


def components(rubric: Rubric) -> tuple[str, ...]:
    """Every name that credit may come under."""
    return (*rubric.terms, CAP) if rubric.cap_wrong else tuple(rubric.terms)


def group_credits(scored: Sequence[Scored], rubric: Rubric, samples: int) -> list[GroupCredit]:
    """Credit in characters of every group of ``samples`` consecutive completions."""
    return [credit(scored[start : start + samples], rubric) for start in range(0, len(scored), samples)]


def token_credit(
    groups: Sequence[GroupCredit],
    first: int,
    decoded: Sequence[Decoded],
    wrote: Sequence[Sequence[bool]],
    names: Sequence[str],
    placement: Placement,
    width: int,
) -> TokenCredit:
    """Credit of the completions ``first``, ``first`` + 1 ... (counted over all groups) on their tokens.

    ``decoded`` and ``wrote`` (which tokens are the policy's) have one entry for each of them; ``width`` is T.
    """
    rewards = torch.zeros(len(decoded), len(names), width, dtype=torch.float64)
    scored = torch.zeros(len(decoded), len(names), dtype=torch.bool)
    mask = torch.zeros(len(decoded), width, dtype=torch.bool)
    samples = len(groups[0].cells) if groups else 1
    moved = 0
    for row, (text, own) in enumerate(zip(decoded, wrote, strict=True)):
        mask[row, : len(own)] = torch.tensor(list(own), dtype=torch.bool)
        group, sample = divmod(first + row, samples)
        cells = groups[group].cells[sample]
        for column, name in enumerate(names):
            cell = cells.get(name)
            if cell is None:
                continue
            placed = place(cell.spans, cell.terminal, text.spans, own, placement)
            rewards[row, column, : len(own)] = placed.rewards
            scored[row, column] = True
            moved += placed.moved
    return TokenCredit(rewards, scored, mask, moved)
