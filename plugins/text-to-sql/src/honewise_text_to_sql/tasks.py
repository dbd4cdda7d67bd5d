"""The one shape of a text-to-SQL task, whichever reader or generator made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from honewise import Task

from .linking import freeze, schema_items
from .schema import Schema
from .serialise import SchemaStyle, serialise

__all__ = ["Match", "make_task", "show_schema"]

Match = Literal["bag", "set"]


def make_task(
    id: str,
    question: str,
    sql: str | Sequence[str],
    *,
    database: str | Path | None = None,
    db_id: str = "",
    hint: str = "",
    difficulty: str = "",
    match: Match = "bag",
    ordered: bool | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Task:
    """A task that asks for a SQLite query. The schema text is filled in later, under the domain's options.

    Args:
        id: the data set's own id, else the zero-based row index as text.
        question: what is asked, in any language.
        sql: the gold query, or several that are all accepted; empty where the data has none.
        database: the SQLite file that queries run on; None where it is absent (execution is then unscored).
        db_id: the data set's name of the database; left out, the stem of ``database``.
        hint: what the data set gives beside the question: BIRD's evidence, defog's instructions.
        difficulty: the data set's own word for it; metrics report by it.
        match: which comparison of results the data set calls right: ``"set"`` for BIRD, else ``"bag"``.
        ordered: whether the order of rows counts; None: where the accepted query has an ORDER BY of its own.
        meta: anything more worth reporting by.

    Returns:
        A ``Task`` with

        - ``inputs``: ``question``, ``hint``, ``schema`` (text, empty until ``show_schema`` filled it);
        - ``reference``: ``sql`` (list of accepted queries), ``database`` (absolute path or None),
          ``match``, ``ordered``, ``tables`` (``{table: [column, ...]}``, filled with the schema);
        - ``meta``: ``db_id``, ``difficulty`` and what ``meta`` adds.
    """
    accepted = [sql] if isinstance(sql, str) else list(sql)
    path = None if database is None else Path(database).absolute()
    return Task(
        id=id,
        inputs={"question": question.strip(), "hint": hint.strip(), "schema": ""},
        reference={
            "sql": [text for text in (query.strip() for query in accepted) if text],
            "database": None if path is None else str(path),
            "match": match,
            "ordered": ordered,
            "tables": {},
        },
        meta={"db_id": db_id or (path.stem if path else ""), "difficulty": difficulty, **(meta or {})},
    )


def show_schema(task: Task, schema: Schema | None, style: SchemaStyle) -> Task:
    """The task with ``inputs["schema"]`` written in ``style`` and ``reference["tables"]`` filled; None: unchanged."""
    if schema is None:
        return task
    shown = schema
    if style.prune:
        shown = schema.only(_gold_tables(task, schema)) if task.reference["sql"] else schema
        shown = shown if shown.tables else schema
    return replace(
        task,
        inputs={**task.inputs, "schema": serialise(shown, style)},
        reference={**task.reference, "tables": schema.names},
    )


def _gold_tables(task: Task, schema: Schema) -> set[str]:
    names = freeze(schema.names)
    used: set[str] = set()
    for sql in task.reference["sql"]:
        items = schema_items(sql, names)
        if items is None:
            return set(schema.names)
        used.update(item.table for item in items)
    return used
