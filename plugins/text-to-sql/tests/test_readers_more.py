"""WikiSQL's and our own layout, as small copies made here."""

from __future__ import annotations

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


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ({"sel": 0, "agg": 0, "conds": [[0, 4, "x"]]}, "operator 4; there are 0 to 3"),
        ({"sel": 0, "agg": 0, "conds": [[0, -1, "x"]]}, "operator -1"),
        ({"sel": 0, "agg": -1, "conds": []}, "aggregate -1; there are 0 to 5"),
        ({"sel": 3, "agg": 0, "conds": []}, "column 3; there are 0 to 2"),
        ({"sel": 0, "agg": 0, "conds": [[-1, 0, "x"]]}, "column -1"),
        ({"agg": 0, "conds": []}, "no 'sel'"),
    ],
)
def test_a_number_that_names_nothing_in_wikisql_is_said(tmp_path: Path, sql: dict[str, Any], why: str) -> None:
    write(wiki(tmp_path) / "dev.jsonl", [WIKI_ROWS[0], {**WIKI_ROWS[0], "sql": sql}])
    with pytest.raises(DataError, match=r"dev\.jsonl:2") as raised:
        load(tmp_path, "wikisql")
    assert why in str(raised.value)
    assert "Error(" not in str(raised.value)


def test_the_operator_that_means_nothing_leaves_its_row_without_gold(tmp_path: Path, judge_text: Judge) -> None:
    odd = {**WIKI_ROWS[0], "sql": {"sel": 0, "agg": 0, "conds": [[0, 0, "bo"], [1, 3, "5"]]}}
    write(wiki(tmp_path) / "dev.jsonl", [odd, WIKI_ROWS[1]])
    first, second = load(tmp_path).tasks
    assert first.reference["sql"] == []
    assert text_to_sql().gold(first) is None
    assert "no gold query" in judge_text("execution", first, "<answer>SELECT 1</answer>").reason
    assert second.reference["sql"] == ["SELECT COUNT(col1) FROM table_1_10_2 WHERE col0 = 'bo'"]


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


def own_ids(tmp_path: Path, shop: Path, *ids: Any) -> list[str]:
    shutil.copy(shop, tmp_path / "my.sqlite")
    rows = [{"question": "q", "database": "my.sqlite", **({} if own is ... else {"id": own})} for own in ids]
    return [task.id for task in load(write(tmp_path / "my.jsonl", rows))]


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        ((..., ...), ["0", "1"]),
        ((5, "a"), ["5", "a"]),
        (("a", ..., None, " "), ["a", "1", "2", "3"]),
        (("2", ...), ["2", "1"]),
    ],
)
def test_a_row_has_its_own_id_or_its_number(tmp_path: Path, shop: Path, given: Any, ids: list[str]) -> None:
    assert own_ids(tmp_path, shop, *given) == ids


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("a", "b", "a"), r"jsonl:3: its id 'a' is already that of \S*my\.jsonl:1$"),
        ((1, "1"), r"jsonl:2: its id '1' is already that of \S*my\.jsonl:1$"),
        (("1", ...), r"jsonl:2: its id '1' is already that of \S*my\.jsonl:1; a row without 'id' takes its number"),
    ],
)
def test_two_rows_with_one_id_are_refused_by_name(tmp_path: Path, shop: Path, given: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        own_ids(tmp_path, shop, *given)


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
