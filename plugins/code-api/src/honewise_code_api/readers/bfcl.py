"""BFCL: ``BFCL_v*_<category>.json`` with its answers in ``possible_answer/`` beside it; irrelevance has none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.errors import DataError

__all__ = ["BFCL"]

_ANSWERS = "possible_answer"


def _read(path: Path) -> Iterator[Task]:
    for file in _files(path):
        answers = {}
        beside = file.parent / _ANSWERS / file.name
        if beside.is_file():
            answers = {row.get("id"): row.get("ground_truth") for _, row in read_jsonl(beside)}
        for line, row in read_jsonl(file):
            yield _task(row, answers, f"{file}:{line}")


def _task(row: Mapping[str, Any], answers: Mapping[Any, Any], where: str) -> Task:
    name = str(row.get("id"))
    question = _question(row, where)
    if not isinstance(row.get("function"), list):
        raise DataError(f"{where}: 'function' must be a list of functions")
    if "irrelevance" in name:
        calls: Any = []
    else:
        calls = answers.get(row.get("id"))
        if calls is None:
            raise DataError(f"{where}: no answer for {name!r}; the folder {_ANSWERS} beside the file must have it")
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


BFCL = Reader(read=_read, recognise=lambda path: any(_is_rows(file) for file in _files(path)))
