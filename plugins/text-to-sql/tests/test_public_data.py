"""Published data through the real path: every gold that runs is right, and the numbers agree with a second
implementation of EX, of the test-suite comparison and of Soft-F1, written here from their definitions."""

from __future__ import annotations

import itertools
import json
import random
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from honewise import Rubric, Scored, Task
from honewise.data import TaskSet, load_tasks
from honewise.scoring import Row, Scorer
from honewise.testing import data_slice
from honewise_text_to_sql.domain import text_to_sql

Rows = Sequence[tuple[Any, ...]]
RUBRIC = Rubric({"execution": 1, "syntax": 1}, correct="execution")


# A second implementation -----------------------------------------------------------------------------------------


def run(database: str, sql: str) -> Rows | None:
    with closing(sqlite3.connect(f"{Path(database).as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        try:
            return connection.execute(sql).fetchall()
        except sqlite3.Error:
            return None


def set_equal(gold: Rows, given: Rows) -> bool:
    """BIRD's own: ``set(predicted) == set(ground_truth)``."""
    return set(gold) == set(given)


def bag_equal(gold: Rows, given: Rows, ordered: bool) -> bool:
    """Some order of the columns makes the rows the same list, or the same list when sorted."""
    if len(gold) != len(given):
        return False
    if not gold:
        return True
    if len(gold[0]) != len(given[0]):
        return False
    for order in itertools.permutations(range(len(gold[0]))):
        moved = [tuple(row[at] for at in order) for row in given]
        if moved == list(gold) if ordered else Counter(moved) == Counter(gold):
            return True
    return False


def rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    if isinstance(value, (int, float)):
        return 1, value
    return (2, value) if isinstance(value, str) else (3, value)


def f1(gold: Rows, given: Rows, ordered: bool) -> float:
    """Soft-F1 from its published description; rows sorted first where the order does not count."""
    wanted: list[tuple[Any, ...]] = []
    got: list[tuple[Any, ...]] = []
    for source, unique in ((gold, wanted), (given, got)):
        for row in source:
            if row not in unique:
                unique.append(row)
    if not wanted and not got:
        return 1.0
    if not ordered:
        for unique in (wanted, got):
            unique.sort(key=lambda row: sorted(rank(value) for value in row))
    tp = fp = fn = 0.0
    for at in range(max(len(wanted), len(got))):
        if at >= len(got):
            fn += 1
        elif at >= len(wanted):
            fp += 1
        else:
            width = len(wanted[at])
            tp += len([value for value in got[at] if value in wanted[at]]) / width
            fp += len([value for value in got[at] if value not in wanted[at]]) / width
            fn += len([value for value in wanted[at] if value not in got[at]]) / width
    precision = tp / (tp + fp) if tp + fp > 0 else 0
    recall = tp / (tp + fn) if tp + fn > 0 else 0
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0


def orders(sql: str) -> bool:
    """Whether ORDER BY stands outside of all parentheses; good enough for published gold queries."""
    depth, outside = 0, []
    for letter in sql.lower():
        depth += (letter == "(") - (letter == ")")
        outside.append(letter if depth == 0 else " ")
    return "order by" in " ".join("".join(outside).split())


# The real path ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorer() -> Iterator[Scorer]:
    with Scorer("text-to-sql", rubric=RUBRIC, workers=2) as made:
        yield made


def load(name: str, **options: Any) -> TaskSet:
    return load_tasks(text_to_sql(**options), path=data_slice(f"text_to_sql/{name}"))


def in_answer(sql: str) -> str:
    return f"<answer>\n```sql\n{sql}\n```\n</answer>"


def check(row: Scored, sql: str) -> bool:
    """Compare one scored row with the second implementation; False where nothing could be compared."""
    task, cell = row.task, row.rewards["execution"]
    database, accepted = task.reference["database"], task.reference["sql"]
    golds = [(gold, rows) for gold in accepted if (rows := run(database, gold)) is not None]
    given = run(database, sql)
    if not golds:
        assert cell.unscored
        return False
    assert cell.unscored is None
    if given is None:
        assert cell.value == 0
        assert row.rewards["syntax"].value == 0
        return False
    ordered = {
        gold: orders(gold) if task.reference["ordered"] is None else task.reference["ordered"] for gold in accepted
    }
    in_set = any(set_equal(rows, given) for _, rows in golds)
    in_bag = any(bag_equal(rows, given, ordered[gold]) for gold, rows in golds)
    assert row.rewards["syntax"].value == 1
    assert cell.parts["set"] == in_set, sql
    assert cell.parts["bag"] == in_bag, sql
    assert cell.parts["soft_f1"] == pytest.approx(max(f1(rows, given, ordered[gold]) for gold, rows in golds)), sql
    assert row.correct == (in_set if task.reference["match"] == "set" else in_bag)
    return True


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("spider", "spider"),
        ("machinespider_de", "spider"),
        ("spider_train_gold", "spider"),
        ("defog_sql_eval", "defog"),
    ],
)
def test_every_gold_query_that_runs_is_correct(scorer: Scorer, name: str, format: str) -> None:
    tasks = load(name)
    assert tasks.format == format
    golds = [scorer.domain.gold(task) for task in tasks]
    scored = scorer.score([Row(task, gold or "") for task, gold in zip(tasks, golds, strict=True)])
    count = 0
    for row in scored:
        if run(row.task.reference["database"], row.task.reference["sql"][0]) is None:
            assert row.correct is None
            assert "no gold query runs" in (row.rewards["execution"].unscored or "")
        else:
            assert row.correct is True
            assert row.total == 2
            count += 1
    assert count > 0


