"""Which readers there are for a domain, and which of them a file or folder belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from honewise.contracts import Domain, Reader, Task
from honewise.errors import DataError

from .files import first_object, json_fault, read_jsonl

__all__ = ["JSONL", "readers_of", "recognise"]

_FIELDS = frozenset({"id", "inputs", "reference", "images", "meta"})


def readers_of(domain: Domain, extra: Mapping[str, Reader] | None = None) -> dict[str, Reader]:
    """Every format a domain's tasks can be read from: its own, ``extra`` ones, and core's ``jsonl``.

    A domain's reader of a name goes before an extra one, and both before core's.
    """
    readers: dict[str, Reader] = {"jsonl": JSONL, **(extra or {})}
    for name, reader in domain.readers.items():
        readers[name] = reader if isinstance(reader, Reader) else Reader(read=reader)
    return readers


def recognise(path: Path, readers: Mapping[str, Reader]) -> str:
    """The name of the one format whose reader knows the content of ``path``.

    Raises ``DataError`` where none does, or several do; it says what was found and which names may be given.
    """
    found = [name for name, reader in readers.items() if _knows(reader, path)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(sorted(readers))
    if found:
        several = ", ".join(sorted(found))
        raise DataError(f"{path}: looks like several formats ({several}); name one of them with --format")
    for file in sorted(path.glob("*.json")) if path.is_dir() else [path]:
        if fault := json_fault(file):
            raise DataError(f"{path}: not recognised as any of {names}: {fault}")
    raise DataError(
        f"{path}: not recognised as any of {names}; {_found(path)}. If it is one of these, name it with --format"
    )


def _knows(reader: Reader, path: Path) -> bool:
    if reader.recognise is None:
        return False
    try:
        return bool(reader.recognise(path))
    except Exception:
        # A reader promises not to raise on foreign content; one that does must not hide the others.
        return False


def _found(path: Path) -> str:
    if path.is_dir():
        names = sorted(entry.name + "/" * entry.is_dir() for entry in path.iterdir())
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        return f"the folder holds {shown}" if names else "the folder is empty"
    if path.stat().st_size == 0:
        return "the file is empty"
    row = first_object(path)
    if row is None:
        return "the file holds no JSON object"
    keys = ", ".join(sorted(row)[:12])
    return f"its first object has the keys {keys}" if keys else "its first object is empty"


def _read_jsonl(path: Path) -> Iterator[Task]:
    for line, row in read_jsonl(path):
        yield _task(row, f"{path}:{line}", line - 1)


def _jsonl_rows(rows: Iterable[Mapping[str, Any]]) -> Iterator[Task]:
    for index, row in enumerate(rows):
        yield _task(row, f"row {index}", index)


def _task(row: Mapping[str, Any], where: str, index: int) -> Task:
    unknown = sorted(set(row) - _FIELDS)
    if unknown:
        raise DataError(f"{where}: unknown key {unknown[0]!r}; a task has {', '.join(sorted(_FIELDS))}")
    for key in ("inputs", "reference", "meta"):
        if row.get(key) is not None and not isinstance(row[key], Mapping):
            raise DataError(f"{where}: {key!r} must be an object, this is {type(row[key]).__name__}")
    if row.get("inputs") is None:
        raise DataError(f"{where}: 'inputs' is missing: an object with what the prompt may show")
    images = row.get("images") or ()
    if isinstance(images, str) or not all(isinstance(image, str) for image in images):
        raise DataError(f"{where}: 'images' must be a list of paths or data URLs")
    return Task(
        id=str(row["id"]) if row.get("id") is not None else str(index),
        inputs=dict(row["inputs"]),
        reference=dict(row.get("reference") or {}),
        images=tuple(images),
        meta=dict(row.get("meta") or {}),
    )


def _is_jsonl(path: Path) -> bool:
    if not path.is_file():
        return False
    row = first_object(path)
    return row is not None and isinstance(row.get("inputs"), dict) and not set(row) - _FIELDS


JSONL = Reader(read=_read_jsonl, recognise=_is_jsonl, rows=_jsonl_rows)
"""Core's own format: a line per task with ``id, inputs, reference, images, meta``; only ``inputs`` is needed."""
