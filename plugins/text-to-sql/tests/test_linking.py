"""Which tables and columns a query uses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise_text_to_sql.linking import freeze, schema_items
from honewise_text_to_sql.sqltext import parse_sql, split_statements, words

NAMES = freeze({"singer": ["id", "name", "Age"], "concert": ["cid", "singer_id", "name"], "Order Details": ["größe"]})


def used(sql: str) -> dict[str, str] | None:
    """``{"table.column" or "table": the text where it stands}``."""
    items = schema_items(sql, NAMES)
    if items is None:
        return None
    return {".".join(filter(None, item)): sql[place.start : place.end] for item, place in items.items()}


@pytest.mark.parametrize(
    ("sql", "items"),
    [
        ("SELECT name FROM singer", {"singer.name": "name", "singer": "singer"}),
        ("SELECT T.NAME FROM Singer AS t", {"singer.name": "T.NAME", "singer": "Singer"}),
        ("SELECT COUNT(*) FROM singer", {"singer": "singer"}),
        ("SELECT * FROM singer", {"singer.id": "*", "singer.name": "*", "singer.age": "*", "singer": "singer"}),
        (
            "SELECT c.* FROM concert c",
            {"concert.cid": "c.*", "concert.singer_id": "c.*", "concert.name": "c.*", "concert": "concert"},
        ),
        ("SELECT [größe] FROM [Order Details]", {"order details.größe": "[größe]", "order details": "[Order Details]"}),
        # the first of several places is the one
        ("SELECT age FROM singer WHERE age > 1", {"singer.age": "age", "singer": "singer"}),
        # a double-quoted word that is no column is a string
        ('SELECT name FROM singer WHERE name = "USA"', {"singer.name": "name", "singer": "singer"}),
        ('SELECT "name" FROM singer', {"singer.name": '"name"', "singer": "singer"}),
        # an unqualified column belongs to the nearest select that has it
        (
            "SELECT 1 FROM singer WHERE EXISTS (SELECT 1 FROM concert WHERE singer_id = id)",
            {"singer": "singer", "concert": "concert", "concert.singer_id": "singer_id", "singer.id": "id"},
        ),
        # what the query names itself is no item
        ("SELECT count(*) AS n FROM singer ORDER BY n", {"singer": "singer"}),
        (
            "WITH x AS (SELECT id AS i FROM singer) SELECT i, x.i FROM x",
            {"singer.id": "id", "singer": "singer"},
        ),
        ("SELECT s.q FROM (SELECT id AS q FROM singer) s", {"singer.id": "id", "singer": "singer"}),
        ("WITH singer AS (SELECT id FROM singer) SELECT id FROM singer", {"singer.id": "id", "singer": "singer"}),
        # both sides of USING
        (
            "SELECT 1 FROM singer JOIN concert USING (name)",
            {"singer": "singer", "concert": "concert", "singer.name": "name", "concert.name": "name"},
        ),
        # ORDER BY of a compound looks into its first part
        (
            "SELECT name FROM singer UNION SELECT cid FROM concert ORDER BY name",
            {"singer.name": "name", "singer": "singer", "concert.cid": "cid", "concert": "concert"},
        ),
        # an index is no table
        ("SELECT id FROM singer INDEXED BY by_age", {"singer.id": "id", "singer": "singer"}),
        ("SELECT s.id FROM singer AS s INDEXED BY concert", {"singer.id": "s.id", "singer": "singer"}),
        ("SELECT id FROM singer NOT INDEXED", {"singer.id": "id", "singer": "singer"}),
        # what is not there
        ("SELECT foo FROM singer", {"?.foo": "foo", "singer": "singer"}),
        ("SELECT s.foo, z.id FROM singer s", {"singer.foo": "s.foo", "?.id": "z.id", "singer": "singer"}),
        ("SELECT id FROM nowhere", {"?.id": "id", "nowhere": "nowhere"}),
        ("SELECT 1", {}),
    ],
)
def test_items(sql: str, items: dict[str, str]) -> None:
    assert used(sql) == items


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT FROM WHERE",
        "DROP TABLE singer",
        "SELECT 1; SELECT 2",
        "this is no query",
        "SELECT (((",
        "DELETE FROM singer",
        "'",
    ],
)
def test_what_is_no_one_query_has_no_items(sql: str) -> None:
    assert used(sql) is None


def test_an_item_stands_where_it_is_first_said() -> None:
    sql = "SELECT age, name FROM singer WHERE name = 'x' ORDER BY age"
    items = schema_items(sql, NAMES)
    assert items is not None
    assert {item.column: place.start for item, place in items.items()} == {"age": 7, "name": 12, "": 22}


def test_nesting_as_people_write_it_is_read() -> None:
    sql = "SELECT name FROM singer WHERE id IN (" * 15 + "1" + ")" * 15
    assert used(sql) == {"singer.name": "name", "singer": "singer", "singer.id": "id"}


def test_without_a_schema_the_only_table_owns_the_columns() -> None:
    items = schema_items('SELECT a, "b" FROM t', freeze({}))
    assert items is not None
    assert set(items) == {("t", "a"), ("t", "b"), ("t", "")}


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "SELECT " + "NOT " * 3000 + "1",
        "SELECT " + "-" * 19_000 + "1",
        "SELECT " + "~" * 3000 + "1",
        "SELECT " + "CASE WHEN " * 900 + "1" + " THEN 1 END" * 900,
        "SELECT " + "||".join(["a"] * 1900),
        "SELECT * FROM " + "(SELECT * FROM " * 500 + "t" + ")" * 500,
        " UNION ".join(["SELECT 1"] * 1200),
        "WITH " + ", ".join(f"a{i} AS (SELECT 1)" for i in range(600)) + " SELECT 1",
        "SELECT 1 FROM t " + " JOIN t ON a = b" * 700,
        "'" * 19_999,
        "/*" * 9_999,
        "\x00",
        "SELECT '\ud800' FROM singer",
        "SELECT " + "x" * 1_000_000,
    ],
)
def test_no_text_keeps_the_parser_busy(sql: str) -> None:
    schema_items(sql, NAMES)  # the suite's own time limit is the assertion; nothing may raise
    words(sql)
    split_statements(sql)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.sampled_from(
            [
                "select",
                "from",
                "where",
                "join",
                "on",
                "group",
                "by",
                "order",
                "limit",
                "with",
                "as",
                "(",
                ")",
                ",",
                ".",
                "*",
                "=",
                "'x'",
                '"y"',
                "singer",
                "concert",
                "id",
                "name",
                "?",
                ";",
                "union",
                "in",
                "not",
                "null",
                "case",
                "when",
                "end",
                "over",
                "cast",
                "[",
                "]",
                "{",
                "}",
                "::",
                "--",
                "/*",
                "1e5",
                "0x1",
                "é",
                "😀",
            ]
        ),
        max_size=25,
    ).map(" ".join)
)
def test_any_text_gives_items_inside_it_or_none(sql: str) -> None:
    items = schema_items(sql, NAMES)
    for place in (items or {}).values():
        assert 0 <= place.start <= place.end <= len(sql)
    ends = [word.end for word in words(sql)]
    assert ends == sorted(ends)
    if ";" not in sql:
        assert split_statements(sql) in ([], [sql.strip()])


def test_the_tree_is_parsed_once_for_a_text() -> None:
    parse_sql.cache_clear()
    for _ in range(3):
        parse_sql("SELECT name FROM singer")
    assert parse_sql.cache_info().misses == 1


@pytest.mark.parametrize(
    ("text", "statements"),
    [
        ("a;b", ["a", "b"]),
        (" ;; a ; ", ["a"]),
        (
            "SELECT ';' , \";\" , [;] , `;` -- ;\n , /* ; */ 1; b",
            ["SELECT ';' , \";\" , [;] , `;` -- ;\n , /* ; */ 1", "b"],
        ),
        ("SELECT 'it''s;'; b", ["SELECT 'it''s;'", "b"]),
        ("SELECT 'open; b", ["SELECT 'open; b"]),
    ],
)
def test_statements_end_at_semicolons_outside_quotes(text: str, statements: list[str]) -> None:
    assert split_statements(text) == statements


def test_words_know_their_place() -> None:
    sql = "SELECT a<>b, 'It''s' FROM \"X y\" -- no"
    assert [word.text for word in words(sql)] == ["select", "a", "!=", "b", ",", "'It''s'", "from", "x y"]
    assert [sql[word.start : word.end] for word in words(sql)] == [
        "SELECT",
        "a",
        "<>",
        "b",
        ",",
        "'It''s'",
        "FROM",
        '"X y"',
    ]
