"""Every gold statement of the public slices, and published predictions, through the sandbox."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from honewise.sandbox import SqlResult, execution_match, is_ordered, results_match, run_sql, soft_f1
from honewise.sandbox.tokens import only_statement
from honewise.testing import data_slice


def spider(name: str) -> Iterator[tuple[Path, str]]:
    root = data_slice(name)
    for row in json.loads((root / "dev.json").read_text(encoding="utf-8")):
        yield root / "database" / row["db_id"] / f"{row['db_id']}.sqlite", row["query"]


def train_gold() -> Iterator[tuple[Path, str]]:
    root = data_slice("text_to_sql/spider_train_gold")
    for line in (root / "train_gold.sql").read_text(encoding="utf-8").splitlines():
        query, _, name = line.rpartition("\t")
        yield root / "database" / name / f"{name}.sqlite", query


def defog() -> Iterator[tuple[Path, str]]:
    root = data_slice("text_to_sql/defog_sql_eval")
    with (root / "questions_gen_sqlite.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for query in filter(str.strip, row["query"].split(";")):
                yield root / "sqlite_dbs" / f"{row['db_name']}.sqlite", query


SLICES = {
    "spider": lambda: spider("text_to_sql/spider"),
    "machinespider": lambda: spider("text_to_sql/machinespider_de"),
    "department_store": train_gold,
    "defog": defog,
}


def plainly(database: Path, sql: str) -> list[tuple[object, ...]] | None:
    """What plain ``sqlite3`` gives for a copy in memory."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.Error:
        return None
    finally:
        connection.close()


@pytest.mark.parametrize("name", SLICES)
def test_gold_gives_what_sqlite_gives_and_equals_itself(name: str) -> None:
    rows = list(SLICES[name]())
    databases = {database: hashlib.sha256(database.read_bytes()).digest() for database, _ in rows}
    folders = {database.parent: sorted(database.parent.iterdir()) for database in databases}
    ran = 0
    for database, sql in rows:
        expected = plainly(database, sql)
        result = run_sql(database, sql)
        assert result.ok == (expected is not None), (sql, result)
        if expected is None:
            assert result.kind == "syntax"
            continue
        ran += 1
        assert result.rows == expected
        assert execution_match(expected, result.rows)
        for ordered in (False, True):
            assert results_match(expected, result.rows, ordered=ordered)
            assert soft_f1(expected, result.rows, ordered=ordered) == pytest.approx(1.0)
        check_mutations(result, is_ordered(sql))
    assert ran > len(rows) * 0.7
    assert databases == {database: hashlib.sha256(database.read_bytes()).digest() for database in databases}
    assert folders == {folder: sorted(folder.iterdir()) for folder in folders}


def check_mutations(result: SqlResult, ordered: bool) -> None:
    """Changes of a result whose worth is known."""
    rows = result.rows
    if not rows:
        return
    swapped = [row[::-1] for row in rows]
    assert results_match(rows, swapped, ordered=ordered)
    assert results_match(rows, rows[::-1], ordered=False)
    assert execution_match(rows, rows + rows[:1])
    assert not results_match(rows, rows + rows[:1], ordered=False)
    changed = [("\0not there",) * len(rows[0]), *rows[1:]]
    assert not results_match(rows, changed, ordered=False)
    if rows[0] not in rows[1:]:
        assert not execution_match(rows, changed)
    assert soft_f1(rows, changed, ordered=True) < 1.0
    assert soft_f1(rows, [], ordered=ordered) == 0.0


def test_is_ordered_agrees_with_the_parser_of_the_data_set() -> None:
    root = data_slice("text_to_sql/spider")
    for row in json.loads((root / "dev.json").read_text(encoding="utf-8")):
        last = row["sql"]
        while any(last[name] for name in ("union", "intersect", "except")):
            last = last["union"] or last["intersect"] or last["except"]
        assert is_ordered(row["query"]) == bool(last["orderBy"]), row["query"]


def test_published_predictions_are_refused_or_read_but_never_raise(tmp_path: Path) -> None:
    """Without their databases most cannot run; as text they are real model output."""
    root = data_slice("text_to_sql/bird_minidev")
    database = tmp_path / "empty.sqlite"
    sqlite3.connect(database).close()
    for path in sorted(root.glob("predict_mini_dev_*.json")):
        for value in json.loads(path.read_text(encoding="utf-8")).values():
            sql = str(value).split("\t----- bird -----")[0]
            result = run_sql(database, sql)
            assert result.kind in ("ok", "syntax", "denied", "error")
            only_statement(sql)
            is_ordered(sql)
