"""Gorilla's APIBench: rows of ``code, api_call, provider, api_data``, and the table of APIs that there are.

The table is ``<hub>_api.jsonl`` beside ``<hub>_eval.json`` or ``<hub>_train.json``, or a file that is named; where it
is absent, the APIs of the rows themselves. Those of rows from the Hugging Face hub are kept in the user's cache folder.
``code`` has two layouts, marked sections and text like a dictionary; both begin with the instruction.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_jsonl
from honewise.errors import DataError
from honewise_code_api.calls import repaired

from .hub import hub_rows

__all__ = ["GORILLA", "answer_of", "gorilla"]

_INSTRUCTION = re.compile(r"#*\s*Instruction:?\s*(.*?)\s*(?=#+\s*Output|\Z)", re.DOTALL | re.IGNORECASE)
_MARKED = re.compile(r"<<<api_call>>>:?\s*(.*?)\s*,?\s*(?=<<<|\Z)", re.DOTALL)
_LIKE_A_DICTIONARY = re.compile(r"""['"]api_call['"]:\s*\\*['"]?(.*?)\\*['"]?\s*,\s*['"]api_provider['"]""", re.DOTALL)


def answer_of(text: str) -> str:
    """The API call in an answer of either layout; empty where there is none."""
    found = _MARKED.search(text) or _LIKE_A_DICTIONARY.search(text)
    return found[1].strip() if found else ""


def gorilla(table: Path | None = None) -> Reader:
    """The reader; ``table`` is the file of APIs, in place of the one beside the rows."""

    def read(path: Path) -> Iterator[Task]:
        for file in _files(path):
            apis = table or _table(file)
            for line, row in read_jsonl(file):
                yield _task(row, f"{file}:{line}", f"{file.stem}-{line - 1}", apis)

    def rows(given: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
        all_rows = list(hub_rows(given, ("api_data",)))
        apis = table or _kept([row.get("api_data") for _, row in all_rows])
        for index, (where, row) in enumerate(all_rows):
            yield _task(row, where, str(index), apis)

    return Reader(read=read, recognise=lambda path: any(_is_rows(file) for file in _files(path)), rows=rows)


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


def _kept(apis: Sequence[Any]) -> Path:
    """A table of the rows' own APIs, as a file that is named after its content."""
    known = (each for each in apis if isinstance(each, Mapping))
    entries = ({"domain": str(each.get("domain")), "api_call": str(each.get("api_call"))} for each in known)
    text = "".join(f"{line}\n" for line in dict.fromkeys(json.dumps(each) for each in entries))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "honewise" / "code-api" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.jsonl"
    try:
        if not place.is_file():
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=place.parent, delete=False, encoding="utf-8") as file:
                file.write(text)
            os.replace(file.name, place)
    except OSError as error:
        raise DataError(
            f"{place.parent}: the table of these rows' APIs cannot be kept here ({error.strerror or error}); name one"
            " with the domain's option table: FILE"
        ) from error
    return place


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted([*path.glob("*.json"), *path.glob("*.jsonl")]) if _is_rows(file)]
    return [path]


def _is_rows(path: Path) -> bool:
    row = first_object(path) if path.is_file() else None
    return row is not None and isinstance(row.get("api_data"), dict) and isinstance(row.get("code"), str)


GORILLA = gorilla()
