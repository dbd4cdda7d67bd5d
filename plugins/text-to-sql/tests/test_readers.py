"""Spider's and BIRD's layouts, as small copies made here; telling formats apart; what the options do."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from honewise import Reader, Task
from honewise.data import TaskSet, load_tasks
from honewise.data.formats import readers_of, recognise
from honewise.errors import DataError
from honewise.testing import data_slice
from honewise_text_to_sql.domain import text_to_sql
from honewise_text_to_sql.readers.hardness import hardness

SPIDER = [
    {"db_id": "shop", "question": "How many?", "query": "SELECT count(*) FROM customer"},
    {"db_id": "bank", "question": "Which?", "query": "SELECT name FROM account"},
]
BIRD = [
    {
        "question_id": 7,
        "db_id": "shop",
        "question": "How many?",
        "evidence": "count all",
        "SQL": "SELECT count(*) FROM customer",
    },
    {"question_id": 9, "db_id": "bank", "question": "Which?", "evidence": "", "SQL": "SELECT name FROM account"},
]
BANK = {
    "db_id": "bank",
    "table_names_original": ["account"],
    "column_names_original": [[-1, "*"], [0, "name"]],
    "column_names": [[-1, "*"], [0, "holder"]],
    "column_types": ["text", "text"],
    "primary_keys": [],
    "foreign_keys": [],
}


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


# Spider ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [".", "dev.json"])
def test_spider(tmp_path: Path, shop: Path, given: str) -> None:
    write(tmp_path / "dev.json", SPIDER)
    write(tmp_path / "train_spider.json", SPIDER[:1])
    write(tmp_path / "tables.json", [BANK])
    (tmp_path / "dev_gold.sql").write_text("SELECT 1\tshop\n")
    place(shop, tmp_path / "database")
    tasks = load(tmp_path / given)
    assert tasks.format == "spider"
    first, second = tasks.tasks
    assert (first.id, second.id) == ("0", "1")
    assert first.reference["database"] == str(tmp_path / "database" / "shop" / "shop.sqlite")
    assert first.reference["sql"] == ["SELECT count(*) FROM customer"]
    assert first.reference["match"] == "bag"
    assert "CREATE TABLE customer" in first.prompt[0]["content"]
    assert "How many?" in first.prompt[0]["content"]
    assert "SELECT count" not in first.prompt[0]["content"]
    assert second.reference["database"] is None
    assert second.inputs["schema"] == "CREATE TABLE account (\n  name text -- holder\n);"
    assert second.reference["tables"] == {"account": ["name"]}


@pytest.mark.parametrize(
    ("folder", "ending", "inner"),
    [
        ("database", ".sqlite", True),
        ("databases", ".db", True),
        ("test_database", ".sqlite", False),
        ("dev_databases", ".sqlite", True),
        ("", ".sqlite", True),
    ],
)
def test_databases_are_found_where_they_are_published(
    tmp_path: Path, shop: Path, folder: str, ending: str, inner: bool
) -> None:
    data = tmp_path / "data"
    write(data / "dev.json", SPIDER[:1])
    place(shop, data / folder, ending, inner)
    assert load(data).tasks[0].reference["database"]


def test_a_folder_of_databases_elsewhere(tmp_path: Path, shop: Path) -> None:
    file = write(tmp_path / "data" / "dev.json", SPIDER)
    place(shop, tmp_path / "far" / "databases")
    write(tmp_path / "far" / "tables.json", [BANK])
    first, second = load(file, databases=str(tmp_path / "far" / "databases")).tasks
    assert first.reference["database"]
    assert second.reference["tables"] == {"account": ["name"]}


def test_a_name_of_a_database_is_no_path(tmp_path: Path, shop: Path) -> None:
    place(shop, tmp_path / "secret")
    write(tmp_path / "data" / "dev.json", [{**SPIDER[0], "db_id": "../secret/shop/shop"}])
    assert load(tmp_path / "data").tasks[0].reference["database"] is None


def test_a_broken_database_is_left_to_scoring_to_report(tmp_path: Path) -> None:
    write(tmp_path / "dev.json", [SPIDER[1]])
    write(tmp_path / "tables.json", [BANK])
    (tmp_path / "database" / "bank").mkdir(parents=True)
    (tmp_path / "database" / "bank" / "bank.sqlite").write_text("no database")
    (task,) = load(tmp_path).tasks
    assert task.reference["database"]
    assert task.inputs["schema"]


def test_both_training_files_are_one_training_set(tmp_path: Path) -> None:
    write(tmp_path / "train_spider.json", SPIDER)
    write(tmp_path / "train_others.json", SPIDER[:1])
    assert [task.id for task in load(tmp_path)] == ["0", "1", "2"]


def test_a_gold_file_without_questions(tmp_path: Path, shop: Path) -> None:
    (tmp_path / "dev_gold.sql").write_text("SELECT 'a\tb' FROM customer\tshop\r\n\nSELECT 1\tshop\n")
    place(shop, tmp_path / "database")
    tasks = load(tmp_path)
    assert tasks.format == "spider"
    assert [task.reference["sql"] for task in tasks] == [["SELECT 'a\tb' FROM customer"], ["SELECT 1"]]


def test_compressed_and_in_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "spider_data").mkdir()
    with gzip.open(tmp_path / "spider_data" / "dev.json.gz", "wt", encoding="utf-8") as file:
        json.dump(SPIDER, file)
    assert len(load(tmp_path)) == 2


def test_hugging_face_rows_of_spider(tmp_path: Path, shop: Path) -> None:
    place(shop, tmp_path / "database")
    reader = text_to_sql(databases=str(tmp_path / "database")).readers["spider"]
    assert isinstance(reader, Reader)
    assert reader.rows is not None
    first, second = reader.rows(iter(SPIDER))
    assert first.reference["database"]
    assert (second.id, second.reference["database"], second.inputs["schema"]) == ("1", None, "")


def test_hardness_is_spiders_own() -> None:
    rows = json.loads((data_slice("text_to_sql/spider") / "dev.json").read_text(encoding="utf-8"))
    grades = [hardness(row["sql"]) for row in rows]
    assert set(grades) == {"easy", "medium", "hard", "extra"}
    by_query = {row["query"]: grade for row, grade in zip(rows, grades, strict=True)}
    # graded by Spider's published evaluation
    assert by_query["SELECT count(*) FROM singer"] == "easy"
    assert by_query["SELECT name ,  country ,  age FROM singer ORDER BY age DESC"] == "medium"
    assert by_query["SELECT song_name FROM singer WHERE age  >  (SELECT avg(age) FROM singer)"] == "hard"


@pytest.mark.parametrize("value", [None, {}, {"select": 1}, [], "x", {"from": {"conds": [], "table_units": []}}])
def test_what_carries_no_parsed_query_has_no_grade(value: Any) -> None:
    assert hardness(value) == ""


# BIRD ------------------------------------------------------------------------------------------------------------


def test_bird(tmp_path: Path, shop: Path) -> None:
    write(tmp_path / "dev.json", [{**row, "difficulty": "simple"} for row in BIRD])
    write(tmp_path / "dev_tables.json", [BANK])
    write(tmp_path / "predict_dev.json", {"0": "SELECT 1\t----- bird -----\tshop"})
    place(shop, tmp_path / "dev_databases")
    described = tmp_path / "dev_databases" / "shop" / "database_description"
    described.mkdir()
    (described / "customer.csv").write_bytes(
        "original_column_name,column_name,column_description,data_format,value_description\n"
        "city,,where they live – mostly,text,\n".encode("cp1252")
    )
    tasks = load(tmp_path)
    assert tasks.format == "bird"
    first, second = tasks.tasks
    assert (first.id, second.id) == ("7", "9")
    assert first.inputs["hint"] == "count all"
    assert first.meta == {"db_id": "shop", "difficulty": "simple"}
    assert first.reference["match"] == "set"
    assert "city TEXT -- where they live – mostly; such as 'Oslo', 'Rome'" in first.inputs["schema"]
    assert "Hint: count all" in first.prompt[0]["content"]
    assert "Hint" not in second.prompt[0]["content"]
    assert second.reference["tables"] == {"account": ["name"]}


@pytest.mark.parametrize(
    ("rows", "gold", "tables"),
    [
        ("dev.json", "dev.sql", "dev_tables.json"),
        ("train/train.json", "train/train_gold.sql", "train/train_tables.json"),
        ("MINIDEV/mini_dev_sqlite.json", "MINIDEV/mini_dev_sqlite_gold.sql", "dev_tables.json"),
        ("dev.json", "gold/dev.sql", "dev_tables.json"),
    ],
)
def test_bird_is_published_with_a_gold_file_beside_its_rows(tmp_path: Path, rows: str, gold: str, tables: str) -> None:
    file = write(tmp_path / rows, BIRD)
    write(tmp_path / tables, [BANK])
    lines = "".join(f"{row['SQL']}\t{row['db_id']}\n" for row in BIRD)
    (tmp_path / gold).parent.mkdir(exist_ok=True)
    (tmp_path / gold).write_text(lines, encoding="utf-8")
    for given in (tmp_path, file.parent, file):
        tasks = load(given)
        assert tasks.format == "bird"
        assert [task.id for task in tasks] == ["7", "9"]
    alone = load(tmp_path / gold)
    assert alone.format == "spider"
    assert [task.reference["sql"] for task in alone] == [[row["SQL"]] for row in BIRD]
    with pytest.raises(DataError, match="no file of Spider's rows"):
        load(tmp_path, "spider")


def test_a_gold_file_beside_json_without_questions_stands_for_its_folder(tmp_path: Path) -> None:
    (tmp_path / "train_gold.sql").write_text("SELECT 1\tshop\n")
    write(tmp_path / "predictions.json", {"0": "SELECT 1"})
    write(tmp_path / "tables.json", [BANK])
    assert load(tmp_path).format == "spider"


def test_bird_without_ids_counts_rows(tmp_path: Path) -> None:
    bare = [{key: value for key, value in row.items() if key != "question_id"} for row in BIRD]
    assert [task.id for task in load(write(tmp_path / "train.json", bare))] == ["0", "1"]
    assert [task.id for task in load(write(tmp_path / "train.json", [BIRD[0], bare[1]]))] == ["7", "1"]


def test_two_rows_of_bird_with_one_id_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.json", [*BIRD, {**BIRD[1], "question_id": 7}])
    with pytest.raises(DataError, match=r"row 2: its question_id '7' is already that of \S*dev\.json: row 0"):
        load(file)


def test_the_mini_dev_of_sqlite_is_taken(tmp_path: Path) -> None:
    for name in ("mini_dev_sqlite.json", "mini_dev_mysql.json", "mini_dev_postgresql.json"):
        write(tmp_path / "MINIDEV" / name, BIRD[: 2 if "sqlite" in name else 1])
    assert len(load(tmp_path)) == 2


def test_hugging_face_rows_of_bird() -> None:
    reader = text_to_sql().readers["bird"]
    assert isinstance(reader, Reader)
    assert reader.rows is not None
    assert [task.id for task in reader.rows(BIRD)] == ["7", "9"]


# Telling them apart ----------------------------------------------------------------------------------------------


def test_each_format_is_told_from_the_others_by_its_content(tmp_path: Path, shop: Path) -> None:
    shutil.copy(shop, tmp_path / "my.sqlite")
    wiki = {"table_id": "1-1-1", "question": "?", "sql": {"sel": 0, "agg": 0, "conds": []}}
    files = {
        "spider": write(tmp_path / "a.json", SPIDER),
        "bird": write(tmp_path / "b.json", BIRD),
        "wikisql": write(tmp_path / "c.jsonl", [wiki]),
        "defog": tmp_path / "d.csv",
        "jsonl": write(tmp_path / "e.jsonl", [{"question": "q", "database": "my.sqlite"}]),
    }
    files["defog"].write_text("db_name,db_type,query_category,query,question\nshop,sqlite,ratio,SELECT 1,What?\n")
    readers = readers_of(text_to_sql())
    assert {name: recognise(file, readers) for name, file in files.items()} == {name: name for name in files}


@pytest.mark.parametrize("content", ["", "[]", "{}", "[1]", "\x00\x01", "a,b\n1,2\n", '[{"db_id": 1}]', "SELECT 1;\n"])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "x.csv", "x.sql", "tables.json"])
def test_foreign_content_is_nobodys(tmp_path: Path, content: str, name: str) -> None:
    (tmp_path / name).write_text(content)
    for path in (tmp_path, tmp_path / name):
        for reader in readers_of(text_to_sql()).values():
            assert reader.recognise is not None
            assert not reader.recognise(path)


@pytest.mark.parametrize(
    ("format", "rows", "why"),
    [
        ("spider", BIRD, r"'query' is missing"),
        ("spider", [SPIDER[0], {"db_id": 3}], r"row 1: 'db_id' is int"),
        ("bird", [{"question": "q"}], r"row 0: 'db_id' is missing"),
        ("bird", {"0": "x"}, r"JSON list"),
        ("spider", [SPIDER[0], 5], r"row 1: an object"),
    ],
)
def test_rows_of_another_shape_are_refused_with_their_place(tmp_path: Path, format: str, rows: Any, why: str) -> None:
    with pytest.raises(DataError, match=why):
        load(write(tmp_path / "x.json", rows), format)


@pytest.mark.parametrize("format", ["spider", "bird", "wikisql", "defog", "jsonl"])
def test_an_empty_folder_is_refused(tmp_path: Path, format: str) -> None:
    with pytest.raises(DataError, match="folder"):
        load(tmp_path, format)


def test_several_files_of_rows_ask_for_one(tmp_path: Path) -> None:
    write(tmp_path / "a.json", SPIDER)
    write(tmp_path / "b.json", SPIDER)
    with pytest.raises(DataError, match=r"a\.json, b\.json"):
        load(tmp_path, "spider")


# What the options do ---------------------------------------------------------------------------------------------


def test_pruning_keeps_the_tables_of_the_gold_query(tmp_path: Path, shop: Path) -> None:
    write(tmp_path / "dev.json", SPIDER[:1])
    place(shop, tmp_path / "database")
    (whole,), (pruned,) = load(tmp_path).tasks, load(tmp_path, prune=True).tasks
    assert whole.inputs["schema"].count("CREATE TABLE") == 3
    assert pruned.inputs["schema"].count("CREATE TABLE") == 1
    assert pruned.reference["tables"] == whole.reference["tables"]


def test_pruning_without_a_gold_that_can_be_read_shows_everything(tmp_path: Path, shop: Path) -> None:
    write(tmp_path / "dev.json", [{**SPIDER[0], "query": "SELECT alter FROM customer"}])
    place(shop, tmp_path / "database")
    assert load(tmp_path, prune=True).tasks[0].inputs["schema"].count("CREATE TABLE") == 3


def test_the_compact_prompt(tmp_path: Path, shop: Path) -> None:
    write(tmp_path / "dev.json", SPIDER[:1])
    place(shop, tmp_path / "database")
    domain = text_to_sql(style="compact", prune=True)
    (task,) = load_tasks(domain, path=tmp_path).tasks
    assert task.prompt[0]["content"] == "customer(id, name, city)\nHow many?"
    assert domain.gold(task) == "<answer>SELECT count(*) FROM customer</answer>"


def test_samples_are_tasks_with_a_schema_under_the_options() -> None:
    domain = text_to_sql(style="compact", schema_tokens=40)
    tasks: list[Task] = list(domain.samples("held-out"))
    assert len(tasks) >= 200
    assert len({task.id for task in tasks}) == len(tasks)
    assert all(task.inputs["schema"] and task.reference["tables"] for task in tasks)
    train = list(domain.samples("train"))
    assert {task.inputs["question"] for task in train}.isdisjoint(task.inputs["question"] for task in tasks)
    assert train[0].meta["demonstration"] is True
