"""Numbers over scored completions: execution accuracy, Soft-F1 and the share of valid queries, also by difficulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from honewise import Cell, Scored

__all__ = ["METRICS", "execution_accuracy", "soft_f1", "syntax_rate"]


def execution_accuracy(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``ex``: share of completions that are right by the data set's own comparison.

    Beside it ``ex_set`` (BIRD's EX) and ``ex_bag`` (test-suite style) for the same rows. Needs the reward
    ``execution`` in the rubric, at weight 0 if need be. Unscored rows are left out; ``ex_scored`` says how many of
    ``ex_of`` were counted.
    """
    return {
        **_means("ex", rows, lambda cell: cell.value),
        **_means("ex_set", rows, lambda cell: cell.parts.get("set"), split=False),
        **_means("ex_bag", rows, lambda cell: cell.parts.get("bag"), split=False),
        "ex_scored": float(sum(_cell(row) is not None for row in rows)),
        "ex_of": float(len(rows)),
    }


def soft_f1(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``soft_f1``: mean of BIRD's Soft-F1 in [0, 1], rows sorted first where order does not count."""
    return _means("soft_f1", rows, lambda cell: cell.parts.get("soft_f1"))


def syntax_rate(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``syntax_rate``: share of completions whose query runs to its end without an error."""
    return _means("syntax_rate", rows, lambda cell: cell.parts.get("ran"))


_RANKS = {
    word: rank for rank, word in enumerate(("easy", "simple", "medium", "moderate", "hard", "challenging", "extra"))
}

METRICS: Mapping[str, Callable[[Sequence[Scored]], Mapping[str, float]]] = {
    "ex": execution_accuracy,
    "soft_f1": soft_f1,
    "syntax_rate": syntax_rate,
}


def _cell(row: Scored) -> Cell | None:
    cell = row.rewards.get("execution")
    return cell if cell is not None and cell.value is not None and not cell.gated else None


def _means(
    name: str, rows: Sequence[Scored], number: Callable[[Cell], float | None], *, split: bool = True
) -> dict[str, float]:
    """The mean over all rows under ``name``; with ``split`` also under ``name/difficulty``, the easiest first."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        cell = _cell(row)
        value = None if cell is None else number(cell)
        if value is None:
            continue
        groups.setdefault("", []).append(value)
        difficulty = str(row.task.meta.get("difficulty") or "")
        if difficulty and split:
            groups.setdefault(difficulty, []).append(value)
    ranked = sorted(groups, key=lambda group: (_RANKS.get(group, len(_RANKS)) if group else -1, group))
    return {f"{name}/{group}" if group else name: sum(groups[group]) / len(groups[group]) for group in ranked}
