"""Files of rows, spreadsheets, and from where a data set counts its options."""

from __future__ import annotations

import csv
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honewise import UserError
from honewise.data.files import first_object, open_text, read_json, read_jsonl
from honewise.errors import DataError
from honewise_medical_mcq.tasks import LETTERS

__all__ = [
    "Place",
    "Settings",
    "cells",
    "choose",
    "count_from",
    "folders",
    "has_suffix",
    "json_keys",
    "needed",
    "numbered",
    "place_of",
    "read_rows",
    "text_of",
]

Place = tuple[str, Mapping[str, Any]]
"""Where a row stands, for messages, and the row."""

_PERSIAN_LETTERS = {"الف": 0, "ا": 0, "أ": 0, "ب": 1, "ج": 2, "د": 3, "ه": 4, "هـ": 4}
_DIGITS = str.maketrans("۰۱۲۳۴۵۶۷۸۹٠١٢٣٤٥٦٧٨٩", "01234567890123456789")


@dataclass(frozen=True, slots=True)
class Settings:
    """The domain's options, as far as readers need them."""

    counts_from: int | None = None
    """0 or 1: the number of the first option, where data sets number them; None: told by the numbers."""

    def __post_init__(self) -> None:
        if self.counts_from not in (None, 0, 1):
            raise UserError(f"counts_from is {self.counts_from!r}; allowed are 0, 1 and null (told by the numbers)")


def has_suffix(path: Path, *suffixes: str) -> bool:
    """Whether a file's name ends in one of these, ``.gz`` apart."""
    return path.is_file() and path.name.lower().removesuffix(".gz").endswith(suffixes)


def folders(path: Path) -> list[Path]:
    """A folder, then those in it that are not hidden: where rows may lie."""
    inner = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    return [path, *inner]


def choose(path: Path, knows: Callable[[Path], bool], preferred: Sequence[str], *, all_of: bool = False) -> list[Path]:
    """The files of rows that ``path`` stands for: itself, or those of a folder that ``knows`` recognises.

    In a folder (or, where it has none itself, in one of its own folders) the first of ``preferred`` that is there is
    taken, else the only one. Several others are all taken with ``all_of``, else a ``DataError`` that lists them; none
    gives an empty list.
    """
    if not path.is_dir():
        return [path]
    for folder in folders(path):
        found = {entry.name: entry for entry in sorted(folder.iterdir()) if knows(entry)}
        for name in preferred:
            if name in found:
                return [found[name]]
        if found and (all_of or len(found) == 1):
            return list(found.values())
        if found:
            raise DataError(f"{folder}: holds {', '.join(found)}; give the one to read")
    return []


def read_rows(path: Path) -> list[Place]:
    """The rows of a JSON list or of JSON lines, whatever the file is called."""
    with open_text(path) as text:
        opens = text.read(4096).lstrip()[:1]
    if opens != "[":
        return [(f"{path}:{number}", row) for number, row in read_jsonl(path)]
    rows = read_json(path)
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: an object is needed, this is {type(row).__name__}")
    return [(f"{path}: row {number}", row) for number, row in enumerate(rows)]


def json_keys(path: Path, *keys: str) -> bool:
    """Whether the first object of a JSON file has these keys."""
    if not has_suffix(path, ".json", ".jsonl"):
        return False
    row = first_object(path) or {}
    return all(key in row for key in keys)


def text_of(value: Any) -> str:
    """A cell or a JSON value as text: nothing for None, and whole numbers without a point."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def needed(row: Mapping[str, Any], key: str, where: str) -> str:
    """The text under ``key``. Raises ``DataError`` where there is none."""
    value = text_of(row.get(key))
    if not value:
        raise DataError(f"{where}: {key!r} is {'empty' if key in row else 'missing'}; a text is needed")
    return value


def numbered(rows: Sequence[Place], key: str = "id") -> list[str]:
    """The id of each row: the data set's own under ``key``; for a row without one its number, from 0.

    Raises ``DataError`` naming both rows where two would have the same.
    """
    places: dict[str, str] = {}
    for number, (where, row) in enumerate(rows):
        own = text_of(row.get(key))
        id = own or str(number)
        if id in places:
            said = "" if own else f"; a row without {key!r} takes its number from 0"
            raise DataError(f"{where}: its {key} {id!r} is already that of {places[id]}{said}")
        places[id] = where
    return list(places)


def count_from(numbers: Iterable[int], options: int, settings: Settings, what: str, *, usual: int | None = None) -> int:
    """0 or 1: whether ``numbers`` of right options count from 0 or from 1.

    ``settings`` go first; then a 0 or a -1 (which marks hidden answers) says 0, and a number as high as there
    are ``options`` says 1. Where the numbers do not tell, ``usual`` is taken; None asks.

    Raises ``DataError`` where the numbers fit neither, or do not tell.
    """
    seen = set(numbers)
    if settings.counts_from is not None:
        return settings.counts_from
    from_0, from_1 = bool(seen & {-1, 0}), options in seen
    if 0 in seen and from_1:
        raise DataError(
            f"{what}: holds 0 and {options} for {options} options, which fits counting neither from 0 nor 1"
        )
    if from_1:
        return 1
    if from_0:
        return 0
    if usual is not None:
        return usual
    shown = ", ".join(map(str, sorted(seen)))
    raise DataError(
        f"{what}: the right options are only {shown}, so it does not show whether they are counted from 0 or from 1;"
        " set the domain's option counts_from to 0 or 1"
    )


def place_of(value: Any, where: str) -> int | str | None:
    """A right option as data sets write it: a letter's place from 0 as text ("0"), a number as it is, nothing as None.

    Letters are Latin or Persian, with or without brackets.
    """
    said = text_of(value).translate(_DIGITS).strip("[]()（）.: \u200c\u200f\u200e")
    if not said:
        return None
    if re.fullmatch(r"-?\d+", said):
        return int(said)
    if len(said) == 1 and said.upper() in LETTERS:
        return str(LETTERS.index(said.upper()))
    if said in _PERSIAN_LETTERS:
        return str(_PERSIAN_LETTERS[said])
    raise DataError(f"{where}: the right option is {said[:40]!r}; a letter or a number is needed")


def cells(path: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows of a CSV, TSV or Excel file as texts, blank rows left out, each with its place.

    Sheets of a workbook follow each other; formulas count as the values that were stored with them.
    """
    if has_suffix(path, ".xlsx", ".xlsm"):
        yield from _sheets(path)
        return
    with open_text(path) as text:
        rows = csv.reader(text, delimiter="\t" if has_suffix(path, ".tsv") else ",", strict=True)
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise DataError(f"{path}:{rows.line_num}: {error}") from error
            if row is None:
                return
            if any(cell.strip() for cell in row):
                yield f"{path}:{rows.line_num}", row


def _sheets(path: Path) -> Iterator[tuple[str, list[str]]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        book = load_workbook(path, read_only=True, data_only=True)
    except (InvalidFileException, zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable Excel workbook ({error})") from error
    try:
        for sheet in book.worksheets:
            for number, row in enumerate(sheet.iter_rows(values_only=True), start=1):
                texts = [text_of(value) for value in row]
                if any(texts):
                    yield f"{path}: sheet {sheet.title!r} row {number}", texts
    finally:
        book.close()
