"""What a judge sees and the policy does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import HERE, listed, run, scripted, shown

from honewise.contracts import Task, Unscored
from honewise.errors import JudgeBudgetExceeded, JudgeError, UserError
from honewise.judges import Bm25, Panel, Pointwise, Retrieved, SelfReference, chunks, from_inputs, from_reference

GOLD = "judge_templates/gold.md"
TASK = Task("t", {"question": "Which tree?"}, {"gold": "It is four.", "notes": ["a", "b"], "count": 3})


def seen(provider: Any, **slots: Any) -> dict[str, str]:
    """What the judge is shown where ``gold`` comes from this provider."""
    judge = scripted(lambda prompt: "Score: 5")
    protocol = Pointwise(GOLD, package=HERE, context={"gold": provider})
    assert protocol.slots == ("answer",)
    run(protocol(judge, answer="It is 4.", **slots))
    return shown(judge.client.backend.requests[0].messages[0]["content"])


def test_gold_comes_from_the_task() -> None:
    assert seen(from_reference("gold"), task=TASK) == {"answer": "It is 4.", "gold": "It is four."}
    assert seen(from_inputs("question"), task=TASK)["gold"] == "Which tree?"
    assert seen(from_reference("count"), task=TASK)["gold"] == "3"
    assert {k: v for k, v in seen(from_reference("notes"), task=TASK).items() if k != "answer"} == {
        "gold-1": "a",
        "gold-2": "b",
    }


def test_a_function_of_ones_own_takes_what_it_names() -> None:
    async def mine(answer: str, task: Task) -> str:
        return f"{task.id}: {answer}"

    assert seen(mine, task=TASK)["gold"] == "t: It is 4."
    assert seen(lambda answer: [answer, answer])["gold-2"] == "It is 4."


@pytest.mark.parametrize(
    ("provider", "why"),
    [
        (from_reference("none"), "context 'gold' is missing: the task has no reference 'none'"),
        (lambda: Unscored("the store is down"), "context 'gold' is missing: the store is down"),
        (lambda: None, "context 'gold' is missing: there is none"),
        (lambda: 7, "its provider gave int, not text"),
        (lambda: 1 / 0, "its provider raised ZeroDivisionError"),
    ],
)
def test_a_context_that_is_missing_is_unscored_and_asks_nobody(provider: Any, why: str) -> None:
    judge = scripted(lambda prompt: "Score: 5")
    with pytest.raises(JudgeError, match=why):
        run(Pointwise(GOLD, package=HERE, context={"gold": provider})(judge, task=TASK, answer="It is 4."))
    assert not judge.client.backend.requests


def test_mistakes_and_used_up_budgets_are_not_hidden() -> None:
    judge = scripted(lambda prompt: "Score: 5")
    with pytest.raises(UserError, match=r"context 'gold' asks for 'awnser', which is not there.*'answer'"):
        run(Pointwise(GOLD, package=HERE, context={"gold": lambda awnser: awnser})(judge, answer="It is 4."))

    def spent() -> str:
        raise JudgeBudgetExceeded("calls 1 of 1")

    with pytest.raises(JudgeBudgetExceeded):
        run(Pointwise(GOLD, package=HERE, context={"gold": spent})(judge, answer="It is 4."))


def test_each_member_of_a_panel_writes_a_reference_of_its_own() -> None:
    def model(name: str) -> Any:
        def reply(prompt: str) -> str:
            slots = shown(prompt)
            if "gold" not in slots:
                return f"{name} says four."
            assert slots["gold"] == f"{name} says four."
            return "Score: 4" if name == "one" else "Score: 8"

        return reply

    own = SelfReference.by("judge_templates/own.md", package=HERE)
    panel = Panel({"one": scripted(model("one")), "two": scripted(model("two"))})
    protocol = Pointwise("judge_templates/referenced.md", package=HERE, context={"gold": own})
    found = run(protocol(panel, question="2+2?", answer="It is 4."))
    assert found.value == pytest.approx(0.6)


DOCUMENT = " ".join(
    f"Section {n} is about {word}." for n, word in enumerate(["heaps", "stacks", "trees", "queues", "rings"])
)


def test_passages_are_retrieved_and_stand_in_their_order() -> None:
    provider = Retrieved("document", query="answer", top=2, size=30)
    task = Task("t", {"document": DOCUMENT}, {})
    judge = scripted(lambda prompt: "Score: 5")
    protocol = Pointwise(GOLD, package=HERE, context={"gold": provider})
    run(protocol(judge, task=task, answer="rings and heaps"))
    prompt = judge.client.backend.requests[0].messages[0]["content"]
    assert listed(prompt, "gold") == ["Section 0 is about heaps.", "Section 4 is about rings."]
    with pytest.raises(JudgeError, match="no document 'document' to look in"):
        run(protocol(judge, task=TASK, answer="rings"))

    async def last(query: str, passages: Any, top: int) -> list[int]:
        return [len(passages) - 1]

    own = Pointwise(
        GOLD, package=HERE, context={"gold": Retrieved("document", query="answer", size=30, retriever=last)}
    )
    run(own(judge, task=task, answer="stacks it is"))
    assert listed(judge.client.backend.requests[1].messages[0]["content"], "gold") == ["Section 4 is about rings."]


def test_bm25_by_hand() -> None:
    index = Bm25(["a a b", "b c", "c d e"])
    # idf(a) = ln(1 + 2.5 / 1.5); f = 2, |d| = 3, mean 8 / 3: 2 (2.5) / (2 + 1.5 (.25 + .75 x 3 / (8 / 3)))
    assert index.scores("a")[0] == pytest.approx(0.98083 * 5 / (2 + 1.5 * (0.25 + 0.75 * 9 / 8)), abs=1e-4)
    assert index.scores("A a")[1:] == [0.0, 0.0]
    assert index.top("c", 5) == [1, 2]
    assert index.top("nothing here", 5) == []
    assert Bm25([]).top("a", 3) == []
    assert Bm25(["天下雨了", "天下太平"]).top("下雨", 1) == [0]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200), st.integers(1, 20))
def test_chunks_are_short_enough_and_lose_nothing(text: str, size: int) -> None:
    pieces = chunks(text, size)
    assert "".join(piece.text for piece in pieces) == text
    assert all(0 < len(piece.text) <= size for piece in pieces)
