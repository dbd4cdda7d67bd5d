"""CodeBLEU: each part on numbers worked out by hand, and what holds for any code."""

from __future__ import annotations

import ast
import doctest
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Task, Unscored, UserError
from honewise_code_api import codebleu
from honewise_code_api.codebleu import PARTS, CodeBleu, code_bleu, data_flows, subtrees, tokens

PLAY = {"music.play": {"artist": ["Bach"], "minutes": [5]}}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("x = f(y)", ["x", "=", "f", "(", "y", ")"]),
        ("naïve=größe # ü", ["naïve", "=", "größe", "#", "ü"]),
        ("a==1.5", ["a", "=", "=", "1", ".", "5"]),
        (" \n\t", []),
    ],
)
def test_tokens(code: str, expected: list[str]) -> None:
    assert tokens(code) == expected


def test_ngrams_by_hand() -> None:
    # a b c d e against a b c d f: 4 of 5, 3 of 4, 2 of 3, 1 of 2
    found = code_bleu("a b c d f", "a b c d e").ngram
    assert found == pytest.approx((4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    # shorter by one of five: brevity exp(1 - 5/4); all of its n-grams are right
    assert code_bleu("a b c d e", "a b c d").ngram == pytest.approx(math.exp(1 - 5 / 4))
    # no pair of tokens, no longer ones: a tenth of a match each; tokens: 3 of 3
    assert code_bleu("a b c", "c b a").ngram == pytest.approx((3 / 3 * 0.1 / 2 * 0.1 / 1) ** (1 / 3))
    # a token counts as often as it stands in the reference
    assert code_bleu("a b", "a a").ngram == pytest.approx((1 / 2 * 0.1 / 1) ** 0.5)
    assert code_bleu("a b", "c d").ngram == 0.0


def test_keywords_weigh_five() -> None:
    # made: return 5, x 1, y 1; right are return and x
    assert code_bleu("return x", "return x y").weighted == pytest.approx(6 / 7)
    assert code_bleu("return x", "yield x").weighted == pytest.approx(1 / 6)
    # brevity exp(1 - 3/2)
    assert code_bleu("return x y", "return x").weighted == pytest.approx(math.exp(-0.5))


def test_subtrees_by_hand() -> None:
    # f(a + 1): Module, Expr, Call, BinOp have children. f(b - 1) has another BinOp and all that hold it
    (plus, minus, same) = subtrees(*map(ast.parse, ("f(a + 1)", "f(b - 1)", "g(b + 2)")))
    assert (plus.total(), (plus & minus).total(), plus == same) == (4, 0, True)
    # what the reference has twice must be there twice: x[0] is (Subscript), twice, in a BinOp, Expr and Module
    (twice, once) = subtrees(*map(ast.parse, ("x[0] + x[0]", "x[0]")))
    assert (twice.total(), (twice & once).total()) == (5, 1)
    assert code_bleu("x[0] + x[0]", "x[0]").ast == pytest.approx(1 / 5)
    # kinds of constants count, their values do not
    (number, text) = subtrees(*map(ast.parse, ("f(1)", "f('1')")))
    assert not number & text


@pytest.mark.parametrize(
    ("code", "flows"),
    [
        ("x = 1", {("computed", 0, ()): 1}),
        ("x = y", {("computed", 0, ()): 1}),
        (
            "def f(a):\n    b = a + a\n    return b",
            {("computed", 1, (0,)): 1, ("comes", 0, (0,)): 2, ("comes", 1, (1,)): 1},
        ),
        (
            "a = b = 1\na, b = b, a",
            {("computed", 0, ()): 1, ("computed", 1, ()): 1, ("computed", 0, (1,)): 1, ("computed", 1, (0,)): 1,
             ("comes", 0, (0,)): 1, ("comes", 1, (1,)): 1},
        ),
        ("s = 0\nfor i in s: s += i", {("computed", 0, ()): 1, ("computed", 1, (0,)): 1, ("computed", 0, (0, 1)): 1,
                                       ("comes", 0, (0,)): 1, ("comes", 1, (1,)): 1}),
        ("*a, b = c = [1]", {("computed", 0, ()): 1, ("computed", 1, ()): 1, ("computed", 2, ()): 1}),
        ("d = {}\nd['k'] = d", {("computed", 0, ()): 1, ("computed", 0, (0,)): 1, ("comes", 0, (0,)): 2}),
        ("import os.path\nos.sep", {("comes", 0, (0,)): 1}),
        ("with f() as (a, b): pass", {("computed", 0, ()): 1, ("computed", 1, ()): 1}),
        ("[k for k in []]", {("computed", 0, ()): 1, ("comes", 0, (0,)): 1}),
        ("(n := 3)", {("computed", 0, ()): 1}),
        ("print(len(y))", {}),
    ],
)  # fmt: skip
def test_data_flows(code: str, flows: dict[Any, int]) -> None:
    assert data_flows(ast.parse(code)) == flows


def test_the_whole_by_hand() -> None:
    found = code_bleu("def f(a):\n    b = a + 1\n    return b", "def f(a):\n    b = 1\n    return a")
    # all of its 11 tokens are right, and the reference has 13
    assert found.weighted == pytest.approx(math.exp(1 - 13 / 11))
    # of Module, FunctionDef, arguments, Assign, BinOp, Return it has arguments and Return
    assert found.ast == pytest.approx(2 / 6)
    # of b computed from a, a used, b used it has one use of a
    assert found.dataflow == pytest.approx(1 / 3)
    assert found.value() == pytest.approx(sum(found.parts.values()) / 4)
    assert found.value((0, 0, 1, 2)) == pytest.approx((2 / 6 + 2 * 1 / 3) / 3)


def test_renaming_changes_names_alone() -> None:
    found = code_bleu("def f(a):\n    b = a + 1\n    return b", "def g(ü):\n    ж = ü + 1\n    return ж")
    assert (found.ast, found.dataflow) == (1.0, 1.0)
    assert found.ngram < 0.2


@pytest.mark.parametrize(
    ("reference", "candidate", "parts"),
    [
        ("f(1)", "f(", {"ast": 0.0}),
        ("f(", "f(1)", {}),
        ("x = 1", "x = (", {"ast": 0.0, "dataflow": 0.0}),
        ("x = 1", "", {"ast": 0.0, "dataflow": 0.0}),
        ("", "x", {}),
        ("f(1)", "f(1)", {"ast": 1.0}),
    ],
)
def test_what_the_reference_has_not_does_not_apply(reference: str, candidate: str, parts: dict[str, float]) -> None:
    found = code_bleu(reference, candidate).parts
    assert {name: part for name, part in found.items() if name in ("ast", "dataflow")} == parts


CODE = st.one_of(
    st.text(st.sampled_from("ab =\n()[]:+'éß\ud800\x00"), max_size=30),
    st.sampled_from(
        ["", "x", "if x:\n    y = x", "for a in b: c(a)", "lambda q: q", "f'{x!r}'", "match x:\n case [y, *z]: y"]
    ),
)


@given(CODE, CODE)
def test_every_part_is_in_range_and_a_text_is_most_like_itself(one: str, other: str) -> None:
    for found in (code_bleu(one, other), code_bleu(other, one)):
        assert all(0.0 <= part <= 1.0 for part in found.parts.values())
        assert 0.0 <= found.value() <= 1.0
    assert set(code_bleu(one, one).parts.values()) == {1.0}


def test_thousands_of_names_for_one_value_are_no_trouble() -> None:
    names = [f"a{number}" for number in range(2000)]
    code = "=".join([*names, f"[{','.join(names[:500])}]"])
    assert code_bleu(code, code).dataflow == 1.0
    assert code_bleu("x = 1", "-" * 5000 + "1").parts.keys() >= {"ngram", "weighted"}


def test_parts_without_weight() -> None:
    assert CodeBleu(0.5, 0.5, None, None).value((0, 0, 1, 1)) == 0.0
    assert list(CodeBleu(0.5, 0.25, 1.0, 0.0).parts) == list(PARTS)


def test_the_reward(ask: Callable[..., Task], worth: Callable[..., Any]) -> None:
    gold = worth("code_bleu", ask(PLAY), "music.play(artist='Bach', minutes=5)")
    assert (gold.value, gold.parts) == (1.0, {"ngram": 1.0, "weighted": 1.0, "ast": 1.0})
    assert 0.0 < worth("code_bleu", ask(PLAY), "music.play(artist='Bach')").value < 1.0
    assert worth("code_bleu", ask(PLAY), "", raw=True).value == 0.0
    assert isinstance(worth("code_bleu", Task("0", {"question": "?", "functions": []}), "f()"), Unscored)


@pytest.mark.parametrize("weights", [(1, 1, 1), (0, 0, 0, 0), (1, -1, 1, 1), ("a", 1, 1, 1), (1, 1, 1, 1, "x")])
def test_weights_must_be_four_numbers(ask: Callable[..., Task], weights: Any) -> None:
    from honewise_code_api.replies import parse
    from honewise_code_api.textual import bleu_of_code

    task = ask(PLAY)
    with pytest.raises(UserError, match="it must be four numbers"):
        bleu_of_code(task, parse("<answer>stop()</answer>", task), weights=weights)


def test_examples() -> None:
    results = doctest.testmod(codebleu)
    assert results.attempted
    assert not results.failed
