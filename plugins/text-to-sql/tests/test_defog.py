"""defog's layout, as small copies made here, and its several accepted queries."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from honewise.data import TaskSet, load_tasks
from honewise.errors import DataError
from honewise_text_to_sql.domain import text_to_sql
from honewise_text_to_sql.readers.defog import accepted_queries

Judge = Callable[..., Any]


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def load(path: Path) -> TaskSet:
    return load_tasks(text_to_sql(), path=path)


def place(shop: Path, folder: Path, ending: str = ".sqlite", inner: bool = True) -> None:
    target = folder / "shop" if inner else folder
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(shop, target / f"shop{ending}")


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
        # every one of several braces
        (
            "SELECT {a} FROM t WHERE x IN (SELECT {b, c} FROM u)",
            [
                "SELECT a FROM t WHERE x IN (SELECT b FROM u)",
                "SELECT a FROM t WHERE x IN (SELECT c FROM u)",
                "SELECT a FROM t WHERE x IN (SELECT b, c FROM u)",
            ],
        ),
        # the choices since the last {}, which may be repeated
        (
            "SELECT {a}, {b} FROM t GROUP BY {} HAVING n > (SELECT {c} FROM u GROUP BY {} ORDER BY {})",
            ["SELECT a, b FROM t GROUP BY a, b HAVING n > (SELECT c FROM u GROUP BY c ORDER BY c)"],
        ),
        # aliases stay where they are given
        (
            "SELECT {x AS i, t.y n, f(z) AS 'a b'} FROM t GROUP BY { }",
            [
                "SELECT x AS i FROM t GROUP BY x",
                "SELECT t.y n FROM t GROUP BY t.y",
                "SELECT f(z) AS 'a b' FROM t GROUP BY f(z)",
                "SELECT x AS i, t.y n FROM t GROUP BY x, t.y",
                "SELECT x AS i, f(z) AS 'a b' FROM t GROUP BY x, f(z)",
                "SELECT t.y n, f(z) AS 'a b' FROM t GROUP BY t.y, f(z)",
                "SELECT x AS i, t.y n, f(z) AS 'a b' FROM t GROUP BY x, t.y, f(z)",
            ],
        ),
        (
            "SELECT {CAST(has AS TEXT)} FROM t GROUP BY {}",
            ["SELECT CAST(has AS TEXT) FROM t GROUP BY CAST(has AS TEXT)"],
        ),
        # commas inside parentheses and quotes
        (
            "SELECT {COALESCE(a, (b)), c} FROM t",
            ["SELECT COALESCE(a, (b)) FROM t", "SELECT c FROM t", "SELECT COALESCE(a, (b)), c FROM t"],
        ),
        (
            "SELECT {a || ',)', \"b,}\"} FROM t LIMIT 1",
            [
                "SELECT a || ',)' FROM t LIMIT 1",
                'SELECT "b,}" FROM t LIMIT 1',
                "SELECT a || ',)', \"b,}\" FROM t LIMIT 1",
            ],
        ),
        # what is no choice
        ("SELECT '{a, b}', \"{\" FROM t -- {c}", ["SELECT '{a, b}', \"{\" FROM t -- {c}"]),
        ("SELECT a FROM t GROUP BY {}", ["SELECT a FROM t GROUP BY {}"]),
        ("SELECT {a, b FROM t", ["SELECT {a, b FROM t"]),
    ],
)
def test_several_accepted_queries(text: str, queries: list[str]) -> None:
    assert accepted_queries(text) == queries


@pytest.mark.parametrize(
    ("widths", "count"),
    [
        ((7,), 127),
        ((8,), 9),  # each alone and all together
        ((3, 4), 105),
        ((4, 4), 25),
        ((1, 8), 9),
        ((40,), 41),
        ((130,), 1),  # all together only
        ((12, 12), 1),
        ((2, 3, 1), 21),
    ],
)
def test_too_many_choices_are_narrowed_and_none_keeps_its_braces(widths: tuple[int, ...], count: int) -> None:
    groups = [[f"c{group}_{at}" for at in range(width)] for group, width in enumerate(widths)]
    queries = accepted_queries("SELECT " + ", ".join("{" + ", ".join(group) + "}" for group in groups) + " FROM t")
    assert len(queries) == len(set(queries)) == count
    assert not any("{" in query or "}" in query for query in queries)
    assert "SELECT " + ", ".join(column for group in groups for column in group) + " FROM t" in queries
    if count > 1:
        assert "SELECT " + ", ".join(group[-1] for group in groups) + " FROM t" in queries


def test_each_choice_of_columns_is_right(tmp_path: Path, shop: Path, judge_text: Judge) -> None:
    counted = "SELECT {COALESCE(city, 'none') AS place, name}, count(*) AS n FROM customer GROUP BY {}"
    wide = "SELECT {id, name, city, id + 1, id + 2, id + 3, id + 4} FROM customer"
    file = defog_csv(tmp_path / "q.csv", {"query": counted}, {"query": wide})
    place(shop, tmp_path / "sqlite_dbs")
    by_place, columns = load(file).tasks

    def right(task: Any, sql: str) -> bool:
        return bool(judge_text("execution", task, f"<answer>{sql}</answer>").correct)

    assert right(by_place, "SELECT coalesce(city, 'none'), count(*) FROM customer GROUP BY 1")
    assert right(by_place, "SELECT name, count(*) FROM customer GROUP BY 1")
    assert right(by_place, "SELECT coalesce(city, 'none'), name, count(*) FROM customer GROUP BY 1, 2")
    assert not right(by_place, "SELECT city, count(*) FROM customer GROUP BY 1")
    assert not right(by_place, "SELECT count(*) FROM customer GROUP BY name")
    assert right(columns, "SELECT id + 4 FROM customer")
    assert right(columns, "SELECT city, id + 4 FROM customer")
    assert not right(columns, "SELECT id + 5 FROM customer")


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
