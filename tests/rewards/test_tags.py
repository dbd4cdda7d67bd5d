"""Tags: read in linear time, paid where they stand."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Completion, Piece
from honewise.rewards import pay_tags, tagged


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("<a>x</a>", Piece("x", 3)),
        ("<a></a>", Piece("", 3)),
        ("<a>1</a><a>2</a>", Piece("2", 11)),
        ("<a>1</a><a>2", Piece("1", 3)),
        ("<a><a>1</a>", Piece("1", 6)),
        ("<a>1</a></a>", Piece("1", 3)),
        ("", None),
        ("<a>", None),
        ("</a>", None),
        ("</a><a>", None),
        ("<b>x</b>", None),
        ("مرحبا <a>٤٢</a>", Piece("٤٢", 9)),
        ("👩‍👩‍👧<a>é</a>", Piece("é", 8)),
    ],
)
def test_the_last_closed_section(text: str, piece: Piece | None) -> None:
    assert tagged(text, "a") == piece


@given(st.text(alphabet="<>/ax é", max_size=60))
def test_a_section_is_the_text_at_its_place(text: str) -> None:
    piece = tagged(text, "a")
    if piece is not None:
        assert text[piece.start : piece.end] == piece.text
        assert text[: piece.start].endswith("<a>")
        assert text[piece.end :].startswith("</a>")


def test_reading_takes_linear_time() -> None:
    began = time.process_time()
    assert tagged("<a>" * 300_000, "a") is None
    assert tagged("</a>" * 300_000, "a") is None
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(
    ("text", "value", "paid"),
    [
        ("<t>x</t><a>1</a>", 1.0, [0, 4, 8, 12]),
        ("<t>x<a>1</a>", 0.75, [0, 4, 8]),
        ("x<a>1</a>", 0.5, [1, 5]),
        ("<a>1</a><t>x</t>", 0.5, [0, 4]),
        ("<t>x</t><a>1</a><a>2</a>", 0.5, [0, 4, 8, 12, 16, 20]),
        ("", 0.0, []),
    ],
)
def test_each_tag_that_stands_once_and_in_order_is_paid(text: str, value: float, paid: list[int]) -> None:
    score = pay_tags(Completion(text), ("t", "a"))
    assert score.value == pytest.approx(value)
    assert [span.start for span in score.spans] == paid
    assert bool(score.feedback) == (value < 1)


@given(st.lists(st.sampled_from(["<t>", "</t>", "<a>", "</a>", "x", " "]), max_size=12), st.data())
def test_the_credit_of_a_tag_is_settled_when_it_is_written(parts: list[str], data: st.DataObject) -> None:
    """Otherwise the tokens that come after it could earn it again."""
    cut = data.draw(st.integers(0, len(parts)))
    sofar = "".join(parts[:cut])
    whole = pay_tags(Completion("".join(parts)), ("t", "a"))
    assert [span for span in whole.spans if span.end <= len(sofar)] == list(
        pay_tags(Completion(sofar), ("t", "a")).spans
    )
    assert -1e-9 <= whole.value <= 1 + 1e-9
