"""Function calls: what is right, what is paid where, and what costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Domain, Task
from honewise_code_api.calls import calls_within, function_calls, repaired
from honewise_code_api.functions import accepts, gold_call

PLAY = {"music.play": {"artist": ["Nina Simone"], "minutes": [5, 6], "loud": ["", True], "rate": ["", 1.5]}}
GOOD = "music.play(artist='Nina Simone', minutes=5)"


@pytest.mark.parametrize(
    ("code", "value", "correct"),
    [
        (GOOD, 1.0, True),
        ("[music.play(minutes=6, artist='nina-simone')]", 1.0, True),
        ("music.play('Nina Simone', 5)", 1.0, True),
        ("music.play(artist='Nina Simone', minutes=5, loud=True)", 1.0, True),
        ("music.play(artist='Nina Simone', minutes=5, loud=False)", 1 - 1 / 12, False),
        ("music.play(artist='Nina Simone')", 2 / 3, False),
        ("music.play(artist='Nina Simone', minutes=7)", 2 / 3 - 1 / 12, False),
        ("music.play(artist='Nina Simone', minutes='5')", 2 / 3 - 1 / 12, False),
        ("music.play(artist='Nina Simone', minutes=True)", 2 / 3 - 1 / 12, False),
        ("music.play(artist='Nina Simone', minutes=7, minute=5)", 2 / 3 - 1 / 12 - 1 / 3, False),
        ("music.play('Nina Simone', 7, minutes=5)", 2 / 3, False),
        ("music.play(artist='Bach', minutes=7)", 1 / 3 - 2 / 12, False),
        ("music.play(artist='Nina Simone', minutes=5, colour=1)", 2 / 3, False),
        ("music.play(artist='Nina Simone', minutes=5, rate=1.5)\nstop()", 2 / 3, False),
        ("music.play(artist='Nina Simone', minutes=5)\n" * 2, 2 / 3, False),
        ("music.play(**{'artist': 'Nina Simone', 'minutes': 5})", 0.0, False),
        ("music.play(artist=name, minutes=5)", 2 / 3 - 1 / 12, False),
        ("play(artist='Nina Simone', minutes=5)", 0.0, False),
        ("stop()", 0.0, False),
        ("[]", 0.0, False),
        ("x = music.play(artist='Nina Simone', minutes=5)", 0.0, False),
        ("music.play(", 0.0, False),
    ],
)
def test_values(ask: Callable[..., Task], worth: Callable[..., Any], code: str, value: float, correct: bool) -> None:
    found = worth("call", ask(PLAY), code)
    assert found.value == pytest.approx(value)
    assert found.correct is correct
    assert worth("match", ask(PLAY), code).value == float(correct)


def test_credit_stands_where_it_was_earned(ask: Callable[..., Task], calls: Domain, worth: Callable[..., Any]) -> None:
    code = "music.play(artist='Nina Simone',\n  minutes=9)\nstop()"
    text = f"é <answer>{code}</answer>"
    found = worth("call", ask(PLAY), text, raw=True)
    said = {text[span.start : span.end]: span.value for span in found.spans}
    assert said == pytest.approx(
        {"music.play": 1 / 3, "artist='Nina Simone'": 1 / 3, "minutes=9": -1 / 12, "stop": -1 / 3}
    )
    assert found.value == pytest.approx(2 / 3 - 1 / 12 - 1 / 3)


def test_parallel_calls_in_any_order(ask: Callable[..., Task], worth: Callable[..., Any]) -> None:
    other = {"music.play": {"artist": ["Bach"], "minutes": [9], "loud": [True]}}
    two = "[music.play(artist='Bach', minutes=9, loud=True), music.play(artist='Nina Simone', minutes=5)]"
    assert worth("call", ask(PLAY, other), two).correct is True
    assert worth("call", ask(PLAY, other), two).value == pytest.approx(1.0)
    half = worth("call", ask(PLAY, other), GOOD)
    assert half.value == pytest.approx(3 / 7)
    assert half.correct is False


def test_where_no_function_serves_no_call_is_right(ask: Callable[..., Task], worth: Callable[..., Any]) -> None:
    assert worth("call", ask(), "[]").correct is True
    assert worth("call", ask(), "stop()").value == 0.0
    assert worth("call", ask(), "", raw=True).correct is False


def test_running_knows_the_functions_of_the_task(ask: Callable[..., Task], worth: Callable[..., Any]) -> None:
    assert worth("runs", ask(PLAY), GOOD).value == 1.0
    assert (
        worth("runs", ask(PLAY), "import transformers\nm = transformers.pipeline('x')\nfor a, b in m(1): pass").value
        == 1
    )
    for code, kind in {
        "fly()": "name", "import nothing_here": "import", "1 + '1'": "type", "1 / 0": "runtime", "f(": "syntax",
    }.items():  # fmt: skip
        found = worth("runs", ask(PLAY), code)
        assert (found.value, found.parts[kind]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("value", "options", "kind", "right"),
    [
        (5, [5.0], "float", True),
        (5.0, [5], "integer", False),
        ([1, 2], [[1, 2]], "array", True),
        ((1, 2), [[1, 2]], "tuple", True),
        ([2, 1], [[1, 2]], "array", False),
        (["A b"], [["ab"]], "array", True),
        ({"a": 1}, [{"a": [1, 2], "b": ["", 3]}], "dict", True),
        ({"a": 1, "b": 4}, [{"a": [1, 2], "b": ["", 3]}], "dict", False),
        ({"a": 1}, [{"a": [1], "b": [3]}], "dict", False),
        ({"c": 1}, [{"a": [""]}], "dict", False),
        (float("nan"), [float("nan")], "float", False),
        ("New York, NY", ["new york ny"], "string", True),
        (None, [None], "any", True),
    ],
)
def test_accepted_values(value: Any, options: list[Any], kind: str, right: bool) -> None:
    assert accepts(value, options, {"type": kind}) is right


def test_gold_calls_leave_out_what_may_be_left_out() -> None:
    assert gold_call(PLAY) == "music.play(artist='Nina Simone', minutes=5)"
    assert gold_call({"f": {"d": [{"a": ["", 1], "b": [2]}]}}) == "f(d={'b': 2})"


def test_keywords_before_a_position_lose_their_names() -> None:
    assert repaired("f(a='x,y', 'b', c=[1, 2])") == "f('x,y', 'b', c=[1, 2])"
    assert repaired("f(1)") == "f(1)"
    assert repaired("no call") == "no call"


@given(st.text(st.sampled_from("fg(),[]='\"a1é\n #.*:"), max_size=40))
def test_any_text_is_read_and_places_are_in_it(text: str) -> None:
    for found in (function_calls(text), calls_within(text)):
        for call in found or ():
            assert text[call.start : call.name_end].replace(" ", "").replace("\n", "").startswith(call.name[:1])
            assert 0 <= call.start <= call.name_end <= call.end <= len(text)
            assert all(call.start <= each.start <= each.end <= call.end for each in call.arguments)
