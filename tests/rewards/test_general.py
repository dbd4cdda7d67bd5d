"""The rewards that fit any domain, by hand-worked numbers and by properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise import Completion, Score, Unscored
from honewise.host import get_host
from honewise.rewards import length, repetition, script
from honewise.testing import check_reward


def said(text: str, **fields: object) -> Completion:
    return Completion(text, **fields)  # type: ignore[arg-type]


# length: DAPO eq. 13 with L_max = 100 and L_cache = 20.


@pytest.mark.parametrize(
    ("tokens", "value"),
    [(1, 0.0), (80, 0.0), (81, -0.05), (90, -0.5), (99, -0.95), (100, -1.0), (101, -1.0), (500, -1.0)],
)
def test_length_falls_linearly_over_the_buffer(tokens: int, value: float) -> None:
    score = length(said("x", tokens=tokens), limit=100, buffer=20)
    assert score.value == pytest.approx(value)


def test_a_cut_off_completion_is_as_long_as_can_be() -> None:
    assert length(said("x", tokens=5, truncated=True), limit=100, buffer=20).value == -1.0


def test_an_uncounted_completion_is_unscored_and_an_empty_one_is_not() -> None:
    assert length(said("some text")) == Unscored("the number of tokens is unknown")
    assert length(said("")).value == 0.0


@pytest.mark.parametrize("options", [{"buffer": 0}, {"buffer": 513}, {"limit": 0}])
def test_length_refuses_a_buffer_without_sense(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="buffer must lie in"):
        length(said("x", tokens=1), **options)


# repetition


def test_repetition_charges_where_each_repeat_is_completed() -> None:
    # Bigrams: (a b) (b a) (a b) (b a) (a c): two of five stood before, completed by words 3 and 4.
    score = repetition(said("a b a b a c"), size=2)
    assert score.value == pytest.approx(-2 / 5)
    assert [(span.start, span.end) for span in score.spans] == [(6, 7), (8, 9)]
    assert [span.value for span in score.spans] == [-0.2, -0.2]


@pytest.mark.parametrize(
    ("text", "size", "value"),
    [
        ("", 4, 0.0),
        ("too short", 4, 0.0),
        ("one two three four", 4, 0.0),
        ("The the THE", 1, -2 / 3),
        ("no, no!", 1, -1 / 4),
        ("مرحبا مرحبا", 1, -1 / 2),
    ],
)
def test_repetition_by_hand(text: str, size: int, value: float) -> None:
    assert repetition(said(text), size=size).value == pytest.approx(value)


def test_repetition_of_characters_for_scripts_without_spaces() -> None:
    # 是的是的: bigrams 是的, 的是, 是的: one of three.
    assert repetition(said("是的是的"), size=2).value == 0.0
    assert repetition(said("是的是的"), size=2, unit="character").value == pytest.approx(-1 / 3)


def test_repetition_refuses_options_without_sense() -> None:
    with pytest.raises(ValueError, match="unit must be"):
        repetition(said("x"), unit="sentence")
    with pytest.raises(ValueError, match="size must be"):
        repetition(said("x"), size=0)


# script


def test_script_charges_each_foreign_run_where_it_stands() -> None:
    # 4 Latin letters, 2 Cyrillic in one run, 1 Greek: 4 of 7.
    score = script(said("abc да d λ 12"))
    assert score.value == pytest.approx(4 / 7)
    assert score.terminal == 1.0
    assert [(span.start, span.end) for span in score.spans] == [(4, 6), (9, 10)]
    assert [span.value for span in score.spans] == pytest.approx([-2 / 7, -1 / 7])


def test_a_mark_belongs_to_the_letter_before_it() -> None:
    (span,) = script(said("a كَ b")).spans
    assert (span.start, span.end) == (2, 4)


@pytest.mark.parametrize(
    ("text", "scripts", "value"),
    [
        ("", ("LATIN",), 0.0),
        ("42 + 1", ("LATIN",), 1.0),
        ("مرحبا 42", ("ARABIC",), 1.0),
        ("مرحبا hi", ("ARABIC", "LATIN"), 1.0),
        ("漢字かな", ("CJK",), 0.5),
        ("漢字かな", ("cjk", "hiragana"), 1.0),
    ],
)
def test_script_by_hand(text: str, scripts: tuple[str, ...], value: float) -> None:
    assert script(said(text), scripts=scripts).value == pytest.approx(value)


def test_one_script_may_be_given_as_text() -> None:
    assert script(said("да"), scripts="CYRILLIC").value == 1.0


def test_an_unknown_script_is_refused() -> None:
    with pytest.raises(ValueError, match="no script LATN"):
        script(said("x"), scripts=("Latn",))


# All of them.


@given(st.text(), st.integers(0, 600), st.booleans())
def test_any_text_stays_within_the_bounds_and_spans_within_the_text(text: str, tokens: int, truncated: bool) -> None:
    for each in (length, repetition, script):
        score = each(said(text, tokens=tokens, truncated=truncated))
        if isinstance(score, Unscored):
            assert each is length
            continue
        assert isinstance(score, Score)
        assert each.bounds[0] - 1e-9 <= score.value <= each.bounds[1] + 1e-9
        for span in score.spans:
            assert 0 <= span.start < span.end <= len(text)


@pytest.mark.parametrize("name", ["length", "repetition", "script"])
def test_registered_under_bare_names_and_true_to_the_contract(name: str) -> None:
    found = get_host().reward(name)
    assert found.name == name
    check_reward(found)
