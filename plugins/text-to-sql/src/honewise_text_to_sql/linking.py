"""Which tables and columns of the database a query uses, and where it says so.

Aliases are resolved to tables, unqualified columns to the table in scope that has them, ``*`` in a select list to all
columns that it stands for. Names are compared as SQLite compares them. Names that a query makes itself (common table
expressions, sub-queries, aliases of results) are no items. SQLite reads a double-quoted word that names no column
as a string; so does this.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from sqlglot import exp

from .schema import fold
from .sqltext import MAX_CHARACTERS, parse_sql

__all__ = ["Item", "Names", "freeze", "schema_items"]

Names = tuple[tuple[str, tuple[str, ...]], ...]
"""Folded table names with their folded column names."""


class Item(NamedTuple):
    """A table ``(table, "")`` or a column ``(table, column)``; the table is "?" where none in scope has it."""

    table: str
    column: str


class Place(NamedTuple):
    start: int
    end: int


def freeze(tables: Mapping[str, Sequence[str]]) -> Names:
    """``{table: [column, ...]}`` as a value that can be cached by."""
    return tuple((fold(table), tuple(fold(column) for column in columns)) for table, columns in tables.items())


def schema_items(sql: str, names: Names) -> Mapping[Item, Place] | None:
    """Each item that ``sql`` uses with the place where it first stands; None where ``sql`` cannot be read.

    Places are character positions ``[start, end)`` in ``sql``. Cached by text and database.
    """
    return _schema_items(sql, names) if len(sql) <= MAX_CHARACTERS else None


@lru_cache(maxsize=4096)
def _schema_items(sql: str, names: Names) -> Mapping[Item, Place] | None:
    tree = parse_sql(sql)
    if tree is None:
        return None
    known = dict(names)
    found: dict[Item, Place] = {}
    try:
        for item, place in _items(tree, known):
            if item not in found or place.start < found[item].start:
                found[item] = place
    except RecursionError:
        return None
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


def _items(tree: exp.Expr, known: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Item, Place]]:
    for node in tree.walk():
        if isinstance(node, exp.Table):
            name = _table_name(node)
            if name and node.arg_key != "indexed":  # INDEXED BY names an index, in a table's clothes
                yield Item(name, ""), _place(node.this)
        elif isinstance(node, exp.Column):
            yield from _column_items(node, known)
        elif isinstance(node, exp.Star) and isinstance(node.parent, exp.Select) and node.arg_key == "expressions":
            for table in _sources(node.parent).values():
                yield from ((Item(table, column), _place(node)) for column in known.get(table, ()))
        elif isinstance(node, exp.Identifier) and node.arg_key == "using":
            name = fold(node.name)
            select = node.find_ancestor(exp.Select)
            for table in _sources(select).values() if select else ():
                if name in known.get(table, ()):
                    yield Item(table, name), _place(node)


def _place(*nodes: exp.Expr) -> Place:
    marks = [node.meta for node in nodes if "start" in node.meta]
    if not marks:
        return Place(0, 0)
    return Place(min(mark["start"] for mark in marks), max(mark["end"] for mark in marks) + 1)


def _table_name(table: exp.Table) -> str:
    """The folded name of a table of the database; empty for a common table expression or a table function."""
    if not isinstance(table.this, exp.Identifier):
        return ""
    name = fold(table.this.name)
    return "" if not table.args.get("db") and _is_cte(table, name) else name


def _is_cte(node: exp.Expr, name: str) -> bool:
    inside: exp.Expr | None = None  # the common table expression that we climbed out of
    parent = node.parent
    while parent is not None:
        if isinstance(parent, exp.CTE):
            inside = parent
        clause = parent.args.get("with_")
        if isinstance(clause, exp.With):
            for cte in clause.expressions:
                if fold(cte.alias) == name and (cte is not inside or clause.args.get("recursive")):
                    return True
        parent = parent.parent
    return False


def _column_items(column: exp.Column, known: Mapping[str, tuple[str, ...]]) -> Iterator[tuple[Item, Place]]:
    qualifier = column.args.get("table")
    place = _place(column.this, *([qualifier] if qualifier else []))
    if isinstance(column.this, exp.Star):
        table = _lookup(column, fold(column.table))
        yield from ((Item(table, name), place) for name in known.get(table or "", ()) if table)
        return
    name = fold(column.name)
    if qualifier is not None:
        table = _lookup(column, fold(column.table))
        if table != "":
            yield Item(table or "?", name), place
        return
    table = _owner(column, name, known)
    if table == "?" and column.this.args.get("quoted"):
        return
    if table:
        yield Item(table, name), place


def _lookup(node: exp.Expr, alias: str) -> str | None:
    """The table behind ``alias``: "" for one that the query made itself, None where nothing has that name."""
    for select in _scopes(node):
        sources = _sources(select)
        if alias in sources:
            return sources[alias]
    return None


def _owner(column: exp.Column, name: str, known: Mapping[str, tuple[str, ...]]) -> str:
    """The table that an unqualified column belongs to: "" for a name the query made itself, "?" where none has it."""
    for select in _scopes(column):
        tables = _sources(select).values()
        for table in tables:
            if name in known.get(table, ()):
                return table
        if name in {fold(result.alias) for result in select.expressions if result.alias}:
            return ""
        if "" in tables:
            return ""
        if not known and len(tables) == 1:
            return next(iter(tables))
    return "?"


def _scopes(node: exp.Expr) -> Iterator[exp.Select]:
    """The selects whose names ``node`` can see, the nearest first. ORDER BY of a compound sees its first select."""
    parent = node.parent
    while parent is not None:
        if isinstance(parent, exp.Select):
            yield parent
        elif isinstance(parent, exp.SetOperation) and node.find_ancestor(exp.Order, exp.Select, exp.SetOperation):
            first = parent.left
            while isinstance(first, exp.SetOperation):
                first = first.left
            inner = first.unnest()
            if isinstance(inner, exp.Select):
                yield inner
        parent = parent.parent


def _sources(select: exp.Select) -> dict[str, str]:
    """``{alias: table}`` of FROM and its joins; the table is "" for what the query made itself."""
    clause = select.args.get("from_")
    starts = ([clause.this] if clause else []) + [join.this for join in select.args.get("joins") or []]
    sources: dict[str, str] = {}
    for alias, table in _gather(starts):
        sources.setdefault(alias, table)
    return sources


def _gather(nodes: Iterable[exp.Expr]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        if isinstance(node, exp.Table):
            yield fold(node.alias_or_name), _table_name(node)
        elif isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table):
            yield from _gather([node.this])
        else:
            yield fold(node.alias_or_name), ""
        yield from _gather(join.this for join in node.args.get("joins") or [])
