"""Scalars as YAML 1.2's core schema has them, and documents that must be refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.errors import RecipeError
from honewise.recipes.yaml12 import dump, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-4", 2e-4),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("+1.5e+3", 1500.0),
        ("-.inf", -math.inf),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("off", "off"),
        ("on", "on"),
        ("yes", "yes"),
        ("No", "No"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2001-12-14", "2001-12-14"),
        ("0b101", "0b101"),
        ("'2e-4'", "2e-4"),
        ("=", "="),
        ("1e", "1e"),
        ("nan", "nan"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    found = parse(f"key: {text}", "test")["key"]
    assert found == value
    assert type(found) is type(value)


def test_nan() -> None:
    assert math.isnan(parse(".nan", "test"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "line 3, column 1: key 'a' stands here again; first on line 1"),
        ("x:\n  {p: 1, p: 1}", "line 2"),
        ("a: &x [*x]", "contains an alias of itself"),
        ("a: !!python/object/apply:os.system [echo]", "line 1"),
        ("a: [", "line 1"),
        ("a: b: c", "line 1"),
        ("[" * 5000, "nested too deeply"),
        ("? [a]\n: b", "line 1"),
        ("a: " + "9" * 5000, "not a whole number"),
        ("a: 1\n---\nb: 2", "line 2"),
        ("\x00", "not YAML"),
        ("a" * 1_000_001, "longer than"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=r"bad\.yaml: 1 problem") as caught:
        parse(text, "bad.yaml")
    assert said in str(caught.value)


def test_anchors_and_merges() -> None:
    document = parse("base: &b {x: 1, y: 2}\nsame: *b\nmore: {<<: *b, y: 3}\n", "test")
    assert document == {"base": {"x": 1, "y": 2}, "same": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}}


@pytest.mark.parametrize("merge", [False, True])
def test_an_alias_bomb_is_refused_before_it_goes_off(merge: bool) -> None:
    lines = ["k0: &k0 {a: 1}"]
    for level in range(1, 60):
        before = f"*k{level - 1}"
        value = f"{{<<: [{before}, {before}]}}" if merge else f"[{before}, {before}]"
        lines.append(f"k{level}: &k{level} {value}")
    with pytest.raises(RecipeError, match="once its aliases are followed"):
        parse("\n".join(lines), "bomb")


words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | words
    | st.sampled_from(["off", "2e-4", "010", "1_0", "~", "<<", "1:2", "2001-01-01", "yes", "- a", "a: b", "#"])
)
documents = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3))


@given(documents)
def test_what_is_dumped_is_read_back(value: Any) -> None:
    found = parse(dump(value), "round trip")
    assert found == value
    assert repr(found) == repr(value)
