"""Readers of replies: the last verdict binds, and one that is not on offer is none."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.contracts import Verdict
from honewise.judges import choice, json_number, scale

TEN = scale(0, 10)
YES = choice({"yes": 1.0, "no": 0.0, "partly": 0.5})
JSON = json_number("score", 1, 5, rationale="why")


@pytest.mark.parametrize(
    ("read", "reply", "value"),
    [
        (TEN, "Score: 7", 0.7),
        (TEN, "7", 0.7),
        (TEN, " 7.5 ", 0.75),
        (TEN, "**Score:** 7/10", 0.7),
        (TEN, "## score: 7 out of 10.", 0.7),
        (TEN, "Score: 10\nOn reflection\nScore: 3", 0.3),
        (TEN, "Score: [8]", 0.8),
        (scale(-1, 1, label="Grade"), "Grade: -1", 0.0),
        (scale(-1, 1, label="Grade"), "> Grade: +0.5", 0.75),
        (YES, "no", 0.0),
        (YES, "Verdict: yes\nVerdict: **Partly**.", 0.5),
        (JSON, '{"score": 5, "why": "good"}', 1.0),
        (JSON, 'First {"score": 5} but then ```json\n{"score": 1}\n```', 0.0),
        (JSON, '{"score": 2, "inner": {"score": 5}}', 0.25),
        (JSON, '{{{{ {"score": 3}', 0.5),
    ],
)
def test_a_verdict_is_read(read: Callable[[str], Verdict], reply: str, value: float) -> None:
    assert read(reply).value == value


@pytest.mark.parametrize(
    ("read", "reply"),
    [
        *(
            (TEN, reply)
            for reply in ("", "Score:", "Score: 11", "Score: -1", "Score: nan", "Score: 7 or 8", "well\nwell")
        ),
        *((TEN, reply) for reply in ("Score: 5\nScore: none", "Score: 5\nScore: 55", "Score: 1e1", "Score: ٧x")),
        *((YES, reply) for reply in ("", "Verdict: maybe", "Verdict: yes\nVerdict: maybe", "yes and\nno")),
        *((JSON, reply) for reply in ("", "{", '{"score": true}', '{"score": "5"}', '{"score": 9}', '{"score": NaN}')),
        *((JSON, reply) for reply in ('{"score": 4} {"other": 1}', "[1, 2]", '{"score": 1e999}')),
    ],
)
def test_one_that_is_not_on_offer_is_none(read: Callable[[str], Verdict], reply: str) -> None:
    with pytest.raises(ValueError):
        read(reply)


@given(st.text())
def test_any_reply_is_a_verdict_in_range_or_none(reply: str) -> None:
    for read in (TEN, YES, JSON):
        try:
            assert 0.0 <= read(reply).value <= 1.0
        except ValueError:
            continue


@pytest.mark.parametrize(
    "reply", ["{" * 200_000, '{"a":' * 50_000, "Score:" * 50_000, "Score: \n" * 50_000, "7" * 200_000]
)
def test_long_replies_take_little_time(reply: str) -> None:
    began = time.process_time()
    for read in (TEN, YES, JSON):
        with pytest.raises(ValueError):
            read(reply)
    assert time.process_time() - began < 5


def test_what_cannot_be_a_reader_is_refused() -> None:
    with pytest.raises(ValueError, match="is not below"):
        scale(1, 1)
    with pytest.raises(ValueError, match="is not below"):
        json_number("x", 2, 1)
    with pytest.raises(ValueError, match="at least two words"):
        choice({"Yes": 1, "yes": 0})


def test_the_reasons_go_along() -> None:
    assert TEN("Clear.\nShort.\nScore: 7").rationale == "Clear.\nShort."
    assert JSON('{"score": 5, "why": "good"}').rationale == "good"


def test_a_number_too_long_for_a_float_is_out_of_range() -> None:
    with pytest.raises(ValueError, match="is not between 1 and 5"):
        JSON('{"score": ' + "9" * 400 + "}")
