"""How a sample database is declared, and how its rows are drawn from the declaration.

The rows depend on the declaration alone: the same on every machine, Python version and hash seed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, TypeVar

__all__ = ["Cell", "Column", "Database", "Dice", "Table", "literal", "script"]

Cell = str | int | float | None
Kind = Literal["key", "link", "name", "category", "integer", "real", "date"]
T = TypeVar("T")

_TYPES = {"key": "INTEGER PRIMARY KEY", "link": "INTEGER", "integer": "INTEGER", "real": "REAL"}


class Dice:
    """Draws from a named stream. Built on ``Random.random`` only, whose sequence Python promises to keep."""

    def __init__(self, name: str) -> None:
        self._random = random.Random(name).random

    def below(self, count: int) -> int:
        return int(self._random() * count)

    def chance(self, share: float) -> bool:
        return self._random() < share

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def often_early(self, count: int) -> int:
        """Below ``count``, small numbers more often: real categories are uneven."""
        return int(self._random() ** 1.4 * count)

    def two(self, options: Sequence[T]) -> tuple[T, T]:
        """Two different ones, of at least two."""
        first = self.below(len(options))
        second = (first + 1 + self.below(len(options) - 1)) % len(options)
        return options[first], options[second]


@dataclass(frozen=True, slots=True)
class Column:
    """One column and where its values come from.

    ``values``: of a category, all of them; of a name, the ones that come first. ``low``, ``high`` and ``step`` rule
    numbers; a date lies between two years, or up to ``step`` days after the date in the column ``after``.
    ``parts`` are joined by a space to make the other names. ``missing`` is the share of NULLs.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    parts: tuple[tuple[str, ...], ...] = ()
    low: float = 0
    high: float = 0
    step: float = 1
    missing: float = 0.0
    to: str = ""
    after: str = ""

    @property
    def aggregates(self) -> tuple[str, ...]:
        """What makes sense over it: nobody adds up years."""
        return ("MAX", "MIN", "AVG", "SUM") if self.low < 1900 else ("MAX", "MIN", "AVG")

    @property
    def numeric(self) -> bool:
        return self.kind in ("integer", "real")


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    plural: str
    rows: int
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)

    def of(self, *kinds: Kind) -> tuple[Column, ...]:
        return tuple(column for column in self.columns if column.kind in kinds)


@dataclass(frozen=True, slots=True)
class Database:
    """Tables in an order in which every table stands after those it points to."""

    name: str
    tables: tuple[Table, ...]

    def table(self, name: str) -> Table:
        return next(table for table in self.tables if table.name == name)

    def links(self) -> list[tuple[Table, Column, Table]]:
        """Each foreign key: the table that points, its column, the table pointed to."""
        return [(t, c, self.table(c.to)) for t in self.tables for c in t.columns if c.kind == "link"]


def literal(value: Cell) -> str:
    """The value as SQL.

    >>> literal("O'Brien"), literal(None), literal(2.5)
    ("'O''Brien'", 'NULL', '2.5')
    """
    if value is None:
        return "NULL"
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else repr(value)


def script(database: Database) -> str:
    """The whole database as SQL text: ``CREATE TABLE`` and ``INSERT`` statements, in order."""
    lines = []
    for table in database.tables:
        columns = [f"{column.name} {_TYPES.get(column.kind, 'TEXT')}" for column in table.columns]
        columns += [f"FOREIGN KEY ({c.name}) REFERENCES {c.to}(id)" for c in table.of("link")]
        lines.append(f"CREATE TABLE {table.name} ({', '.join(columns)});")
        lines += [
            f"INSERT INTO {table.name} VALUES ({', '.join(map(literal, row))});" for row in _rows(database, table)
        ]
    return "\n".join(lines) + "\n"


def _rows(database: Database, table: Table) -> Iterator[list[Cell]]:
    dice = Dice(f"{database.name}/{table.name}")
    names = {column.name: _names(column, dice, table.rows) for column in table.of("name")}
    for number in range(table.rows):
        row: dict[str, Cell] = {}
        for column in table.columns:
            if column.kind == "key":
                row[column.name] = number + 1
            elif dice.chance(column.missing):
                row[column.name] = None
            elif column.kind == "name":
                row[column.name] = names[column.name][number]
            elif column.kind == "link":
                # The last eighth is never pointed to, so that "has none" has an answer.
                row[column.name] = 1 + dice.often_early(database.table(column.to).rows * 7 // 8)
            else:
                row[column.name] = _value(column, row, dice)
        yield list(row.values())


def _value(column: Column, row: dict[str, Cell], dice: Dice) -> Cell:
    if column.kind == "category":
        return column.values[dice.often_early(len(column.values))]
    if column.kind == "date":
        start = row.get(column.after)
        if isinstance(start, str):
            return (date.fromisoformat(start) + timedelta(days=1 + dice.below(int(column.step)))).isoformat()
        days = (date(int(column.high), 12, 31) - date(int(column.low), 1, 1)).days
        return (date(int(column.low), 1, 1) + timedelta(days=dice.below(days))).isoformat()
    steps = dice.below(round((column.high - column.low) / column.step) + 1)
    value = column.low + steps * column.step
    return round(value, 2) if column.kind == "real" else int(value)


def _names(column: Column, dice: Dice, count: int) -> list[str]:
    """The given names first, then joined parts; one in twenty repeats an earlier one. In a drawn order."""
    names = list(column.values[:count])
    while len(names) < count:
        again = bool(names) and dice.chance(0.05)
        names.append(dice.pick(names) if again else " ".join(dice.pick(part) for part in column.parts))
    for last in range(count - 1, 0, -1):
        other = dice.below(last + 1)
        names[last], names[other] = names[other], names[last]
    return names
