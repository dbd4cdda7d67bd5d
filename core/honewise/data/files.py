"""Reading text, JSON, JSON lines and tables, gzip-compressed or not; an error names the file and the line."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TextIO

from honewise.errors import DataError

__all__ = ["first_object", "json_fault", "open_text", "read_json", "read_jsonl", "read_table"]

_GZIP = b"\x1f\x8b"
_HEAD = 1 << 20
_LINES = re.compile(r"\{[^\r\n]*[^\[:,{\s][ \t]*[\r\n]+\{")
"""Two lines of JSON: the first opens nothing for the second to stand in."""


@contextmanager
def open_text(path: str | Path) -> Iterator[TextIO]:
    """Open a UTF-8 file for reading, with or without a byte-order mark, gzip-compressed or not.

    Raises ``DataError``, also for what is found wrong while reading inside the ``with``.
    """
    path = Path(path)
    try:
        with path.open("rb") as raw:
            compressed = raw.read(2) == _GZIP
        opener: Any = gzip.open if compressed else open
        with opener(path, "rt", encoding="utf-8-sig", newline="") as text:
            yield text
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise DataError(f"{path}: is a folder; a file is needed") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start})") from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path}: broken gzip file ({error})") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def read_json(path: str | Path) -> Any:
    """The one JSON value of a file. Raises ``DataError`` naming file and line."""
    with open_text(path) as text:
        content = text.read()
    try:
        # A break at the end is no line of its own: what is missing there is missing at the end of the last line.
        return json.loads(content.rstrip(), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg} at column {error.colno})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from error


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number (from 1) and object; blank lines are passed over.

    Raises ``DataError`` naming file and line where a line is not one JSON object.
    """
    with open_text(path) as text:
        for number, line in enumerate(text, start=1):
            if line.strip():
                yield number, _object(line, f"{path}:{number}")


def read_table(path: str | Path, *, delimiter: str | None = None) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row of a CSV or TSV file with a header line, as its line number and ``{column: text}``.

    ``delimiter`` is a comma, for names that end in ``.tsv`` or ``.tsv.gz`` a tab. Raises ``DataError`` naming file
    and line where a row has more or fewer cells than the header.
    """
    name = Path(path).name.lower().removesuffix(".gz")
    with open_text(path) as text:
        rows = csv.reader(text, delimiter=delimiter or ("\t" if name.endswith(".tsv") else ","))
        header = next(rows, None)
        if header is None:
            raise DataError(f"{path}: empty; a header line with column names is needed")
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                raise DataError(f"{path}:{rows.line_num}: {error}") from error
            if row is None:
                return
            if len(row) == len(header):
                yield rows.line_num, dict(zip(header, row, strict=True))
            elif row:
                raise DataError(f"{path}:{rows.line_num}: {len(row)} cells where the header has {len(header)}")


def first_object(path: str | Path) -> dict[str, Any] | None:
    """The first JSON object of a file of JSON lines or of a JSON list of objects; None where there is none.

    For recognising formats: reads at most about a megabyte and never raises on foreign content.
    """
    try:
        with open_text(path) as text:
            head = text.read(_HEAD).lstrip()
        start = head[1:].lstrip() if head.startswith("[") else head
        value, _ = json.JSONDecoder().raw_decode(start)
    except (DataError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def json_fault(path: str | Path) -> str:
    """What is wrong with a file that begins as JSON does, with file and line; empty where nothing is, or it does not.

    For saying why nothing recognises a file. A file of JSON lines is judged by its first line.
    """
    try:
        with open_text(path) as text:
            head = text.read(_HEAD).lstrip()
        if not head.startswith(("{", "[")) or (first_object(path) is not None and head.startswith("{")):
            return ""
        if _LINES.match(head):
            next(read_jsonl(path))
        else:
            read_json(path)
    except DataError as error:
        return str(error)
    return ""


def _object(line: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(line.rstrip(), parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error.msg} at column {error.colno}): {line.strip()[:80]!r}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON ({error})") from error
    if not isinstance(value, dict):
        raise DataError(f"{where}: a JSON object is needed, this is {type(value).__name__}")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
