"""Characters to generated tokens: every token's characters, and not a hair of credit lost on the way."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trained_tokenizers import CORPUS, MAKERS, made

from honewise.contracts import Completion, Domain, Reward, Rubric, Score, Span, Task, Term
from honewise.engine.credit import Placed, Placement, Placer, TokenSpan, _by_prefixes, decode
from honewise.engine.rollouts import components, group_credits, token_credit
from honewise.models.text import decode_text
from honewise.scoring import Row, Scorer

PLACEMENTS = ["span_end", "spread", "terminal"]
EVERY = pytest.mark.parametrize("kind", sorted(MAKERS))
TABLED = ("byte-level", "metaspace", "byte-fallback")
"""Tokenizers whose tokens together write every character."""


def place(
    spans: Sequence[tuple[int, int, float]],
    terminal: float,
    tokens: Sequence[TokenSpan],
    wrote: Sequence[bool],
    placement: Placement,
) -> Placed:
    return Placer(tokens, wrote, placement).place(spans, terminal)


alphabet = st.one_of(
    st.characters(codec="utf-8"),
    st.sampled_from(
        [*"aeSELCT ,.*(')\n", "é", "e\u0301", "👩‍👩‍👧", "👍🏽", "🇩🇪", "ש", "ل", "नि", "世", "\u200f", "\ufffd", "▁"]
    ),
)
texts = st.lists(alphabet, max_size=30).map("".join)


@st.composite
def generated(draw: st.DrawFn, kind: str) -> list[int]:
    """Ids of a text, or ids at random (broken UTF-8, special tokens anywhere), with or without an end."""
    tokenizer = made(kind)
    ids: list[int] = tokenizer(draw(texts), add_special_tokens=False)["input_ids"]
    if draw(st.booleans()):
        ids = [*ids, *draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=20))]
    return [*ids, tokenizer.eos_token_id] if draw(st.booleans()) else ids


@EVERY
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_spans_of_tokens(kind: str, data: st.DataObject) -> None:
    tokenizer = made(kind)
    ids = data.draw(generated(kind))
    found = decode(tokenizer, ids)
    assert found.text == tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert len(found.spans) == len(ids)
    special = set(tokenizer.all_special_ids)
    before = (0, 0)
    for token, (start, end) in zip(ids, found.spans, strict=True):
        assert 0 <= start <= end <= len(found.text)
        if token in special:
            assert start == end, "special tokens write nothing"
            assert start in (before[0], before[1]), "and stand where the last one was, within its character or behind"
            continue
        assert start >= before[0]
        assert end >= before[1]
        before = (start, end)
    covered = {char for start, end in found.spans for char in range(start, end)}
    if kind in TABLED:
        assert covered == set(range(len(found.text))), "every character is written by some token"


@settings(max_examples=200, deadline=None)
@given(text=texts)
def test_byte_level_tokens_overlap_exactly_the_characters_of_their_bytes(text: str) -> None:
    tokenizer = made("byte-level")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = decode(tokenizer, ids)
    owner = [index for index, char in enumerate(found.text) for _ in char.encode("utf-8")]
    at = 0
    for token, span in zip(ids, found.spans, strict=True):
        width = len(tokenizer.convert_ids_to_tokens(token))  # one stand-in for each byte
        assert span == (owner[at], owner[at + width - 1] + 1)
        at += width
    assert found.text == text


def test_a_character_split_over_tokens() -> None:
    tokenizer = made("byte-level")
    ids = tokenizer("a\U0001fae8b", add_special_tokens=False)["input_ids"]  # a face no corpus line holds: four bytes
    found = decode(tokenizer, [*ids, tokenizer.eos_token_id])
    assert found.text == "a\U0001fae8b"
    middle = [span for span in found.spans if span == (1, 2)]
    assert len(middle) >= 2
    assert found.spans[0] == (0, 1)
    assert found.spans[-2] == (2, 3)
    assert found.spans[-1] == (3, 3)
    whole = [True] * len(found.spans)
    placed = place([(1, 2, 1.0)], 0.0, found.spans, whole, "spread")
    assert placed.rewards == [0.0, *[1 / len(middle)] * len(middle), 0.0, 0.0]
    assert place([(1, 2, 1.0)], 0.0, found.spans, whole, "span_end").rewards[len(middle)] == 1.0


def test_broken_utf8_is_one_replacement_for_each_broken_part() -> None:
    tokenizer = made("byte-level")
    stand_in = {byte: tokenizer.convert_tokens_to_ids(char) for char, byte in _stand_ins().items()}
    ids = [stand_in[byte] for byte in b"x\xe2\x82y\xff\xf0\x9f\x91"]
    found = decode(tokenizer, ids)
    assert found.text == "x\ufffdy\ufffd\ufffd"
    assert found.spans == ((0, 1), (1, 2), (1, 2), (2, 3), (3, 4), (4, 5), (4, 5), (4, 5))


def test_broken_byte_fallback_is_one_replacement_for_each_byte() -> None:
    tokenizer = made("byte-fallback")
    ids = [tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in b"\xe2\x82"]
    ids += tokenizer("city", add_special_tokens=False)["input_ids"]
    found = decode(tokenizer, ids)
    assert found.text.startswith("\ufffd\ufffd")
    assert found.spans[:2] == ((0, 1), (1, 2))


def _stand_ins() -> dict[str, int]:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {char: byte for byte, char in bytes_to_unicode().items()}


@pytest.mark.parametrize("kind", ["words", "word-pieces"])
@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_words_are_read_from_a_table_as_their_prefixes_say(kind: str, data: st.DataObject) -> None:
    tokenizer = made(kind)
    ids = data.draw(generated(kind))
    found = decode(tokenizer, ids)
    assert list(found.spans) == _by_prefixes(tokenizer, ids, found.text)


@settings(max_examples=300, deadline=None)
@given(
    tokens=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)).map(lambda at: (at[0], sum(at))), max_size=12),
    ordered=st.booleans(),
    spans=st.lists(st.tuples(st.integers(-2, 16), st.integers(-2, 16), st.floats(-2, 2)), max_size=6),
    data=st.data(),
)
def test_a_span_is_paid_to_the_tokens_that_a_look_at_each_finds(
    tokens: list[tuple[int, int]], ordered: bool, spans: list[tuple[int, int, float]], data: st.DataObject
) -> None:
    """Tokens in order, zero-width ones among them, and tokens in any order: the same as without any search."""
    if ordered:
        ends = sorted(end for _, end in tokens)
        tokens = [(min(start, end), end) for start, end in zip(sorted(start for start, _ in tokens), ends, strict=True)]
    wrote = data.draw(st.lists(st.booleans(), min_size=len(tokens), max_size=len(tokens)))
    for placement in ("span_end", "spread"):
        rewards, moved = [0.0] * len(tokens), 0
        before = [max((j for j in range(i + 1) if wrote[j]), default=-1) for i in range(len(tokens))]
        for start, stop, value in spans if any(wrote) else ():
            there = [i for i, (first, last) in enumerate(tokens) if max(first, start) < min(last, stop)]
            there = there if placement == "spread" else there[-1:]
            targets = [before[i] for i in there if before[i] >= 0]
            moved += not targets
            for target in targets or [before[-1]]:
                rewards[target] += value / max(len(targets), 1)
        placed = place(spans, 0.0, tokens, wrote, placement)  # type: ignore[arg-type]
        assert placed.rewards == rewards
        assert placed.moved == (moved if any(wrote) else len(spans))


def test_text_is_not_cleaned_up() -> None:
    tokenizer = made("byte-level")
    text = "it 's fine , is n't it ? <a> b"
    assert decode_text(tokenizer, tokenizer(text)["input_ids"]) == text


spans_of = st.lists(
    st.tuples(st.integers(-3, 40), st.integers(-3, 40), st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 6))),
    max_size=8,
)


@EVERY
@pytest.mark.parametrize("placement", PLACEMENTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data(), spans=spans_of, terminal=st.floats(-3, 3))
def test_credit_is_conserved_and_stays_where_it_was_earned(
    kind: str, placement: str, data: st.DataObject, spans: list[tuple[int, int, float]], terminal: float
) -> None:
    ids = data.draw(generated(kind).filter(bool))
    found = decode(made(kind), ids)
    wrote = [True] * len(ids)
    placed = place(spans, terminal, found.spans, wrote, placement)  # type: ignore[arg-type]
    total = terminal + math.fsum(value for *_, value in spans)
    assert abs(sum(placed.rewards) - total) < 1e-9
    for span in spans:
        alone = place([span], 0.0, found.spans, wrote, placement)  # type: ignore[arg-type]
        start, end, value = span
        overlapping = {i for i, (first, last) in enumerate(found.spans) if max(start, first) < min(end, last)}
        paid = {i for i, reward in enumerate(alone.rewards) if reward}
        if placement == "terminal":
            assert paid <= {len(ids) - 1}
        elif overlapping:
            assert alone.moved == 0
            assert paid == ((overlapping if placement == "spread" else {max(overlapping)}) if value else set())
        else:
            assert alone.moved == 1
            assert paid <= {len(ids) - 1}


def test_one_span_over_everything_is_the_sparse_reward() -> None:
    tokenizer = made("byte-level")
    found = decode(tokenizer, [*tokenizer(CORPUS[0])["input_ids"]])
    wrote = [True] * len(found.spans)
    dense = place([(0, len(found.text), 0.7)], 0.0, found.spans, wrote, "span_end")
    sparse = place([], 0.7, found.spans, wrote, "span_end")
    assert dense.rewards == sparse.rewards


def test_credit_on_text_of_tools_moves_to_the_policy_before_it() -> None:
    tokens = [(0, 2), (2, 4), (4, 6), (6, 8), (8, 8)]
    wrote = [False, True, False, True, False]
    for placement in ("span_end", "spread"):
        placed = place([(4, 6, 1.0)], 0.5, tokens, wrote, placement)  # type: ignore[arg-type]
        assert placed.rewards == [0, 1, 0, 0.5, 0]
    first = place([(0, 2, 1.0)], 0.0, tokens, wrote, "span_end")
    assert (first.rewards, first.moved) == ([0, 0, 0, 1, 0], 1)
    nobody = place([(0, 2, 1.0)], 1.0, tokens, [False] * 5, "span_end")
    assert (nobody.rewards, nobody.moved) == ([0] * 5, 1)
    assert place([], 1.0, [], [], "spread").rewards == []


def _domain(terms: dict[str, float | Term], *, cap: bool) -> Domain:
    """Rewards that pay and charge random places of a completion; the same for the same text."""

    def seeded(name: str, low: float, high: float) -> Reward:
        def fn(completion: Completion) -> Score:
            draw = random.Random(f"{name}\0{completion.text}")
            size = len(completion.text)
            places = [sorted((draw.randint(0, size), draw.randint(0, size))) for _ in range(3)]
            spans = [Span(start, end, draw.uniform(low, high) / 4) for start, end in places if start < end]
            if draw.random() < 0.4:  # right: the whole of it, in any parts
                return Score(high - math.fsum(span.value for span in spans), spans, correct=True)
            return Score(draw.uniform(low, high) / 4, spans, correct=False)

        return Reward(fn=fn, name=name, bounds=(low, high), cost="cpu")

    return Domain(
        prompt=lambda task: [{"role": "user", "content": "?"}],
        parse=lambda text, task: Completion(text, text),
        gold=lambda task: None,
        samples=lambda split: [],
        rewards=[seeded("a", 0.0, 1.0), seeded("b", -1.0, 1.0), seeded("c", -2.0, 0.0)],
        rubrics={"x": Rubric(terms, correct="a", cap_wrong=cap)},
    )


TERMS: dict[str, float | Term] = {
    "a": Term(3.0, clip=(0.1, 0.6)),
    "b": Term(0.5, normalise="bounds", clip=(0.0, 0.8)),
    "c": Term(1.5, when="a >= 0.3", otherwise=-0.25, clip=(-1.0, 0.0)),
}


@pytest.mark.parametrize("kind", TABLED)
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("cap", [False, True])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_totals_are_conserved_after_scale_clip_and_cap(
    kind: str, placement: str, cap: bool, data: st.DataObject
) -> None:
    """From text through a rubric with every kind of term to token rewards: their sum is the total."""
    tokenizer = made(kind)
    rows = [data.draw(generated(kind).filter(bool)) for _ in range(4)]
    decoded = [decode(tokenizer, ids) for ids in rows]
    with Scorer(_domain(TERMS, cap=cap), workers=0) as scorer:
        scored = scorer.score([Row(Task("0", {}), text.text) for text in decoded])
        names = components(scorer.rubric)
        groups = group_credits(scored, scorer.rubric, 2)
    width = max(map(len, rows))
    wrote = [[True] * len(ids) for ids in rows]
    credit = token_credit(groups, 0, decoded, wrote, names, placement, width)  # type: ignore[arg-type]
    assert credit.scored.all()
    for row, one in enumerate(scored):
        assert one.total is not None
        assert abs(float(credit.rewards[row].sum()) - one.total) < 1e-9
        assert not credit.rewards[row, :, len(rows[row]) :].any()
    half = token_credit(groups, 2, decoded[2:], wrote[2:], names, placement, width)  # type: ignore[arg-type]
    assert half.rewards.tolist() == credit.rewards[2:].tolist()