def mutants(sql: str, columns: int) -> list[str]:
    sql = sql.rstrip("; ")
    names = [f"c{at}" for at in range(columns)]
    inner = f"WITH m({', '.join(names)}) AS (SELECT * FROM ({sql}))"
    return [
        f"{inner} SELECT {', '.join(reversed(names))} FROM m",
        f"{inner} SELECT DISTINCT * FROM m",
        f"{inner} SELECT * FROM m ORDER BY 1 DESC, {columns}",
        f"{inner} SELECT * FROM m LIMIT 2",
        f"{inner} SELECT * FROM m UNION ALL SELECT * FROM m",
        f"{inner} SELECT c0 FROM m",
        f"{inner} SELECT *, 1 FROM m",
        f"{inner} SELECT * FROM m WHERE c0 <> (SELECT min(c0) FROM m)",
        sql[: len(sql) // 2],
        re.sub(r"=\s*(?=['\"\d])", "<> ", sql, count=1),
    ]


@pytest.mark.parametrize("name", ["spider", "machinespider_de", "defog_sql_eval"])
def test_mutated_gold_is_judged_as_by_a_second_implementation(scorer: Scorer, name: str) -> None:
    dice = random.Random(7)
    rows: list[tuple[Task, str]] = []
    for task in load(name):
        gold = run(task.reference["database"], task.reference["sql"][0])
        if not gold or len(gold[0]) > 6:
            continue
        made = mutants(task.reference["sql"][0], len(gold[0]))
        rows += [(task, sql) for sql in dice.sample(made, 4)]
    scored = scorer.score([Row(task, in_answer(sql)) for task, sql in rows])
    compared = sum(check(row, sql) for row, (_, sql) in zip(scored, rows, strict=True))
    assert compared > len(rows) / 2
    assert len({row.correct for row in scored}) == 2


# BIRD, whose databases are not to be had: its schemas, filled with rows of our own ---------------------------------


def fill(folder: Path, entry: dict[str, Any], words: Sequence[str]) -> None:
    dice = random.Random(entry["db_id"])
    path = folder / entry["db_id"] / f"{entry['db_id']}.sqlite"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        for number, table in enumerate(entry["table_names_original"]):
            columns = [
                (name, kind)
                for (owner, name), kind in zip(entry["column_names_original"], entry["column_types"], strict=True)
                if owner == number
            ]
            declared = ", ".join(f'"{name}" {kind}' for name, kind in columns)
            connection.execute(f'CREATE TABLE "{table}" ({declared})')
            marks = ", ".join("?" * len(columns))
            for _ in range(12):
                connection.execute(
                    f'INSERT INTO "{table}" VALUES ({marks})', [value(kind, dice, words) for _, kind in columns]
                )
        connection.commit()


def value(kind: str, dice: random.Random, words: Sequence[str]) -> Any:
    if dice.random() < 0.1:
        return None
    if kind in ("integer", "real", "number"):
        return dice.randint(1, 5) if kind == "integer" else dice.choice([0.5, 1.5, 2.0])
    if kind in ("date", "datetime"):
        return f"201{dice.randint(2, 3)}-0{dice.randint(1, 9)}-1{dice.randint(0, 9)}"
    return dice.choice(words)


@pytest.fixture(scope="module")
def bird_databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = data_slice("text_to_sql/bird_minidev")
    folder = tmp_path_factory.mktemp("bird")
    quoted = {
        part
        for row in json.loads((source / "mini_dev_sqlite.json").read_text(encoding="utf-8"))
        for part in row["SQL"].split("'")[1::2]
    }
    for entry in json.loads((source / "dev_tables.json").read_text(encoding="utf-8")):
        fill(folder, entry, sorted(quoted)[:60])
    return folder


def test_bird_without_databases_loads_and_says_why_nothing_is_executed(scorer: Scorer) -> None:
    tasks = load("bird_minidev")
    assert tasks.format == "bird"
    task = tasks.tasks[0]
    assert task.inputs["schema"].startswith("CREATE TABLE")
    assert task.meta["difficulty"] in ("simple", "moderate", "challenging")
    assert any(each.inputs["hint"] for each in tasks)
    (row,) = scorer.score([Row(task, scorer.domain.gold(task) or "")])
    assert row.correct is None
    assert row.total is None
    assert "databases" in (row.rewards["execution"].unscored or "")


@pytest.mark.parametrize("model", ["gpt-4", "gpt-35-turbo"])
def test_published_predictions_are_judged_as_by_a_second_implementation(bird_databases: Path, model: str) -> None:
    file = data_slice("text_to_sql/bird_minidev") / f"predict_mini_dev_{model}_sqlite.json"
    predictions = json.loads(file.read_text(encoding="utf-8"))
    said = [predictions[key].split("\t----- bird -----\t")[0] for key in sorted(predictions, key=int)]
    options = {"databases": str(bird_databases)}
    tasks = load("bird_minidev", **options)
    assert len(tasks) == len(said)
    with Scorer("text-to-sql", options, rubric=RUBRIC, workers=2) as scorer:
        golds = scorer.score([Row(task, scorer.domain.gold(task) or "") for task in tasks])
        assert all(row.correct is True for row in golds)
        rows = [(task, sql) for task, sql in zip(tasks, said, strict=True) if sql.strip()]
        scored = scorer.score([Row(task, in_answer(sql)) for task, sql in rows])
    compared = sum(check(row, sql) for row, (_, sql) in zip(scored, rows, strict=True))
    assert compared > len(rows) / 2
    assert 0 < sum(bool(row.correct) for row in scored) < len(scored)
    numbers = scorer.domain.metrics["ex"](scored)
    assert numbers["ex"] == numbers["ex_set"]
    assert {"ex/simple", "ex/moderate", "ex/challenging"} <= numbers.keys()
