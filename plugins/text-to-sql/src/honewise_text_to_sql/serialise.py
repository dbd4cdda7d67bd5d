"""A schema as text for a prompt, within a budget.

Two layouts. ``full`` is compact DDL, one column a line, with sample values and descriptions as comments.
``compact``, for tiny models, is one line a table, names only, and one line for each foreign key.

Where the text is over its budget, things are dropped in this order, each from all tables at once, until it fits:
sample values; descriptions; types; columns that are in no key, the last ones of the widest tables first; foreign keys;
the remaining columns; tables, from the last. What is left is always whole lines of the same layout; a comment says how
many columns or tables are not shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from .schema import Column, ForeignKey, Schema, Table, fold

__all__ = ["SchemaStyle", "estimate_tokens", "quote_name", "serialise"]

_DESCRIPTION_WIDTH = 160
_PLAIN = re.compile(r"[^\W\d]\w*\Z")
_WORDS = re.compile(r"[^\W\d_]+|\d|[^\w\s]|_")
_RESERVED = """
add all alter and as autoincrement between case cast check collate commit constraint create current_date
current_time current_timestamp default deferrable delete distinct drop else escape except exists foreign from group
having if in index insert intersect into is isnull join limit not nothing notnull null on or order primary raise
references returning select set table then to transaction union unique update using values when where
"""
_KEYWORDS = frozenset(_RESERVED.split())


@dataclass(frozen=True, slots=True)
class SchemaStyle:
    """``tokens`` is the budget (``estimate_tokens``); ``prune`` keeps the tables of the gold query only."""

    layout: Literal["full", "compact"] = "full"
    tokens: int = 2000
    prune: bool = False


@dataclass(frozen=True, slots=True)
class _Detail:
    samples: bool
    descriptions: bool
    types: bool
    foreign_keys: bool = True


def estimate_tokens(text: str) -> int:
    """About how many tokens a language model makes of ``text``: a token for every six letters of a word that
    begins, one for every digit and sign. No tokenizer is asked, so that a task is the same for all models.

    >>> estimate_tokens("singer_in_concert(id)")
    9
    """
    return sum(1 + (len(word) - 1) // 6 for word in _WORDS.findall(text))


def quote_name(name: str) -> str:
    """The name as SQLite takes it: bare where it can be, else in double quotes.

    >>> quote_name("Order Details"), quote_name("order"), quote_name("sänger")
    ('"Order Details"', '"order"', 'sänger')
    """
    if _PLAIN.match(name) and fold(name) not in _KEYWORDS:
        return name
    return '"' + name.replace('"', '""') + '"'


@lru_cache(maxsize=1024)
def serialise(schema: Schema, style: SchemaStyle) -> str:
    """The schema in the layout and within the budget of ``style``; empty for a schema without tables. Cached."""
    text = ""
    for text in _attempts(schema, style.layout):
        if estimate_tokens(text) <= style.tokens:
            break
    return text


def _attempts(schema: Schema, layout: str) -> Iterator[str]:
    write = _full if layout == "full" else _compact
    steps = [
        _Detail(True, True, True),
        _Detail(False, True, True),
        _Detail(False, False, True),
        _Detail(False, False, False),
    ]
    for detail in steps:
        yield write(schema, detail, {}, 0)
    bare = steps[-1]
    hidden: dict[str, int] = {}
    less = schema
    for less, hidden in _narrower(schema, _in_keys(schema), {}):
        yield write(less, bare, hidden, 0)
    bare = replace(bare, foreign_keys=False)
    least = less
    for least, more in _narrower(less, frozenset(), hidden):
        hidden = more
        yield write(least, bare, hidden, 0)
    for left in range(len(least.tables) - 1, 0, -1):
        yield write(replace(least, tables=least.tables[:left]), bare, hidden, len(least.tables) - left)


def _in_keys(schema: Schema) -> frozenset[tuple[str, str]]:
    linked = [(k.table, k.column) for k in schema.foreign_keys]
    linked += [(k.other_table, k.other_column) for k in schema.foreign_keys]
    linked += [(t.name, c.name) for t in schema.tables for c in t.columns if c.key]
    return frozenset((fold(table), fold(column)) for table, column in linked)


def _narrower(
    schema: Schema, keep: frozenset[tuple[str, str]], hidden: dict[str, int]
) -> Iterator[tuple[Schema, dict[str, int]]]:
    """Schemas with one column less each: the last column not in ``keep`` of the table that has most of those."""
    hidden = dict(hidden)
    tables = list(schema.tables)
    loose = [[c for c in t.columns if (fold(t.name), fold(c.name)) not in keep] for t in tables]
    while any(loose):
        widest = max(range(len(tables)), key=lambda at: len(loose[at]))
        gone = loose[widest].pop()
        table = tables[widest]
        tables[widest] = replace(table, columns=tuple(c for c in table.columns if c is not gone))
        hidden[table.name] = hidden.get(table.name, 0) + 1
        yield replace(schema, tables=tuple(tables)), dict(hidden)


def _full(schema: Schema, detail: _Detail, hidden: dict[str, int], tables_left_out: int) -> str:
    blocks = [_ddl(table, schema.foreign_keys, detail, hidden.get(table.name, 0)) for table in schema.tables]
    if tables_left_out:
        blocks.append(f"-- {tables_left_out} more tables")
    return "\n".join(blocks)


def _ddl(table: Table, keys: tuple[ForeignKey, ...], detail: _Detail, hidden: int) -> str:
    kind = "VIEW" if table.view else "TABLE"
    primary = [column for column in table.columns if column.key]
    lines: list[tuple[str, str]] = []
    for column in table.columns:
        words = [quote_name(column.name)]
        if detail.types and column.type:
            words.append(column.type)
        if column.key and len(primary) == 1:
            words.append("PRIMARY KEY")
        lines.append((" ".join(words), _comment(column, detail)))
    if len(primary) > 1:
        lines.append((f"PRIMARY KEY ({', '.join(quote_name(column.name) for column in primary)})", ""))
    if detail.foreign_keys:
        lines.extend((_reference(key), "") for key in keys if fold(key.table) == fold(table.name))
    last = len(lines) - 1
    body = [
        f"  {text}{',' if at < last else ''}{' -- ' + note if note else ''}" for at, (text, note) in enumerate(lines)
    ]
    if hidden:
        body.append(f"  -- {hidden} more columns")
    return "\n".join([f"CREATE {kind} {quote_name(table.name)} (", *body, ");"])


def _comment(column: Column, detail: _Detail) -> str:
    parts = []
    if detail.descriptions and column.description:
        said = column.description
        parts.append(said if len(said) <= _DESCRIPTION_WIDTH else said[: _DESCRIPTION_WIDTH - 1].rstrip() + "…")
    if detail.samples and column.samples:
        parts.append("such as " + ", ".join(column.samples))
    return "; ".join(parts)


def _reference(key: ForeignKey) -> str:
    other = f"{quote_name(key.other_table)}({quote_name(key.other_column)})"
    return f"FOREIGN KEY ({quote_name(key.column)}) REFERENCES {other}"


def _compact(schema: Schema, detail: _Detail, hidden: dict[str, int], tables_left_out: int) -> str:
    lines = []
    for table in schema.tables:
        names = [quote_name(column.name) for column in table.columns]
        if hidden.get(table.name):
            names.append("...")
        lines.append(f"{quote_name(table.name)}({', '.join(names)})")
    if detail.foreign_keys:
        lines.extend(
            f"{quote_name(k.table)}.{quote_name(k.column)} = {quote_name(k.other_table)}.{quote_name(k.other_column)}"
            for k in schema.foreign_keys
        )
    if tables_left_out:
        lines.append(f"... {tables_left_out} more tables")
    return "\n".join(lines)
