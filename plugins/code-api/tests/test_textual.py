"""Undefined names and likeness, on hand-worked values."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Task, Unscored
from honewise_code_api import textual
from honewise_code_api.textual import lcs_f1

PLAY = {"music.play": {"artist": ["Bach"], "minutes": [5]}}


@pytest.mark.parametrize(
    ("code", "value", "charged"),
    [
        ("music.play(artist='Bach')", 1.0, []),
        ("def f(x):\n    return x + y", 0.75, ["y"]),
        ("é = 'ß'; print(é, who, 'ä', whom)", 0.5, ["who", "whom"]),
        ("a, b, c, d, e, f", 0.0, ["a", "b", "c", "d"]),
        ("from os import *\nprint(anything)", 1.0, []),
        ("f(", 0.0, []),
        ("x = '''a\n\rb'''\nprint(yy)", 0.75, ["yy"]),
    ],
)
def test_undefined_names_are_charged_where_they_stand(
    ask: Callable[..., Task], worth: Callable[..., Any], code: str, value: float, charged: list[str]
) -> None:
    found = worth("undefined", ask(PLAY), code)
    assert found.value == pytest.approx(value)
    text = f"so <answer>\n```python\n{code}\n```\n</answer>"
    assert [text[span.start : span.end] for span in found.spans] == charged


@pytest.mark.parametrize(
    ("code", "value"),
    [
        ("music.play(artist='Bach', minutes=5)", 1.0),
        ("music.play(minutes=5, artist='Bach')", 2 * 4 / 12),
        ("stop()", 0.0),
        ("music.play(artist='Bach')", 2 * 4 / 10),
    ],
)
def test_rouge_l(ask: Callable[..., Task], worth: Callable[..., Any], code: str, value: float) -> None:
    assert worth("rouge_l", ask(PLAY), code).value == pytest.approx(value)


def test_without_a_reference_there_is_no_likeness(worth: Callable[..., Any]) -> None:
    assert isinstance(worth("rouge_l", Task("0", {"question": "?", "functions": []}), "f()"), Unscored)


def longest(one: list[str], other: list[str]) -> int:
    if not one or not other:
        return 0
    if one[0] == other[0]:
        return 1 + longest(one[1:], other[1:])
    return max(longest(one[1:], other), longest(one, other[1:]))


words = st.lists(st.sampled_from("abc"), max_size=6)


@given(words, words)
def test_the_longest_common_subsequence_is_that_of_its_definition(one: list[str], other: list[str]) -> None:
    expected = 2 * longest(one, other) / (len(one) + len(other)) if one and other else 0.0
    assert lcs_f1(one, other) == pytest.approx(expected)


@given(st.text(st.sampled_from("ab =\n\r()é:"), max_size=30))
def test_any_code_is_judged_within_its_text(text: str) -> None:
    from honewise_code_api.domain import code_api

    domain = code_api()
    task = Task("0", {"question": "?", "functions": []}, {"calls": []})
    full = f"<answer>\n{text}\n</answer>"
    found = textual.undefined(task=task, completion=domain.parse(full, task))
    assert 0.0 <= found.value <= 1.0
    assert all(0 <= span.start <= span.end <= len(full) for span in found.spans)


def test_examples() -> None:
    results = doctest.testmod(textual)
    assert results.attempted
    assert not results.failed
