"""Completions files in, scored rows out, as JSON lines."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honewise.contracts import Cell, Scored, Task
from honewise.data import read_jsonl
from honewise.errors import DataError, UserError

from .rubric import CAP
from .scorer import Row

__all__ = ["Completions", "read_completions", "to_json", "write_lines"]


@dataclass(frozen=True, slots=True)
class Completions:
    """The rows of a completions file, and what a person should know about it."""

    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def read_completions(path: str | Path, tasks: Iterable[Task]) -> Completions:
    """Read a file of ``{"task_id": ..., "completion": ...}`` lines; a task may have several, in the file's order.

    ``task_id`` may be a number where the task's id is that number as text; ``tokens`` and ``truncated`` are taken where
    they stand, other keys are passed over. Rows are groups by task, in the order in which tasks first occur.

    Raises ``DataError`` naming file and line where a line is not such an object or names an unknown task, and where
    the file has no completion at all.
    """
    by_id = {task.id: task for task in tasks}
    groups: dict[str, int] = {}
    rows: list[Row] = []
    seen: dict[tuple[str, str], int] = {}
    repeats = 0
    for line, entry in read_jsonl(path):
        row = _row(entry, f"{path}:{line}", by_id, groups)
        rows.append(row)
        repeats += (row.task.id, row.text) in seen
        seen.setdefault((row.task.id, row.text), line)
    if not rows:
        raise DataError(f'{path}: no completions in it; a line is {{"task_id": ..., "completion": ...}}')
    notes = []
    if repeats:
        notes.append(f"{repeats} of {len(rows)} completions repeat another of the same task; each is computed once")
    missing = [identity for identity in by_id if identity not in groups]
    if missing:
        shown = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        notes.append(f"{len(missing)} of {len(by_id)} tasks have no completion ({shown})")
    return Completions(tuple(rows), tuple(notes))


def to_json(scored: Scored) -> dict[str, Any]:
    """One line of ``score``'s output: ``task_id, completion, total, correct, rewards``.

    ``rewards`` is ``{name: {value, weight, unscored, gated, spans, parts, feedback}}``, a span ``[start, end, value,
    label]``. What a cap took stands there as ``cap``, where it took something, so that ``total`` is always the sum of
    weight x value.
    """
    cells = dict(scored.rewards)
    if scored.cut:
        cells[CAP] = Cell(value=scored.cut, terminal=scored.cut, feedback="wrong totals less than right")
    return {
        "task_id": scored.task.id,
        "completion": scored.completion.text,
        "total": scored.total,
        "correct": scored.correct,
        "rewards": {name: _cell(cell) for name, cell in cells.items()},
    }


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write a text file as a whole: under another name beside it, then renamed, so that no half of it is ever seen.

    Raises ``UserError`` where that cannot be done.
    """
    target = Path(path)
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
            for line in lines:
                file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)


def _row(entry: Mapping[str, Any], where: str, tasks: Mapping[str, Task], groups: dict[str, int]) -> Row:
    for key in ("task_id", "completion"):
        if key not in entry:
            raise DataError(f'{where}: {key!r} is missing; a line is {{"task_id": ..., "completion": ...}}')
    identity, text = entry["task_id"], entry["completion"]
    if isinstance(identity, bool) or not isinstance(identity, (str, int)):
        raise DataError(f"{where}: 'task_id' must be text or a whole number, this is {identity!r:.60}")
    if not isinstance(text, str):
        raise DataError(f"{where}: 'completion' must be text, this is {text!r:.60}")
    task = tasks.get(str(identity))
    if task is None:
        raise DataError(f"{where}: no task has the id {str(identity)!r:.80}{_some(tasks)}")
    tokens, truncated = entry.get("tokens", 0), entry.get("truncated", False)
    if type(tokens) is not int or tokens < 0 or type(truncated) is not bool:
        raise DataError(f"{where}: 'tokens' must be a count and 'truncated' true or false")
    group = groups.setdefault(task.id, len(groups))
    return Row(task, text, tokens=tokens, truncated=truncated, group=group)


def _some(tasks: Mapping[str, Task]) -> str:
    names = list(tasks)
    few: Sequence[str] = names if len(names) <= 6 else [*names[:3], "...", names[-1]]
    return f"; there are {len(names)}: {', '.join(few)}" if names else ""


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "value": cell.value,
        "weight": cell.weight,
        "unscored": cell.unscored,
        "gated": cell.gated,
        "spans": [[span.start, span.end, span.value, span.label] for span in cell.spans],
        "parts": dict(cell.parts),
        "feedback": cell.feedback,
    }


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
