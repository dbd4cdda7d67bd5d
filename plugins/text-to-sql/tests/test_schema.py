"""Schemas read from files and from tables.json, and written within budgets."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.errors import DataError
from honewise.testing import data_slice
from honewise_text_to_sql.schema import (
    Column,
    ForeignKey,
    Schema,
    Table,
    describe,
    from_tables_json,
    read_descriptions,
    read_schema,
)
from honewise_text_to_sql.serialise import SchemaStyle, estimate_tokens, quote_name, serialise


def test_everything_of_a_database_is_read(shop: Path) -> None:
    before = sorted(path.name for path in shop.parent.iterdir())
    schema = read_schema(shop)
    assert list(schema.names) == ["customer", "Order Details", "sänger", "rich"]
    assert schema.names["sänger"] == ["größe", "select", 'a "b"']
    assert schema.foreign_keys == (ForeignKey("Order Details", "customer_id", "customer", "id"),)
    customer, orders, singers, rich = schema.tables
    assert customer.columns[0] == Column("id", "INTEGER", True, ("1", "2", "3"))
    assert customer.columns[2].samples == ("'Oslo'", "'Rome'")
    assert orders.columns[3].samples == ("'it''s'", "'x'")
    assert singers.columns[2].samples == ()
    assert rich.view
    assert rich.columns[0].samples == ()
    assert sorted(path.name for path in shop.parent.iterdir()) == before


def test_a_key_that_names_only_its_table_means_the_primary_key(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE p (x PRIMARY KEY, y); CREATE TABLE c (x REFERENCES P, z REFERENCES gone)"
        )
    assert read_schema(path).foreign_keys == (ForeignKey("c", "x", "p", "x"),)


def test_a_view_over_nothing_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "CREATE TABLE t (x); CREATE VIEW v AS SELECT x FROM t; DROP TABLE t; CREATE TABLE u (y)"
        )
    assert list(read_schema(path).names) == ["u"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    for table in ("one", "two"):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(f"CREATE TABLE {table} (x)")
        assert table in read_schema(path).names


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n" * 50])
def test_what_is_no_database_is_a_data_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape("a.sqlite")):
        read_schema(path)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"):
        read_schema(tmp_path / "none.sqlite")


def test_a_real_database_with_blobs_views_and_odd_names() -> None:
    schema = read_schema(data_slice("text_to_sql/sample_dbs") / "Chinook_Sqlite.sqlite")
    assert len(schema.tables) == 11
    assert ForeignKey("Track", "AlbumId", "Album", "AlbumId") in schema.foreign_keys
    text = serialise(schema, SchemaStyle(tokens=10_000))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(text)
        assert connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone() == (11,)


def test_tables_json_equals_the_database() -> None:
    folder = data_slice("text_to_sql/spider")
    for entry in json.loads((folder / "tables.json").read_text(encoding="utf-8")):
        path = folder / "database" / entry["db_id"] / f"{entry['db_id']}.sqlite"
        if not path.is_file():
            continue
        told, read = from_tables_json(entry), read_schema(path)
        assert {t.lower(): [c.lower() for c in cs] for t, cs in told.names.items()} == {
            t.lower(): [c.lower() for c in cs] for t, cs in read.names.items()
        }


def test_tables_json_with_lists_of_primary_keys() -> None:
    schema = from_tables_json(
        {
            "table_names_original": ["ym"],
            "column_names_original": [[-1, "*"], [0, "Date"], [0, "CustID"]],
            "column_names": [[-1, "*"], [0, "Date"], [0, "customer number"]],
            "column_types": ["text", "text", "integer"],
            "primary_keys": [[1, 2]],
            "foreign_keys": [],
        }
    )
    assert schema == Schema(
        (Table("ym", (Column("Date", "text", True), Column("CustID", "integer", True, (), "customer number"))),)
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252"])
def test_descriptions_in_the_encodings_in_which_they_come(tmp_path: Path, encoding: str) -> None:
    text = (
        "original_column_name,column_name,column_description,data_format,value_description\n"
        'City ,city,"where \x00it is; é",text,"one of\nOslo"\n'
        "id,id,,integer,\n"
        "short\n"
    )
    (tmp_path / "Customer.csv").write_bytes(text.encode(encoding))
    schema = describe(Schema((Table("customer", (Column("id"), Column("city"))),)), read_descriptions(tmp_path))
    assert [column.description for column in schema.tables[0].columns] == ["", "where it is; é; one of Oslo"]


def test_no_descriptions_are_no_error(tmp_path: Path) -> None:
    assert read_descriptions(tmp_path / "none") == {}


def test_things_are_dropped_in_the_documented_order(shop: Path) -> None:
    whole = serialise(read_schema(shop), SchemaStyle(tokens=10_000))
    seen: list[tuple[bool, ...]] = []
    for tokens in range(estimate_tokens(whole), 0, -1):
        text = serialise(read_schema(shop), SchemaStyle(tokens=tokens))
        state = ("such as" in text, "INTEGER" in text, "city" in text, "FOREIGN" in text, "Order Details" in text)
        if not seen or seen[-1] != state:
            seen.append(state)
    assert seen[0] == (True,) * 5
    assert [sum(state) for state in seen] == sorted((sum(state) for state in seen), reverse=True)
    assert (False, True, True, True, True) in seen
    assert (False, False, True, True, True) in seen
    assert (False, False, False, True, True) in seen
    assert seen[-1][:4] == (False,) * 4


def test_a_key_of_several_columns_stands_on_its_own_line() -> None:
    schema = Schema((Table("t", (Column("a", "INT", True), Column("b", "", True), Column("c"))),))
    assert serialise(schema, SchemaStyle()) == "CREATE TABLE t (\n  a INT,\n  b,\n  c,\n  PRIMARY KEY (a, b)\n);"


def test_the_compact_layout() -> None:
    schema = Schema(
        (Table("a b", (Column("id", "INT", True), Column("order"))), Table("c", (Column("a_id"),))),
        (ForeignKey("c", "a_id", "a b", "id"),),
    )
    assert serialise(schema, SchemaStyle("compact")) == '"a b"(id, "order")\nc(a_id)\nc.a_id = "a b".id'


NAMES = st.text(st.characters(exclude_categories=("C", "Zl", "Zp"), codec="utf-8"), min_size=1, max_size=12)
COLUMNS = st.lists(
    st.builds(Column, NAMES, st.sampled_from(["", "TEXT", "INT"]), st.booleans(), st.just(("'x'",)), NAMES),
    min_size=1,
    max_size=6,
    unique_by=lambda column: column.name.lower(),
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.builds(Table, NAMES, COLUMNS.map(tuple)), min_size=1, max_size=4, unique_by=lambda t: t.name.lower()),
    st.integers(1, 200),
)
def test_any_schema_in_any_budget_is_ddl_that_sqlite_takes(tables: list[Table], tokens: int) -> None:
    tables = [table for table in tables if not table.name.lower().startswith("sqlite_")]
    schema = Schema(tuple(tables))
    for budget in (10_000, tokens):
        text = serialise(schema, SchemaStyle(tokens=budget))
        with closing(sqlite3.connect(":memory:")) as connection:
            if "more columns" not in text:  # a table without any column is no DDL, and says so
                connection.executescript(text)
    shortest = serialise(schema, SchemaStyle(tokens=1))
    assert estimate_tokens(text) <= max(tokens, estimate_tokens(shortest))


WORDS = """
abort action add after all alter always analyze and as asc attach autoincrement before begin between by cascade case
cast check collate column commit conflict constraint create cross current current_date current_time
current_timestamp database default deferrable deferred delete desc detach distinct do drop each else end escape
except exclude exclusive exists explain fail filter first following for foreign from full generated glob group
groups having if ignore immediate in index indexed initially inner insert instead intersect into is isnull join key
last left like limit match materialized natural no not nothing notnull null nulls of offset on or order others outer
over partition plan pragma preceding primary query raise range recursive references regexp reindex release rename
replace restrict returning right rollback row rows savepoint select set table temp temporary then ties to
transaction trigger unbounded union unique update using vacuum values view virtual when where window with without
true false
"""


@pytest.mark.parametrize("name", ["größe", "名前", "a b", 'a"b', "1a", "", "a-b", "_x", *WORDS.split()])
def test_quoted_names_are_names(name: str) -> None:
    said = quote_name(name)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE {said} (a, {said} TEXT)")
        connection.execute(f"INSERT INTO {said} VALUES (1, 'here')")
        sql = f"SELECT x.{said}, {said} FROM {said} x WHERE {said} IS NOT NULL ORDER BY {said}"
        assert connection.execute(sql).fetchall() == [("here", "here")]


def test_names_are_quoted_only_where_that_is_needed() -> None:
    assert [quote_name(name) for name in ("key", "query", "first", "desc", "order")] == [
        "key",
        "query",
        "first",
        "desc",
        '"order"',
    ]
