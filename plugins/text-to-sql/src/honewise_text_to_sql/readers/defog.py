"""defog's sql-eval: ``questions_gen_sqlite.csv`` and its like, with several accepted queries for a question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise, product
from math import comb, prod
from pathlib import Path
from typing import Any

from sqlglot import exp

from honewise import Reader, Task
from honewise.data.files import read_json, read_table
from honewise.errors import DataError
from honewise_text_to_sql.schema import Column, Schema, Table, describe, fold
from honewise_text_to_sql.sqltext import parse_sql, split_statements, words
from honewise_text_to_sql.tasks import make_task, show_schema

from .layout import Layout, Settings, choose

__all__ = ["accepted_queries", "defog"]

_COLUMNS = {"db_name", "query", "question", "query_category"}
_PREFERRED = ("questions_gen_sqlite.csv", "instruct_basic_sqlite.csv", "instruct_advanced_sqlite.csv")
_ASKS_FOR_ORDER = re.compile(r"\b(?:order|sort|arrange)\b", re.IGNORECASE)
_MOST_CHOICES = 128

Choice = tuple[str, ...]


def defog(settings: Settings) -> Reader:
    """The CSV with ``sqlite_dbs/<db_name>.db`` (or ``.sqlite``) beside it; a task's id is its row number from 0.

    The hint is what the data calls instructions, the difficulty its query category. The order of rows counts, as in
    defog's own evaluation, where the category is ``order_by`` or the question asks for an order.
    """

    def read(path: Path) -> Iterator[Task]:
        files = choose(path, _is_rows, _PREFERRED)
        if not files:
            raise DataError(f"{path}: no CSV of defog's rows ({', '.join(sorted(_COLUMNS))}) in this folder")
        layout = Layout(settings, files[0].parent)
        metadata = _Metadata(files[0].parent)
        for number, (line, row) in enumerate(read_table(files[0])):
            yield _task(number, f"{files[0]}:{line}", row, layout, metadata, settings)

    return Reader(
        read=read,
        recognise=lambda path: bool(choose(path, _is_rows, _PREFERRED)) if path.is_dir() else _is_rows(path),
    )


def _task(
    number: int, where: str, row: Mapping[str, str], layout: Layout, metadata: _Metadata, settings: Settings
) -> Task:
    missing = sorted(_COLUMNS - row.keys())
    if missing:
        raise DataError(f"{where}: the column {missing[0]!r} is missing")
    dialect = row.get("db_type") or "sqlite"
    if dialect != "sqlite":
        raise DataError(f"{where}: the queries are for {dialect}; give the file whose db_type is sqlite")
    name, question, category = row["db_name"], row["question"], row["query_category"]
    database, schema = layout.look_up(name)
    hints = row.get("full_instructions") or row.get("instructions") or ""
    task = make_task(
        str(number),
        question,
        accepted_queries(row["query"]),
        database=database,
        db_id=name,
        hint=hints,
        difficulty=category,
        ordered=category == "order_by" or bool(_ASKS_FOR_ORDER.search(question)),
    )
    return show_schema(task, metadata.complete(name, schema), settings.style)


def accepted_queries(text: str) -> list[str]:
    """Every query that ``text`` accepts: those between semicolons, with each choice of columns in braces.

    ``{a, b}`` stands for any of its columns, alone or together; ``GROUP BY {}`` after it for the same choice without
    its aliases (after several braces: for what was chosen in those since the ``{}`` before). A query with more than 128
    choices is read with each column alone and all together, if that is still too many with all together only.

    >>> accepted_queries("SELECT {a, b} FROM t; SELECT ';' FROM t;")
    ['SELECT a FROM t', 'SELECT b FROM t', 'SELECT a, b FROM t', "SELECT ';' FROM t"]
    """
    return list(dict.fromkeys(query for part in split_statements(text) for query in _choices(part)))


def _choices(query: str) -> Iterator[str]:
    texts, braces = _split_braces(query)
    for chosen in product(*_offers([columns for columns in braces if columns])):
        yield _filled(texts, braces, chosen)


def _split_braces(query: str) -> tuple[list[str], list[list[str]]]:
    """The texts around the braces, one more than there are, and the columns in each of them; none in ``{}``."""
    texts: list[str] = []
    braces: list[list[str]] = []
    done = depth = 0
    cuts: list[int] = []  # inside braces: where they open, and their commas
    for word in words(query):
        sign = query[word.start : word.end]
        if sign == "{":
            cuts, depth = [word.start], 0
        elif cuts and sign in ("(", ")"):
            depth += 1 if sign == "(" else -1
        elif cuts and sign == "," and depth == 0:
            cuts.append(word.start)
        elif cuts and sign == "}":
            columns = [query[start + 1 : end].strip() for start, end in pairwise([*cuts, word.start])]
            braces.append([column for column in columns if column])
            texts.append(query[done : cuts[0]])
            done, cuts = word.end, []
    return [*texts, query[done:]], braces


def _offers(braces: Sequence[Sequence[str]]) -> list[list[Choice]]:
    """What may be chosen in each of the braces: anything, or less where that makes too many queries."""
    sizes: list[Sequence[int]] = []
    for allowed in (lambda count: range(1, count + 1), lambda count: sorted({1, count}), lambda count: [count]):
        sizes = [allowed(len(columns)) for columns in braces]
        if prod(sum(comb(len(c), size) for size in its) for c, its in zip(braces, sizes, strict=True)) <= _MOST_CHOICES:
            break
    return [
        [choice for size in its for choice in combinations(columns, size)]
        for columns, its in zip(braces, sizes, strict=True)
    ]


def _filled(texts: Sequence[str], braces: Sequence[Sequence[str]], chosen: Sequence[Choice]) -> str:
    left = iter(chosen)
    since: list[str] = []
    repeated = False
    query = texts[0]
    for columns, text in zip(braces, texts[1:], strict=True):
        if columns:
            choice = next(left)
            since = [*choice] if repeated else [*since, *choice]
            query += ", ".join(choice)
        else:
            query += ", ".join(_unnamed(column) for column in since) or "{}"
        repeated = not columns
        query += text
    return query


def _unnamed(column: str) -> str:
    """The column without its alias, which GROUP BY cannot have."""
    select = "SELECT "
    tree = parse_sql(select + column)
    result = tree.expressions[-1] if isinstance(tree, exp.Select) else None
    if not isinstance(result, exp.Alias):
        return column
    before = column[: result.args["alias"].meta["start"] - len(select)]
    return re.sub(r"\s*\bas$", "", before.rstrip(), flags=re.IGNORECASE)


class _Metadata:
    """What defog-data says about its tables in ``defog_data/<name>/<name>.json``."""

    def __init__(self, home: Path) -> None:
        self._homes = (home / "defog_data", home.parent / "defog_data")
        self._read: dict[str, list[tuple[str, list[Column]]]] = {}

    def complete(self, name: str, schema: Schema | None) -> Schema | None:
        """The schema with column descriptions; without a database, the schema that the metadata tells of."""
        if name not in self._read:
            self._read[name] = list(self._tables(name))
        tables = self._read[name]
        if not tables:
            return schema
        if schema is None:
            return Schema(tuple(Table(table, tuple(columns)) for table, columns in tables))
        said = {(fold(table), fold(c.name)): c.description for table, columns in tables for c in columns}
        return describe(schema, {place: text for place, text in said.items() if text})

    def _tables(self, name: str) -> Iterator[tuple[str, list[Column]]]:
        for home in self._homes:
            path = home / name / f"{name}.json"
            if Path(name).name == name and path.is_file():
                listed: Any = read_json(path)
                found = listed.get("table_metadata") if isinstance(listed, dict) else None
                for table, columns in (found or {}).items():
                    yield table, [_column(column) for column in columns if isinstance(column, dict)]
                return


def _column(entry: Mapping[str, Any]) -> Column:
    said = " ".join(str(entry.get("column_description") or "").split())
    return Column(str(entry.get("column_name", "")), str(entry.get("data_type", "")), description=said)


def _is_rows(path: Path) -> bool:
    if not path.name.lower().removesuffix(".gz").endswith(".csv") or not path.is_file():
        return False
    try:
        _, row = next(iter(read_table(path)))
    except (DataError, StopIteration):
        return False
    return row.keys() >= _COLUMNS
