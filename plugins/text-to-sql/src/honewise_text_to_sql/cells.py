"""How far two results agree cell by cell, in the manner of QATCH. The exact formulas are ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

__all__ = ["cell_scores"]


def cell_scores(gold: Sequence[Sequence[Any]], rows: Sequence[Sequence[Any]]) -> tuple[float, float, float]:
    """Precision and recall of cells, as bags of values, and the ratio of row counts; each in [0, 1].

    Two empty results agree in all three; where only one is empty, none of them does.

    >>> cell_scores([(1, "a"), (2, "b")], [(1,)])
    (1.0, 0.25, 0.5)
    """
    if not gold or not rows:
        same = float(not gold and not rows)
        return same, same, same
    wanted = Counter(value for row in gold for value in row)
    given = Counter(value for row in rows for value in row)
    shared = sum((wanted & given).values())
    return (
        shared / max(1, sum(given.values())),
        shared / max(1, sum(wanted.values())),
        min(len(gold), len(rows)) / max(len(gold), len(rows)),
    )
