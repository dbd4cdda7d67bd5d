"""Gorilla's APIBench: rows of ``code, api_call, provider, api_data``, and the table of APIs that there are.

The table is ``<hub>_api.jsonl`` beside ``<hub>_eval.json`` or ``<hub>_train.json``; where it is absent, the APIs of the
rows themselves. ``code`` has two layouts, marked sections and text like a dictionary; both begin with the instruction.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.errors import DataError
from honewise_code_api.calls import repaired

__all__ = ["GORILLA", "answer_of"]

_INSTRUCTION = re.compile(r"#*\s*Instruction:?\s*(.*?)\s*(?=#+\s*Output|\Z)", re.DOTALL | re.IGNORECASE)
_MARKED = re.compile(r"<<<api_call>>>:?\s*(.*?)\s*,?\s*(?=<<<|\Z)", re.DOTALL)
_LIKE_A_DICTIONARY = re.compile(r"""['"]api_call['"]:\s*\\*['"]?(.*?)\\*['"]?\s*,\s*['"]api_provider['"]""", re.DOTALL)


def answer_of(text: str) -> str:
    """The API call in an answer of either layout; empty where there is none."""
    found = _MARKED.search(text) or _LIKE_A_DICTIONARY.search(text)
    return found[1].strip() if found else ""


def _read(path: Path) -> Iterator[Task]:
    for file in _files(path):
        table = _table(file)
        for line, row in read_jsonl(file):
            yield _task(row, f"{file}:{line}", f"{file.stem}-{line - 1}", table)


def _task(row: Mapping[str, Any], where: str, name: str, table: Path) -> Task:
    data, code = row.get("api_data"), row.get("code")
    if not isinstance(data, Mapping) or not isinstance(code, str):
        raise DataError(f"{where}: 'code' must be text and 'api_data' an object")
    asked = _INSTRUCTION.search(code)
    if asked is None or not asked[1]:
        raise DataError(f"{where}: 'code' has no instruction")
    reference = {
        "api_call": repaired(str(data.get("api_call") or row.get("api_call"))),
        "domain": str(data.get("domain")),
        "table": str(table),
    }
    meta = {"provider": str(row.get("provider")), "answer": answer_of(code)}
    return Task(name, {"question": asked[1]}, reference, meta=meta)


def _table(file: Path) -> Path:
    hub = re.sub(r"_(eval|train|test).*$", "", file.stem)
    names = [f"{hub}_api.jsonl", f"{hub}hub_api.jsonl"]
    return next((file.parent / name for name in names if (file.parent / name).is_file()), file).absolute()


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted([*path.glob("*.json"), *path.glob("*.jsonl")]) if _is_rows(file)]
    return [path]


def _is_rows(path: Path) -> bool:
    row = first_object(path) if path.is_file() else None
    return row is not None and isinstance(row.get("api_data"), dict) and isinstance(row.get("code"), str)


GORILLA = Reader(read=_read, recognise=lambda path: any(_is_rows(file) for file in _files(path)))
