"""Labels for sentences and clauses that become credit where these stand."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import HERE, listed, run, scripted

from honewise.contracts import Completion, Piece
from honewise.errors import JudgeError, UserError
from honewise.judges import SegmentLabels, chunks, clauses, lines, score_segments, sentences

FILE = "judge_templates/segments.md"
VALUES = {"supported": 1.0, "partly": 0.5, "unsupported": 0.0}
TEXT = "Heaps are trees. Stacks are queues! Lists, too."


def labels(**by_word: str) -> Any:
    """A model that labels a segment by the word it begins with."""

    def model(prompt: str) -> str:
        texts = listed(prompt, "segments")
        return "Labels:\n" + "\n".join(f"{n}: {by_word[text.split()[0].strip(',')]}" for n, text in enumerate(texts, 1))

    return model


MODEL = labels(Heaps="supported", Stacks="unsupported", Lists="partly")


def test_labels_become_spans_where_the_sentences_stand() -> None:
    found = run(
        SegmentLabels(FILE, package=HERE, values=VALUES, kind="facts")(scripted(MODEL), answer=TEXT, question="q")
    )
    assert found.labels == ("supported", "unsupported", "partly")
    assert [TEXT[span.start : span.end] for span in found.spans] == [
        "Heaps are trees.",
        "Stacks are queues!",
        "Lists, too.",
    ]
    assert [span.value for span in found.spans] == pytest.approx([1 / 3, 0, 0.5 / 3])
    assert [span.label for span in found.spans] == ["facts: supported", "facts: unsupported", "facts: partly"]
    assert found.value == pytest.approx(0.5)
    score = found.score()
    assert score.value == pytest.approx(0.5)
    assert score.parts == {"facts": pytest.approx(0.5)}


def test_positions_are_absolute_and_a_sum_is_a_sum() -> None:
    whole = f"<think>hm</think>{TEXT}"
    piece = Piece(TEXT, whole.index("Heaps"))
    protocol = SegmentLabels(
        FILE, package=HERE, values={"supported": 0.5, "partly": 0.0, "unsupported": -0.5}, total="sum"
    )
    found = run(protocol(scripted(MODEL), answer=piece, question="q"))
    assert whole[found.spans[1].start : found.spans[1].end] == "Stacks are queues!"
    assert [span.value for span in found.spans] == [0.5, -0.5, 0.0]
    same = run(protocol(scripted(MODEL), answer=Completion(TEXT), question="q"))
    assert [span.start for span in same.spans] == [span.start - piece.start for span in found.spans]


def test_several_kinds_are_one_score() -> None:
    facts = run(
        SegmentLabels(FILE, package=HERE, values=VALUES, kind="facts")(scripted(MODEL), answer=TEXT, question="q")
    )
    other = SegmentLabels(
        FILE, package=HERE, values={"relevant": 0.3, "irrelevant": -0.3}, kind="relevance", segmenter=clauses
    )
    judge = scripted(
        labels(Heaps="relevant", Stacks="relevant", Lists="irrelevant", too="relevant", **{"too.": "relevant"})
    )
    relevance = run(other(judge, answer=TEXT, question="q"))
    assert len(relevance.spans) == 4
    score = score_segments(facts, relevance)
    assert score.value == pytest.approx(facts.value + relevance.value)
    assert len(score.spans) == 7
    assert set(score.parts) == {"facts", "relevance"}


def test_many_segments_take_several_calls() -> None:
    text = " ".join(f"Heaps have {n} trees." for n in range(7))
    judge = scripted(MODEL)
    found = run(SegmentLabels(FILE, package=HERE, values=VALUES, at_once=3)(judge, answer=text, question="q"))
    assert len(judge.client.backend.requests) == 3
    assert found.value == pytest.approx(1.0)
    assert len(found.spans) == 7


@pytest.mark.parametrize("reply", ["Labels:\n1: supported", "Labels:\n1: supported\n2: true\n3: partly", "supported"])
def test_a_segment_without_a_label_leaves_it_unscored(reply: str) -> None:
    with pytest.raises(JudgeError):
        run(SegmentLabels(FILE, package=HERE, values=VALUES)(scripted(lambda p: reply), answer=TEXT, question="q"))


@pytest.mark.parametrize("answer", ["", "  \n ", ":", "Thought process:"])
def test_an_answer_that_is_none_pays_the_least_without_a_call(answer: str) -> None:
    judge = scripted(MODEL)
    protocol = SegmentLabels(FILE, package=HERE, values={"good": 0.3, "bad": -0.3}, kind="k")
    found = run(protocol(judge, answer=answer, question="q"))
    assert (found.value, found.spans) == (-0.3, ())
    assert found.score().terminal == -0.3
    assert not judge.client.backend.requests
    with pytest.raises(UserError, match="segments are those of"):
        run(protocol(judge, answer=3, question="q"))  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=60), st.sampled_from([sentences, clauses, lines, lambda text: chunks(text, 7)]))
def test_no_segmenter_loses_a_character(text: str, segmenter: Any) -> None:
    pieces = segmenter(text)
    assert "".join(piece.text for piece in pieces) == text
    assert all(text[piece.start : piece.end] == piece.text and piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Dr. Li paid 3.50 to J. Smith. He left.", ["Dr. Li paid 3.50 to J. Smith.", "He left."]),
        ("今天下雨。明天不会！好吗？", ["今天下雨。", "明天不会！", "好吗？"]),
        ("هل هذا صحيح؟ نعم. شكرا۔", ["هل هذا صحيح؟", "نعم.", "شكرا۔"]),
        ("यह सही है। हाँ।", ["यह सही है।", "हाँ।"]),
        ("Wait... what?! Yes.", ["Wait... what?!", "Yes."]),
        ("1. First thing\n2. Second thing", ["1. First thing", "2. Second thing"]),
        ('He said "No." Then he left.', ['He said "No."', "Then he left."]),
        ("See example.org for more. It is v1.2.3 now.", ["See example.org for more.", "It is v1.2.3 now."]),
    ],
)
def test_sentences_of_several_scripts(text: str, found: list[str]) -> None:
    assert [piece.text.strip() for piece in sentences(text)] == found
