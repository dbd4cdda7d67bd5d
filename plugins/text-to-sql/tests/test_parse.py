"""Replies as models write them, and as they should not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Completion, Task
from honewise_text_to_sql.parse import parse

TASK = Task("0", {})


def read(text: str) -> Completion:
    return parse(text, TASK)


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("<reasoning>r</reasoning><answer>\n```sql\nSELECT 1\n```\n</answer>", "SELECT 1"),
        ("<answer>SELECT 1</answer>", "SELECT 1"),
        ("<answer>```\nSELECT 1\n```</answer>", "SELECT 1"),
        ("<answer>```SELECT 1```</answer>", "SELECT 1"),
        ("<answer>```sqlite\r\nSELECT 1\r\n```</answer>", "SELECT 1"),
        ("<ANSWER>SELECT 1</ANSWER>", "SELECT 1"),
        ("<answer>first: ```sql\nSELECT 1\n``` better: ```sql\nSELECT 2\n```</answer>", "SELECT 2"),
        ("<answer>SELECT 1</answer> or <answer>SELECT 2</answer>", "SELECT 2"),
        ("<answer>SELECT 1</answer> <answer> </answer>", "SELECT 1"),
        ("<answer>SELECT 1</answer> </answer>", "SELECT 1"),
        ("<answer>SELECT 1</answer> no, SELECT 2</answer>", "no, SELECT 2"),
        ("<answer>SELECT 1", "SELECT 1"),
        ("<answer>```sql\nSELECT 1", "SELECT 1"),
        ("<reasoning>r</reasoning>SELECT 1</answer>", "SELECT 1"),
        ("<reasoning>SELECT 9</reasoning>\nSELECT 1", "SELECT 1"),
        ("<reasoning>```sql\nSELECT 9\n```</reasoning><answer>SELECT 1</answer>", "SELECT 1"),
        ("SELECT 1", "SELECT 1"),
        ("  -- one\n (select 1) ", "-- one\n (select 1)"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("Here you are:\n```sql\nSELECT 1;\n```\nDone.", "SELECT 1;"),
        ("```python\nprint(1)\n```\n```sql\nSELECT 1\n```", "SELECT 1"),
        ("<answer>SELECT '<reasoning>'</answer>", "SELECT '<reasoning>'"),
        ("<answer>DROP TABLE t</answer>", "DROP TABLE t"),
    ],
)
def test_the_query_is_found(text: str, sql: str) -> None:
    completion = read(text)
    assert completion.answer == sql
    piece = completion.pieces["sql"]
    assert text[piece.start : piece.end] == sql


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "I do not know.",
        "<answer></answer>",
        "<answer>  ",
        "</answer>",
        "<reasoning>SELECT 1</reasoning>",
        "```python\nprint(1)\n```",
        "The answer is SELECT 1",
    ],
)
def test_what_holds_no_query_is_unreadable(text: str) -> None:
    assert read(text).answer is None


def test_pieces_stand_where_they_are() -> None:
    text = "so <reasoning> why </reasoning>\n<answer>SELECT 1</answer>"
    pieces = read(text).pieces
    assert pieces["reasoning"].text == " why "
    assert pieces["answer"].text == "SELECT 1"
    for tag in ("<reasoning>", "</reasoning>", "<answer>", "</answer>"):
        assert pieces[tag].start == text.index(tag)


PARTS = st.sampled_from(
    ["<answer>", "</answer>", "<reasoning>", "</reasoning>", "```", "```sql\n", "SELECT 1", "\n", "é😀", "<", "x "]
)


@given(st.lists(PARTS, max_size=30).map("".join))
def test_any_text_is_read_and_every_piece_is_a_slice_of_it(text: str) -> None:
    completion = read(text)
    assert completion.text == text
    for piece in completion.pieces.values():
        assert text[piece.start : piece.end] == piece.text
    if completion.answer is not None:
        assert completion.answer == completion.pieces["sql"].text
        assert completion.answer.strip()
