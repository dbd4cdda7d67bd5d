"""Diversity against answers worked out by hand; the sign of the NLI measure is the right way round."""

from __future__ import annotations

import random

import pytest

from honewise.metrics import Entailment, cosine_diversity, distinct, ead, mean_ead, nli_diversity, repetition

SAMPLE = [["i", "am", "going"], ["i", "am", "going"], ["lets", "go", "i", "i"]]


def test_the_worked_example() -> None:
    """Five different words of ten, of a vocabulary of 50,257."""
    assert distinct(SAMPLE, 1) == 0.5
    found = ead(SAMPLE, 1, vocabulary=50257)
    assert found is not None
    assert abs(found - 0.500045) < 5e-7


def test_by_the_formula_as_it_is_written() -> None:
    for n, (different, total) in enumerate([(5, 10), (5, 7), (3, 4), (1, 1)], start=1):
        assert distinct(SAMPLE, n) == different / total
        written = different / (100 * (1 - (99 / 100) ** total))
        assert ead(SAMPLE, n, vocabulary=100) == pytest.approx(written, rel=1e-12)


def test_length_moves_distinct_and_not_ead() -> None:
    """Words drawn evenly from 1,000: distinct-1 falls from .975 to .199, the adjusted measure stays at 1."""
    chance = random.Random(1)
    short = [[[chance.randrange(1000) for _ in range(50)]] for _ in range(400)]
    long = [[[chance.randrange(1000) for _ in range(5000)]] for _ in range(20)]

    def means(texts: list[list[list[int]]]) -> tuple[float, float]:
        plain = [distinct(each, 1) or 0.0 for each in texts]
        adjusted = [ead(each, 1, vocabulary=1000) or 0.0 for each in texts]
        return sum(plain) / len(plain), sum(adjusted) / len(adjusted)

    assert means(short) == (pytest.approx(0.975, abs=0.003), pytest.approx(1.0, abs=0.003))
    assert means(long) == (pytest.approx(0.199, abs=0.002), pytest.approx(1.0, abs=0.003))


def test_the_mean_is_over_the_lengths_that_texts_have() -> None:
    one = mean_ead([["a", "b"]], vocabulary=10)
    assert one == pytest.approx((2 / (10 * (1 - 0.9**2)) + 1.0) / 2)
    assert mean_ead([[]], vocabulary=10) is None
    assert mean_ead([], vocabulary=10) is None


def test_a_vocabulary_must_hold_something() -> None:
    with pytest.raises(ValueError, match="vocabulary of 0"):
        ead(SAMPLE, 1, vocabulary=0)
    assert ead([["a", "a"]], 1, vocabulary=1) == 1.0


def test_no_ngram_reaches_over_the_end_of_a_text() -> None:
    assert distinct([["a"], ["b"]], 2) is None
    assert distinct([["a", "b"], ["a", "b"]], 2) == 0.5


def test_repetition() -> None:
    assert repetition(["a", "b", "c", "d"]) == 0.0
    assert repetition(["x"] * 103) == pytest.approx(0.99)
    assert repetition(["x"] * 3) is None


def test_cosine_diversity() -> None:
    assert cosine_diversity([[1, 0], [0, 1]]) == 1.0
    assert cosine_diversity([[1, 2], [2, 4]]) == pytest.approx(0.0)
    assert cosine_diversity([[1, 0], [-3, 0]]) == 2.0
    assert cosine_diversity([[1, 0], [1, 0], [0, 5]]) == pytest.approx(2 / 3)
    assert cosine_diversity([[1, 0]]) is None
    assert cosine_diversity([[0, 0], [1, 0]]) is None


@pytest.mark.parametrize(("answer", "expected"), [("entailment", -2), ("neutral", 0), ("contradiction", 2)])
def test_texts_that_contradict_each_other_are_the_diverse_ones(answer: Entailment, expected: float) -> None:
    assert nli_diversity(["one", "two", "three"], lambda premise, hypothesis: answer) == expected


def test_both_directions_count() -> None:
    def infer(premise: str, hypothesis: str) -> Entailment:
        return "entailment" if len(premise) > len(hypothesis) else "neutral"

    assert nli_diversity(["a dog barks loudly", "a dog barks"], infer) == -1
    assert nli_diversity(["alone"], infer) is None
