"""Where things lie in the published layouts: rows, ``tables.json``, database files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honewise import UserError
from honewise.data.files import first_object, read_json, read_jsonl
from honewise.errors import DataError
from honewise_text_to_sql.schema import Schema, describe, fold, from_tables_json, read_descriptions, read_schema
from honewise_text_to_sql.serialise import SchemaStyle

__all__ = ["Layout", "Settings", "choose", "folders", "is_json", "needed", "numbered", "read_rows"]

_DATABASE_FOLDERS = (
    "database",
    "databases",
    "test_database",
    "dev_databases",
    "train_databases",
    "sqlite_dbs",
)
_ENDINGS = (".sqlite", ".db", ".sqlite3")


@dataclass(frozen=True, slots=True)
class Settings:
    """The domain's options, as far as readers need them."""

    databases: Path | None = None
    style: SchemaStyle = field(default_factory=SchemaStyle)

    def __post_init__(self) -> None:
        if self.databases is not None and not self.databases.is_dir():
            raise UserError(
                f"databases: {self.databases} is not a folder; give the one that holds <db_id>/<db_id>.sqlite"
            )


class Layout:
    """Finds databases and schemas around a file of rows; everything is looked up once per database.

    ``home`` is the folder that the rows lie in; None for rows that came from elsewhere.
    """

    def __init__(self, settings: Settings, home: Path | None) -> None:
        self._given = settings.databases
        self._folders = list(_folders(settings.databases, home))
        self._homes = [
            place for place in (home, home and home.parent, self._given, self._given and self._given.parent) if place
        ]
        self._entries: dict[str, Mapping[str, Any]] | None = None
        self._found: dict[str, tuple[Path | None, Schema | None]] = {}

    def look_up(self, db_id: str) -> tuple[Path | None, Schema | None]:
        """The database file, None where it is not there, and the schema, None where nothing tells it.

        A file that cannot be read is given all the same: scoring then says what is wrong with it.
        """
        if db_id not in self._found:
            path = self._database(db_id)
            self._found[db_id] = path, self._schema(db_id, path)
        return self._found[db_id]

    def _schema(self, db_id: str, path: Path | None) -> Schema | None:
        if path is None:
            return self._from_entry(db_id)
        try:
            schema = read_schema(path)
        except DataError:
            return self._from_entry(db_id)
        return describe(schema, {**self._readable(db_id), **read_descriptions(path.parent / "database_description")})

    def _database(self, db_id: str) -> Path | None:
        if not db_id or Path(db_id).name != db_id:  # a name is no path
            return None
        for folder in self._folders:
            for ending in _ENDINGS:
                for path in (folder / db_id / f"{db_id}{ending}", folder / f"{db_id}{ending}"):
                    if path.is_file():
                        return path
        return None

    def _from_entry(self, db_id: str) -> Schema | None:
        if self._entries is None:
            self._entries = dict(_table_entries(self._homes))
        entry = self._entries.get(db_id)
        if entry is None:
            return None
        try:
            return from_tables_json(entry)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as problem:
            raise DataError(f"tables.json: the entry of {db_id!r} is not in Spider's layout ({problem!r})") from problem

    def _readable(self, db_id: str) -> dict[tuple[str, str], str]:
        schema = self._from_entry(db_id)
        if schema is None:
            return {}
        return {
            (fold(table.name), fold(column.name)): column.description
            for table in schema.tables
            for column in table.columns
            if column.description
        }


def _folders(given: Path | None, home: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        yield from (given / name for name in _DATABASE_FOLDERS)
    for place in (home, home and home.parent):
        if place is not None:
            yield from (place / name for name in _DATABASE_FOLDERS)
    if home is not None:
        yield home


def _table_entries(homes: Iterable[Path]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    seen: set[str] = set()
    for home in homes:
        for path in sorted(home.glob("*tables.json")):
            listed = read_json(path)
            for entry in listed if isinstance(listed, list) else ():
                if isinstance(entry, dict) and isinstance(entry.get("db_id"), str) and entry["db_id"] not in seen:
                    seen.add(entry["db_id"])
                    yield entry["db_id"], entry


def is_json(path: Path) -> bool:
    name = path.name.lower().removesuffix(".gz")
    return path.is_file() and name.endswith((".json", ".jsonl")) and not name.endswith("tables.json")


def folders(path: Path) -> list[Path]:
    """A folder, then those in it that are not hidden: where rows may lie."""
    inner = [entry for entry in sorted(path.iterdir()) if entry.is_dir() and not entry.name.startswith(".")]
    return [path, *inner]


def choose(path: Path, knows: Callable[[Path], bool], preferred: Sequence[str]) -> list[Path]:
    """The files of rows that ``path`` stands for: itself, or those of a folder that ``knows`` recognises.

    In a folder (or, where it has none itself, in one of its own folders) the first of ``preferred`` that is there is
    taken, else the only one; an entry of ``preferred`` may name several files with ``+``. Several others are a
    ``DataError`` that lists them; none gives an empty list.
    """
    if not path.is_dir():
        return [path]
    for folder in folders(path):
        found = {entry.name: entry for entry in sorted(folder.iterdir()) if entry.is_file() and knows(entry)}
        for name in preferred:
            wanted = name.split("+")
            if all(each in found for each in wanted):
                return [found[each] for each in wanted]
        if len(found) == 1:
            return list(found.values())
        if found:
            raise DataError(f"{folder}: holds {', '.join(found)}; give the one to read")
    return []


def read_rows(path: Path) -> list[tuple[str, Mapping[str, Any]]]:
    """The rows of a JSON list or of JSON lines, each with its place for messages."""
    first = first_object(path)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".jsonl"):
        return [(f"{path}:{number}", row) for number, row in read_jsonl(path)]
    rows = read_json(path)
    if not isinstance(rows, list) or first is None:
        raise DataError(f"{path}: a JSON list of objects is needed")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: an object is needed, this is {type(row).__name__}")
    return [(f"{path}: row {number}", row) for number, row in enumerate(rows)]


def needed(row: Mapping[str, Any], key: str, where: str) -> str:
    """The text under ``key``. Raises ``DataError`` where there is none."""
    value = row.get(key)
    if not isinstance(value, str):
        said = "is missing" if key not in row else f"is {type(value).__name__}, a text is needed"
        raise DataError(f"{where}: {key!r} {said}")
    return value


def numbered(rows: Sequence[tuple[str, Mapping[str, Any]]], key: str) -> list[str]:
    """The id of each row: the data set's own under ``key``; for a row without one its number, from 0.

    Raises ``DataError`` naming both rows where two would have the same.
    """
    places: dict[str, str] = {}
    for number, (where, row) in enumerate(rows):
        own = row.get(key)
        named = own is not None and bool(str(own).strip())
        id = str(own) if named else str(number)
        if id in places:
            said = "" if named else f"; a row without {key!r} takes its number from 0"
            raise DataError(f"{where}: its {key} {id!r} is already that of {places[id]}{said}")
        places[id] = where
    return list(places)
