"""Credit in characters: what each component of a group's totals gives to which part of each text.

A component is a weighted reward, or the cap. Failures are kept out per component, never by renormalising rows: a cell
that could not be scored is None, and whoever centres a component does so over the completions that have it.
Where totals are no plain sum (a rubric with a cap), a component that is missing anywhere is left out of the whole
group and the cap is taken from what remains, so that all totals of a group are made of the same components.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from honewise.contracts import Cell, Rubric, Scored
from honewise.errors import UnscoredBudgetExceeded

from .rubric import CAP, BoundRubric, cap_of

__all__ = ["Credit", "GroupCredit", "credit"]


@dataclass(frozen=True, slots=True)
class Credit:
    """Weighted credit of one component of one completion."""

    spans: tuple[tuple[int, int, float], ...] = ()
    """``(start, end, value)`` in characters of the text."""
    terminal: float = 0.0
    """Credit of the completion as a whole."""

    @property
    def total(self) -> float:
        return self.terminal + math.fsum(value for _, _, value in self.spans)


@dataclass(frozen=True, slots=True)
class GroupCredit:
    """The credit of the completions of one prompt."""

    names: tuple[str, ...]
    """The components: every reward with a weight, in the rubric's order, and ``cap`` where the rubric caps."""
    cells: tuple[Mapping[str, Credit | None], ...]
    """One mapping per completion, with every name; None where that component is missing."""
    dropped: bool = False
    """True where the policy ``drop_group`` says that nobody may learn from this group; all cells are then None."""


def credit(group: Sequence[Scored], rubric: Rubric) -> GroupCredit:
    """The credit of one group: the scored completions of one prompt, at one step.

    A missing cell follows its term's ``on_unscored``: ``skip`` leaves it None, ``zero`` takes it as nothing earned,
    ``drop_group`` gives up the group, ``raise`` raises ``UnscoredBudgetExceeded``.

    For each completion with a total, the credits sum to it.
    """
    weighted = [name for name in rubric.terms if any(row.rewards[name].weight != 0 for row in group)]
    names = (*weighted, CAP) if rubric.cap_wrong else tuple(weighted)
    rows = [{name: row.rewards[name] for name in weighted} for row in group]
    for name in weighted:
        policy = rubric.term(name).on_unscored
        missing = [index for index, row in enumerate(rows) if row[name].value is None]
        if not missing:
            continue
        if policy == "raise":
            first = group[missing[0]]
            raise UnscoredBudgetExceeded(
                f"reward {name!r} must never be unscored (on_unscored: raise), and is for task {first.task.id!r}:"
                f" {first.rewards[name].unscored}"
            )
        if policy == "drop_group":
            return GroupCredit(names, tuple([dict.fromkeys(names) for _ in group]), dropped=True)
        if policy == "zero":
            for index in missing:
                rows[index][name] = replace(rows[index][name], value=0.0, terminal=0.0, spans=())
    credits = _capped(group, rows, rubric, names) if rubric.cap_wrong else _additive(rows, names)
    return GroupCredit(names, tuple(credits))


def _additive(rows: Sequence[Mapping[str, Cell]], names: Sequence[str]) -> list[dict[str, Credit | None]]:
    return [{name: None if row[name].value is None else _weighted(row[name]) for name in names} for row in rows]


def _capped(
    group: Sequence[Scored], rows: Sequence[Mapping[str, Cell]], rubric: Rubric, names: Sequence[str]
) -> list[dict[str, Credit | None]]:
    kept = [name for name in names if name != CAP and all(row[name].value is not None for row in rows)]
    complete = len(kept) == len(names) - 1
    credits: list[dict[str, Credit | None]] = []
    for scored, row in zip(group, rows, strict=True):
        cells: dict[str, Credit | None] = dict.fromkeys(names)
        for name in kept:
            cells[name] = _weighted(row[name])
        if complete and scored.total is not None:
            cells[CAP] = Credit(terminal=scored.cut)
        elif scored.correct is not None and isinstance(rubric, BoundRubric):
            left = {name: row[name] for name in kept}
            total = math.fsum(cell.weight * cell.value for cell in left.values() if cell.value is not None)
            cells[CAP] = Credit(terminal=cap_of(rubric, left, total, scored.correct))
        credits.append(cells)
    if any(cells[CAP] is None for cells in credits):
        for cells in credits:
            cells[CAP] = None
    return credits


def _weighted(cell: Cell) -> Credit:
    weight = cell.weight
    return Credit(
        tuple([(span.start, span.end, weight * span.value) for span in cell.spans if span.value]),
        weight * cell.terminal,
    )
