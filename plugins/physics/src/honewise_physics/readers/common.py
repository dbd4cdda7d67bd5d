"""Help for readers: files of a folder, rows of a file, texts of a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from honewise import Reader, Task
from honewise.data.files import first_object, read_json, read_jsonl
from honewise.errors import DataError

__all__ = ["Row", "is_json", "make_reader", "needed", "read_rows", "text_of", "texts_of"]

Row = Mapping[str, Any]
Place = tuple[str, Row]
"""Where a row stands, for messages, and the row."""


def is_json(path: Path) -> bool:
    return path.is_file() and path.name.lower().removesuffix(".gz").endswith((".json", ".jsonl"))


def read_rows(path: Path) -> Iterator[Place]:
    """The rows of a JSON list of objects, or of JSON lines, each with its place.

    Raises ``DataError`` naming file and row.
    """
    if path.name.lower().removesuffix(".gz").endswith(".jsonl"):
        yield from ((f"{path}:{number}", row) for number, row in read_jsonl(path))
        return
    rows = read_json(path)
    if not isinstance(rows, list):
        raise DataError(f"{path}: a JSON list of objects is needed, this is {type(rows).__name__}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: an object is needed, this is {type(row).__name__}")
        yield f"{path}: row {number}", row


def make_reader(
    name: str,
    knows: Callable[[Row], bool],
    task: Callable[[str, int, Row], Task],
    *,
    wanted: Callable[[Row], bool] = lambda _: True,
) -> Reader:
    """A reader of JSON rows: of a file, of all files of a folder whose first row it knows, or of rows given.

    ``task`` gets the row's place, its number from 0 in its file, and the row. Ids get the file's stem before them where
    a folder has several files; two rows of one id are a ``DataError``.
    """

    def files(path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        return [each for each in sorted(path.rglob("*.json*")) if is_json(each) and _known(each, knows)]

    def read(path: Path) -> Iterator[Task]:
        found = files(path)
        if not found:
            raise DataError(f"{path}: no file with rows of {name} in this folder")
        several = len(found) > 1
        seen: dict[str, str] = {}
        for file in found:
            for number, (where, row) in enumerate(each for each in read_rows(file)):
                if not wanted(row):
                    continue
                made = task(where, number, row)
                made = replace(made, id=f"{file.stem}-{made.id}") if several else made
                if made.id in seen:
                    raise DataError(f"{where}: its id {made.id!r} is already that of {seen[made.id]}")
                seen[made.id] = where
                yield made

    def rows(given: Iterable[Row]) -> Iterator[Task]:
        for number, row in enumerate(given):
            if wanted(row):
                yield task(f"row {number}", number, row)

    def recognise(path: Path) -> bool:
        if path.is_dir():
            return bool(files(path))
        return is_json(path) and _known(path, knows)

    return Reader(read=read, recognise=recognise, rows=rows)


def _known(path: Path, knows: Callable[[Row], bool]) -> bool:
    row = first_object(path)
    return row is not None and knows(row)


def needed(row: Row, key: str, where: str) -> str:
    """The text under ``key``, which must not be blank. Raises ``DataError`` where there is none."""
    value = row.get(key)
    if isinstance(value, str) and value.strip():
        return value
    said = "is missing" if key not in row else "is empty" if isinstance(value, str) else "is no text"
    raise DataError(f"{where}: {key!r} {said}")


def text_of(row: Row, *keys: str) -> str:
    """The first of the keys that holds a text or a number, as text; else empty."""
    for key in keys:
        value = row.get(key)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float) and str(value).strip():
            return str(value)
    return ""


def texts_of(value: Any) -> Sequence[str]:
    """A text as one of them, a list of texts and numbers as they are."""
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return [str(value)]
    if isinstance(value, list | tuple):
        return [str(each) for each in value if isinstance(each, str | int | float)]
    return []
