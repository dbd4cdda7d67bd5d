"""How far two results agree cell by cell, in the manner of QATCH. The exact formulas are ours."""

from __future__ import annotations

from honewise.sandbox import Prepared

__all__ = ["cell_scores"]


def cell_scores(gold: Prepared, rows: Prepared) -> tuple[float, float, float]:
    """Precision and recall of cells, as bags of values, and the ratio of row counts; each in [0, 1].

    Two empty results agree in all three; where only one is empty, none of them does.

    >>> cell_scores(Prepared([(1, "a"), (2, "b")]), Prepared([(1,)]))
    (1.0, 0.25, 0.5)
    """
    if not gold or not rows:
        same = float(not gold and not rows)
        return same, same, same
    wanted, given = gold.cells, rows.cells
    shared = sum([min(count, wanted[value]) for value, count in given.items() if value in wanted])
    return (
        shared / max(1, given.total()),
        shared / max(1, wanted.total()),
        min(len(gold), len(rows)) / max(len(gold), len(rows)),
    )
