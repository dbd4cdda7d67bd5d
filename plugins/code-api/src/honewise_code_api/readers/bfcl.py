"""BFCL: ``BFCL_v*_<category>.json`` with its answers in ``possible_answer/`` beside it; irrelevance has none.

Rows of a hub have their answers in a column ``ground_truth``; the published repository has none, and is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.errors import DataError

from .hub import hub_rows

__all__ = ["BFCL"]

_ANSWERS = "possible_answer"
_BESIDE = f"the folder {_ANSWERS} beside the file must have it, as a list of {{function: {{argument: [values]}}}}"
_COLUMN = (
    "rows of a hub need the column 'ground_truth', a list of {function: {argument: [values]}}, or that as JSON; the"
    f" published repository keeps it in {_ANSWERS}/: download it and give its folder"
)


def _read(path: Path) -> Iterator[Task]:
    for file in _files(path):
        answers = {}
        beside = file.parent / _ANSWERS / file.name
        if beside.is_file():
            answers = {row.get("id"): row.get("ground_truth") for _, row in read_jsonl(beside)}
        for line, row in read_jsonl(file):
            yield _task(row, answers.get(row.get("id")), f"{file}:{line}", _BESIDE)


def _rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    for where, row in hub_rows(given, ("question", "function", "ground_truth")):
        yield _task(row, row.get("ground_truth"), where, _COLUMN)


def _task(row: Mapping[str, Any], answer: Any, where: str, missing: str) -> Task:
    name = str(row.get("id"))
    question = _question(row, where)
    if not isinstance(row.get("function"), list):
        raise DataError(f"{where}: 'function' must be a list of functions")
    if "irrelevance" in name:
        calls: Any = []
    else:
        calls = answer
        if not isinstance(calls, list) or not all(isinstance(each, Mapping) and len(each) == 1 for each in calls):
            raise DataError(f"{where}: no answer for {name!r}; {missing}")
    meta = {"category": name.rsplit("_", 1)[0]}
    return Task(name, {"question": question, "functions": row["function"]}, {"calls": calls}, meta=meta)


def _question(row: Mapping[str, Any], where: str) -> str:
    """The words of the first turn, whoever says them."""
    turns = row.get("question")
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], list):
        raise DataError(f"{where}: 'question' must be a list of turns, each a list of messages")
    return "\n".join(str(message.get("content", "")) for message in turns[0])


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted(path.glob("*.json")) if _is_rows(file)]
    return [path]


def _is_rows(path: Path) -> bool:
    row = first_object(path) if path.is_file() else None
    return row is not None and isinstance(row.get("function"), list) and isinstance(row.get("question"), list)


BFCL = Reader(read=_read, recognise=lambda path: any(_is_rows(file) for file in _files(path)), rows=_rows)
