"""Verdicts from token probabilities: spellings, several tokens to a verdict, missing mass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judge_talk import generation

from honewise.contracts import Generation
from honewise.judges import distribution

TEN = [str(score) for score in range(1, 11)]
TWO = ["1", "2"]


def test_spellings_of_one_verdict_add_up() -> None:
    reply = generation((" 7", {" 7": 0.3, "7": 0.2, "**7": 0.1, "8.": 0.2, "The": 0.2}))
    found = distribution(reply, TEN)
    assert found is not None
    assert found.mass == pytest.approx(0.8)
    assert found.shares["7"] == pytest.approx(0.75)
    assert found.shares["8"] == pytest.approx(0.25)
    assert found.mean({score: float(score) for score in TEN}) == pytest.approx(7.25)


def test_ten_as_one_token() -> None:
    found = distribution(generation(("10", {"10": 0.6, "1": 0.4})), TEN)
    assert found is not None
    assert (found.shares["10"], found.shares["1"], found.mass) == pytest.approx((0.6, 0.4, 1.0))


def test_ten_as_two_tokens_where_the_reply_went_there() -> None:
    reply = generation(("1", {"1": 0.5, "7": 0.5}), ("0", {"0": 0.8, "\n": 0.2}))
    found = distribution(reply, TEN)
    assert found is not None
    assert (found.shares["10"], found.shares["1"], found.shares["7"]) == pytest.approx((0.4, 0.1, 0.5))
    ended = distribution(generation(("1", {"1": 0.5, "7": 0.5})), TEN)
    assert ended is not None
    assert ended.shares["1"] == pytest.approx(0.5), "the reply ended with it"


def test_what_cannot_be_told_apart_is_left_out() -> None:
    """The reply said 7; whether "1" would have become 1 or 10 is not known, so it is neither, and the mass is less."""
    found = distribution(generation(("7", {"7": 0.6, "1": 0.4})), TEN)
    assert found is not None
    assert found.mass == pytest.approx(0.6)
    assert found.shares["7"] == pytest.approx(1.0)
    nine = distribution(generation(("7", {"7": 0.6, "1": 0.4})), TEN[:9])
    assert nine is not None
    assert nine.mass == pytest.approx(1.0), "1 to 9 has no such case"


def test_words_by_their_beginnings() -> None:
    menu = ["fully supported", "partially supported", "no support"]
    found = distribution(generation(("Part", {"Part": 0.7, "No": 0.2, "F": 0.1}), ("ially", {})), menu)
    assert found is not None
    assert list(found.shares.values()) == pytest.approx([0.1, 0.7, 0.2])
    shared = distribution(generation(("not", {"not": 0.5, "no": 0.5})), ["no", "nothing"])
    assert shared is not None
    assert shared.mass == pytest.approx(0.5), '"no" begins both words; "not" begins one'


def test_after_a_rationale_the_last_label_counts() -> None:
    reply = generation(
        ('It says "', {}), ("Better", {}), (": ", {}), ("1", {"1": 0.99, "2": 0.01}), ('"', {}), ("\n", {}),
        ("Better", {}), (":", {}), (" 2", {" 2": 0.8, " 1": 0.2}),
    )  # fmt: skip
    found = distribution(reply, TWO, label="Better")
    assert found is not None
    assert found.shares == pytest.approx({"1": 0.2, "2": 0.8})


def test_without_a_place_there_is_nothing() -> None:
    assert distribution(Generation("7"), TEN) is None
    assert distribution(generation(("a", {}), ("\n", {}), ("b", {})), TEN) is None, "two lines and no label"
    assert distribution(generation(("**", {}), ("\n", {})), TEN) is None
    nothing = distribution(generation(("The", {"The": 1.0})), TEN)
    assert nothing is not None
    assert (nothing.mass, set(nothing.shares.values())) == (0.0, {0.0})


@given(
    st.lists(st.tuples(st.sampled_from([*TEN, " 1", "0", "01", "\n", "", "Score", ":", "**", "x"]),
                       st.dictionaries(st.sampled_from([*TEN, " 1", "0", "x", ""]), st.floats(0.01, 0.2), max_size=4)),
             max_size=6),
    st.sampled_from(["", "Score"]),
)  # fmt: skip
def test_any_reply_gives_shares_or_nothing(tokens: list[tuple[str, dict[str, float]]], label: str) -> None:
    found = distribution(generation(*tokens), TEN, label=label)
    if found is not None:
        assert 0 <= found.mass <= 1
        assert sum(found.shares.values()) == pytest.approx(1.0 if found.mass else 0.0)
        assert all(0 <= share <= 1 for share in found.shares.values())
