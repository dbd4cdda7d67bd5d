"""``jsonl``: this plugin's own format, one JSON object a line; also core's form of a task, a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.data.formats import JSONL
from honewise.errors import DataError
from honewise_physics.tasks import KINDS, LETTERS, RULES, make_task, part

from .common import Row, is_json, needed, text_of

__all__ = ["own"]

_FIELDS = frozenset(
    [
        "id",
        "question",
        "answers",
        "choices",
        "unit",
        "several",
        "rule",
        "tolerance",
        "solution",
        "formula",
        "symbols",
        "meta",
        "images",
    ]
)


def own(tolerance: float | None) -> Reader:
    """``question`` and ``answers`` are needed; see the README."""

    def read(path: Path) -> Iterator[Task]:
        if "inputs" in (first_object(path) or {}):
            yield from JSONL.read(path)
            return
        seen: dict[str, str] = {}
        for number, (line, row) in enumerate(read_jsonl(path)):
            where = f"{path}:{line}"
            task = _task(where, number, row, tolerance)
            if task.id in seen:
                raise DataError(f"{where}: its id {task.id!r} is already that of {seen[task.id]}")
            seen[task.id] = where
            yield task

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        for number, row in enumerate(given):
            yield _task(f"row {number}", number, row, tolerance)

    return Reader(read=read, recognise=_knows, rows=rows)


def _knows(path: Path) -> bool:
    if not is_json(path):
        return False
    if JSONL.recognise is not None and JSONL.recognise(path):
        return True
    row = first_object(path) or {}
    return "question" in row and isinstance(row.get("answers"), list) and not set(row) - _FIELDS


def _task(where: str, number: int, row: Row, tolerance: float | None) -> Task:
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise DataError(f"{where}: unknown key {unknown[0]!r}; there are {', '.join(sorted(_FIELDS))}")
    rule = row.get("rule") or "units"
    if rule not in RULES:
        raise DataError(f"{where}: 'rule' is {rule!r}; allowed are {', '.join(RULES)}")
    choices = row.get("choices") or []
    if (
        not isinstance(choices, list)
        or len(choices) > len(LETTERS)
        or not all(isinstance(each, str) for each in choices)
    ):
        raise DataError(f"{where}: 'choices' must be a list of at most {len(LETTERS)} texts")
    own_tolerance = row.get("tolerance", 0.05)
    if isinstance(own_tolerance, bool) or not isinstance(own_tolerance, int | float) or not 0 <= own_tolerance < 1:
        raise DataError(f"{where}: 'tolerance' must be a number in [0, 1)")
    for key in ("symbols", "meta"):
        if not isinstance(row.get(key), Mapping | None):
            raise DataError(f"{where}: {key!r} must be an object")
    return make_task(
        text_of(row, "id") or str(number),
        needed(row, "question", where),
        [_answer(each, where) for each in row.get("answers") or []],
        choices=choices,
        unit=text_of(row, "unit"),
        several=bool(row.get("several")),
        rule=rule,  # type: ignore[arg-type]
        tolerance=float(own_tolerance) if tolerance is None else tolerance,
        solution=text_of(row, "solution"),
        formula=text_of(row, "formula"),
        symbols={str(key): str(value) for key, value in (row.get("symbols") or {}).items()},
        meta=row.get("meta"),
        images=row.get("images") or (),
    )


def _answer(given: Any, where: str) -> dict[str, str]:
    if isinstance(given, str | int | float) and not isinstance(given, bool):
        return part(str(given))
    if not isinstance(given, Mapping) or not text_of(given, "text") or set(given) - {"text", "kind", "unit"}:
        raise DataError(f"{where}: an answer is a text, a number, or an object with 'text', 'kind' and 'unit'")
    kind = given.get("kind") or "number"
    if kind not in KINDS:
        raise DataError(f"{where}: an answer's 'kind' is {kind!r}; allowed are {', '.join(KINDS)}")
    return part(text_of(given, "text"), kind, text_of(given, "unit"))  # type: ignore[arg-type]
