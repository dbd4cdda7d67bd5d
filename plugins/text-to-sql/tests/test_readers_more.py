"""WikiSQL's, defog's and our own layout, as small copies made here."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from honewise import Reader
from honewise.data import TaskSet, load_tasks
from honewise.errors import DataError
from honewise_text_to_sql.domain import text_to_sql
from honewise_text_to_sql.readers.defog import accepted_queries
from honewise_text_to_sql.readers.wikisql import query_of

Judge = Callable[..., Any]


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith(".jsonl"):
        path.write_text("".join(json.dumps(row) + "\n" for row in value), encoding="utf-8")
    else:
        path.write_text(json.dumps(value), encoding="utf-8")
    return path


def load(path: Path | str, format: str | None = None, **options: Any) -> TaskSet:
    return load_tasks(text_to_sql(**options), path=path, format=format)


def place(shop: Path, folder: Path, ending: str = ".sqlite", inner: bool = True) -> None:
    target = folder / "shop" if inner else folder
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(shop, target / f"shop{ending}")


# WikiSQL ---------------------------------------------------------------------------------------------------------

WIKI_TABLES = [
    {
        "id": "1-10-2",
        "header": ["Player", "No.", "Player"],
        "types": ["text", "real", "text"],
        "rows": [["O'Neil", 3, "Été"], ["Bo", "1,200", None], ["Bo", 7.5, "x"]],
    },
    {"id": "2-1-1", "header": ["Only"], "types": ["text"], "rows": []},
]
WIKI_ROWS = [
    {"phase": 1, "table_id": "1-10-2", "question": "Who?", "sql": {"sel": 0, "agg": 0, "conds": [[1, 1, "1,000"]]}},
    {
        "phase": 1,
        "table_id": "1-10-2",
        "question": "How many Bos?",
        "sql": {"sel": 1, "agg": 3, "conds": [[0, 0, "Bo"]]},
    },
    {"phase": 1, "table_id": "2-1-1", "question": "?", "sql": {"sel": 0, "agg": 1, "conds": []}},
]


def wiki(folder: Path) -> Path:
    write(folder / "dev.jsonl", WIKI_ROWS)
    write(folder / "dev.tables.jsonl", WIKI_TABLES)
    return folder


def test_wikisql_without_its_database_builds_an_equal_one(tmp_path: Path, judge_text: Judge) -> None:
    tasks = load(wiki(tmp_path))
    assert tasks.format == "wikisql"
    first, second, third = tasks.tasks
    assert first.reference["sql"] == ["SELECT col0 FROM table_1_10_2 WHERE col1 > 1000.0"]
    assert second.reference["sql"] == ["SELECT COUNT(col1) FROM table_1_10_2 WHERE col0 = 'bo'"]
    assert third.reference["sql"] == ["SELECT MAX(col0) FROM table_2_1_1"]
    assert "col1 REAL, -- No.; such as 3, 1200.0, 7.5" in first.inputs["schema"]
    assert "'o''neil'" in first.inputs["schema"]
    assert "lower case" in first.inputs["hint"]
    domain = text_to_sql()
    for task in tasks:
        assert judge_text("execution", task, domain.gold(task) or "").correct is True
    assert judge_text("execution", first, "<answer>SELECT 'bo'</answer>").correct is True
    assert judge_text("execution", second, "<answer>SELECT 2</answer>").correct is True
    built = Path(first.reference["database"])
    assert tmp_path not in built.parents
    changed = built.stat().st_mtime_ns
    assert load(tmp_path / "dev.jsonl").tasks[0].reference["database"] == str(built)
    assert built.stat().st_mtime_ns == changed


def test_wikisql_with_its_database_uses_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(wiki(tmp_path) / "dev.db")) as connection:
        connection.execute("CREATE TABLE table_1_10_2 (col0 text, col1 real, col2 text)")
    assert load(tmp_path).tasks[0].reference["database"] == str(tmp_path / "dev.db")


@pytest.mark.parametrize(
    ("value", "kind", "literal"),
    [
        (5, "text", "5"),
        (2.5, "real", "2.5"),
        ("2", "text", "'2'"),
        ("2", "real", "2.0"),
        ("about 7 or 8", "real", "7.0"),
        ("-1,234.5", "real", "-1234.5"),
        ("unknown", "real", "'unknown'"),
        ("x'; DROP TABLE t; --", "text", "'x''; drop table t; --'"),
        ("a\x00b", "text", "'ab'"),
    ],
)
def test_values_of_conditions_are_literals(value: Any, kind: str, literal: str) -> None:
    sql = query_of("table_1", [kind], {"sel": 0, "agg": 0, "conds": [[0, 2, value]]})
    assert sql == f"SELECT col0 FROM table_1 WHERE col0 < {literal}"


@pytest.mark.parametrize(
    "row",
    [
        {"table_id": "9-9-9"},
        {"sql": {"sel": 0, "agg": 9, "conds": []}},
        {"sql": {"sel": 0, "agg": 0, "conds": [[7, 0, "x"]]}},
        {"table_id": "a; DROP TABLE t"},
    ],
)
def test_a_bad_row_of_wikisql_names_its_line(tmp_path: Path, row: dict[str, Any]) -> None:
    write(wiki(tmp_path) / "dev.jsonl", [WIKI_ROWS[0], {**WIKI_ROWS[0], **row}])
    with pytest.raises(DataError, match=r"dev\.jsonl:2"):
        load(tmp_path)


def test_wikisql_without_tables_says_so(tmp_path: Path) -> None:
    (wiki(tmp_path) / "dev.tables.jsonl").unlink()
    with pytest.raises(DataError, match=r"tables\.jsonl"):
        load(tmp_path)


def test_hugging_face_rows_of_wikisql() -> None:
    reader = text_to_sql().readers["wikisql"]
    assert isinstance(reader, Reader)
    assert reader.rows is not None
    conds = {"column_index": [0], "operator_index": [0], "condition": ["Bo"]}
    row = {"question": "?", "table": WIKI_TABLES[0], "sql": {"sel": 1, "agg": 3, "conds": conds, "human_readable": ""}}
    (task,) = reader.rows([row])
    assert task.reference["sql"] == ["SELECT COUNT(col1) FROM table_1_10_2 WHERE col0 = 'bo'"]


# defog -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "queries"),
    [
        ("SELECT 1;", ["SELECT 1"]),
        ("SELECT 1;SELECT 2; ;", ["SELECT 1", "SELECT 2"]),
        ("SELECT 'a;b' AS \"c;d\";SELECT 2", ["SELECT 'a;b' AS \"c;d\"", "SELECT 2"]),
        ("SELECT {a, b} FROM t", ["SELECT a FROM t", "SELECT b FROM t", "SELECT a, b FROM t"]),
        (
            "SELECT {t.a, t.b}, count(*) FROM t GROUP BY {};SELECT 1",
            [
                "SELECT t.a, count(*) FROM t GROUP BY t.a",
                "SELECT t.b, count(*) FROM t GROUP BY t.b",
                "SELECT t.a, t.b, count(*) FROM t GROUP BY t.a, t.b",
                "SELECT 1",
            ],
        ),
        ("", []),
    ],
)
def test_several_accepted_queries(text: str, queries: list[str]) -> None:
    assert accepted_queries(text) == queries


def defog_csv(path: Path, *rows: dict[str, str]) -> Path:
    base = {"db_name": "shop", "db_type": "sqlite", "query_category": "ratio", "query": "SELECT 1", "question": "What?"}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*base, "instructions"])
        writer.writeheader()
        writer.writerows({**base, **row} for row in rows)
    return path


def test_defog(tmp_path: Path, shop: Path, judge_text: Judge) -> None:
    defog_csv(
        tmp_path / "data" / "questions_gen_sqlite.csv",
        {"query": "SELECT name FROM customer;SELECT id FROM customer", "instructions": "Be exact"},
        {"query_category": "order_by", "query": "SELECT id FROM customer ORDER BY id"},
        {"question": "Sort them", "query": "SELECT id FROM customer ORDER BY id"},
        {"question": "Reorder nothing", "query": "SELECT id FROM customer ORDER BY id"},
    )
    place(shop, tmp_path / "sqlite_dbs", ".db", inner=False)
    write(
        tmp_path / "defog_data" / "shop" / "shop.json",
        {"table_metadata": {"customer": [{"column_name": "city", "data_type": "text", "column_description": "where"}]}},
    )
    tasks = load(tmp_path / "data")
    assert tasks.format == "defog"
    first, *rest = tasks.tasks
    assert first.inputs["hint"] == "Be exact"
    assert first.meta["difficulty"] == "ratio"
    assert "-- where; such as" in first.inputs["schema"]
    assert [task.reference["ordered"] for task in tasks] == [False, True, True, False]
    for sql in ("SELECT id FROM customer", "SELECT name FROM customer"):
        assert judge_text("execution", first, f"<answer>{sql}</answer>").correct is True
    reverse = "<answer>SELECT id FROM customer ORDER BY id DESC</answer>"
    assert [judge_text("execution", task, reverse).correct for task in rest] == [False, False, True]


def test_defog_for_another_database_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"for postgres"):
        load(defog_csv(tmp_path / "q.csv", {"db_type": "postgres"}))


def test_defog_without_a_database_takes_the_schema_of_its_metadata(tmp_path: Path) -> None:
    file = defog_csv(tmp_path / "q.csv", {})
    write(
        tmp_path / "defog_data" / "shop" / "shop.json",
        {"table_metadata": {"a": [{"column_name": "b", "data_type": "text"}]}},
    )
    assert load(file).tasks[0].inputs["schema"] == "CREATE TABLE a (\n  b text\n);"


# Our own ---------------------------------------------------------------------------------------------------------


def test_own_rows(tmp_path: Path, shop: Path) -> None:
    shutil.copy(shop, tmp_path / "my.sqlite")
    place(shop, tmp_path / "databases")
    file = write(
        tmp_path / "my.jsonl",
        [
            {"id": "a", "question": "كم عدد العملاء؟", "sql": ["SELECT 1", "SELECT 2"], "database": "my.sqlite"},
            {
                "id": "b",
                "question": "?",
                "db_id": "shop",
                "hint": "h",
                "difficulty": "hard",
                "match": "set",
                "meta": {"x": 1},
            },
        ],
    )
    tasks = load(file)
    assert tasks.format == "jsonl"
    first, second = tasks.tasks
    assert (first.id, first.meta["db_id"], first.reference["sql"]) == ("a", "my", ["SELECT 1", "SELECT 2"])
    assert second.reference["sql"] == []
    assert text_to_sql().gold(second) is None
    assert second.reference["match"] == "set"
    assert second.meta == {"db_id": "shop", "difficulty": "hard", "x": 1}
    assert second.reference["database"]


def test_cores_own_rows_are_read_as_well(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", [{"id": "z", "inputs": {"question": "q"}, "reference": {"sql": ["SELECT 1"]}}])
    tasks = load(file)
    assert (tasks.format, tasks.tasks[0].id) == ("jsonl", "z")


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"sqll": "x"}, "unknown key 'sqll'"),
        ({"sql": 5}, "'sql' must be"),
        ({"database": None}, "'database'"),
        ({"database": "gone.sqlite"}, "is not there"),
        ({"match": "exact"}, "'bag' and 'set'"),
        ({"ordered": "yes"}, "'ordered'"),
        ({"meta": []}, "'meta'"),
        ({"question": 3}, "'question'"),
    ],
)
def test_a_bad_row_of_our_own_is_said_with_its_line(tmp_path: Path, shop: Path, row: dict[str, Any], why: str) -> None:
    shutil.copy(shop, tmp_path / "my.sqlite")
    good = {"question": "q", "database": "my.sqlite"}
    file = write(tmp_path / "my.jsonl", [good, {**good, **row}])
    with pytest.raises(DataError, match=r"my\.jsonl:2") as raised:
        load(file, "jsonl")
    assert why in str(raised.value)
