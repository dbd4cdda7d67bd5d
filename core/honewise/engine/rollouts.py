"""From scored completions to what estimators take: each component's credit, on the tokens that earned it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from honewise.contracts import Rubric, Scored, Term
from honewise.scoring.credit import GroupCredit, credit
from honewise.scoring.mixed import MixedRubric
from honewise.scoring.rubric import CAP

from .credit import Decoded, Placement, Placer

__all__ = [
    "RolloutBatch",
    "TokenCredit",
    "components",
    "cost_credits",
    "domains_of",
    "group_credits",
    "token_credit",
    "totals_of",
]


@dataclass(slots=True)
class RolloutBatch:
    """The completions that this process generated in one go, from sampling to advantages."""

    decoded: list[Decoded]
    scored: list[Scored]
    everyone: list[Scored]
    """Those of all processes, in the sampler's order: ``samples`` consecutive ones answer one prompt."""
    extra: dict[str, float] = field(default_factory=dict)
    """Numbers for the log."""
    greedy: list[Scored] = field(default_factory=list)
    """For each of this process's completions, the greedy one of its prompt; empty where nobody needs it."""


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


def domains_of(rubric: Rubric) -> tuple[str, ...]:
    """The names of several domains; none where there is but one."""
    return tuple(rubric.parts) if isinstance(rubric, MixedRubric) else ()


def group_credits(scored: Sequence[Scored], rubric: Rubric, samples: int) -> list[GroupCredit]:
    """Credit in characters of every group of ``samples`` consecutive completions, each by its domain's rubric."""
    groups = [scored[start : start + samples] for start in range(0, len(scored), samples)]
    return [credit(each, rubric.of(each[0].task) if isinstance(rubric, MixedRubric) else rubric) for each in groups]


def cost_credits(scored: Sequence[Scored], rubric: Rubric, costs: Sequence[str], samples: int) -> list[GroupCredit]:
    """The same of rewards that are taken as costs: each as it is, whatever its weight in the rubric. A completion has
    those of its domain."""
    terms = {name: Term(1.0, on_unscored=rubric.term(name).on_unscored) for name in costs}
    found = []
    for start in range(0, len(scored), samples):
        group = scored[start : start + samples]
        own = [name for name in costs if name in group[0].rewards]
        rows = [replace(one, rewards={name: replace(one.rewards[name], weight=1.0) for name in own}) for one in group]
        found.append(credit(rows, Rubric({name: terms[name] for name in own})))
    return found


def totals_of(scored: Sequence[Scored], names: Sequence[str], *, weighted: bool = True) -> Tensor:
    """(K, N), float64: each component's total, NaN where missing; ``weighted`` as it counts in the rubric."""
    table = np.full((len(names), len(scored)), np.nan)
    for k, name in enumerate(names):
        for i, one in enumerate(scored):
            cell = one.rewards.get(name)
            if cell is not None and cell.value is not None:
                table[k, i] = cell.value * (cell.weight if weighted else 1.0)
            elif name == CAP and one.total is not None:
                table[k, i] = one.cut
    return torch.from_numpy(table)


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
    rewards = np.zeros((len(decoded), len(names), width))
    scored = np.zeros((len(decoded), len(names)), dtype=bool)
    mask = np.zeros((len(decoded), width), dtype=bool)
    samples = len(groups[0].cells) if groups else 1
    moved = 0
    for row, (text, own) in enumerate(zip(decoded, wrote, strict=True)):
        mask[row, : len(own)] = own
        group, sample = divmod(first + row, samples)
        cells = groups[group].cells[sample]
        placer = Placer(text.spans, own, placement)
        for column, name in enumerate(names):
            cell = cells.get(name)
            if cell is None:
                continue
            placed = placer.place(cell.spans, cell.terminal)
            rewards[row, column, : len(own)] = placed.rewards
            scored[row, column] = True
            moved += placed.moved
    return TokenCredit(torch.from_numpy(rewards), torch.from_numpy(scored), torch.from_numpy(mask), moved)
