"""Numbers over scored completions: accuracy, number and unit apart, steps, likeness of wording; by subject and
level.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from honewise import Cell, Scored

from .official import scibench_right
from .prompts import answer_text, plain_text
from .wording import meteor, rouge_l

__all__ = ["METRICS", "accuracy", "official", "step_accuracy", "wording"]


def accuracy(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``accuracy`` by each data set's own rule; ``number_ok`` and ``unit_ok`` apart; ``figures_ok``; ``share`` of
    marks.

    Needs the reward ``answer`` in the rubric, at weight 0 if need be. Also by ``meta["subject"]`` and
    ``meta["difficulty"]``. Unscored rows are left out; ``scored`` says how many of ``of`` were counted.
    """
    numbers: dict[str, float] = dict(_means("accuracy", rows, "answer", lambda cell: cell.value, split=True))
    for name in ("number_ok", "unit_ok", "figures_ok", "share"):
        numbers.update(_means(name, rows, "answer", partial(_part, name)))
    numbers["scored"] = float(sum(_cell(row, "answer") is not None for row in rows))
    numbers["of"] = float(len(rows))
    return numbers


def step_accuracy(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``step_accuracy``: right steps over right and wrong ones; ``steps_missing``: mean number of results not found.

    Needs the reward ``steps``.
    """
    cells = [cell for row in rows if (cell := _cell(row, "steps")) is not None]
    right = sum(cell.parts.get("right", 0.0) for cell in cells)
    wrong = sum(cell.parts.get("wrong", 0.0) for cell in cells)
    found = {"step_accuracy": right / (right + wrong)} if right + wrong else {}
    if cells:
        found["steps_missing"] = sum(cell.parts.get("missing", 0.0) for cell in cells) / len(cells)
    return found


def official(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``scibench_accuracy``: SciBench's own rule on every task with one number; no reward is needed."""
    marks = []
    for row in rows:
        golds = list(row.task.reference.get("answers") or [])
        if len(golds) == 1 and golds[0].get("kind", "number") == "number":
            gold = golds[0]
            said = row.completion.answer
            text = said if isinstance(said, str) else ""
            marks.append(scibench_right(text, str(gold.get("text")), str(gold.get("unit") or "")))
    return {"scibench_accuracy": sum(marks) / len(marks)} if marks else {}


def wording(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``meteor`` and ``rouge_l``, times 100 as papers give them, against the worked solution and answer; no reward
    is needed.
    """
    pairs = []
    for row in rows:
        answers = ", ".join(answer_text(each) for each in row.task.reference.get("answers") or ())
        reference = f"{row.task.reference.get('solution') or ''}\n{answers}".strip()
        if reference:
            pairs.append((plain_text(reference), plain_text(row.completion.text)))
    if not pairs:
        return {}
    return {
        "meteor": 100 * sum(meteor(one, other) for one, other in pairs) / len(pairs),
        "rouge_l": 100 * sum(rouge_l(one, other) for one, other in pairs) / len(pairs),
    }


METRICS: Mapping[str, Callable[[Sequence[Scored]], Mapping[str, float]]] = {
    "accuracy": accuracy,
    "step_accuracy": step_accuracy,
    "official": official,
    "wording": wording,
}


def _cell(row: Scored, name: str) -> Cell | None:
    cell = row.rewards.get(name)
    return cell if cell is not None and cell.value is not None and not cell.gated else None


def _part(name: str, cell: Cell) -> float | None:
    return cell.parts.get(name)


def _means(
    name: str, rows: Sequence[Scored], reward: str, number: Callable[[Cell], float | None], *, split: bool = False
) -> dict[str, float]:
    """The mean over all rows under ``name``; with ``split`` also under ``name/subject`` and ``name/difficulty``."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        cell = _cell(row, reward)
        value = None if cell is None else number(cell)
        if value is None:
            continue
        groups.setdefault("", []).append(value)
        keys = {str(row.task.meta.get(key) or "") for key in ("subject", "difficulty")} if split else set()
        for key in sorted(keys - {""}):
            groups.setdefault(key, []).append(value)
    return {f"{name}/{group}" if group else name: sum(groups[group]) / len(groups[group]) for group in sorted(groups)}
