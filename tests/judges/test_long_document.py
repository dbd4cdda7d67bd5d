"""LongReward's four sides of an answer from a long document."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from judge_talk import listed, run, scripted, shown

from honewise.errors import JudgeError, UserError
from honewise.judges import LongDocument, Panel
from honewise.testing import FakeJudge

WORDS = ["heaps", "stacks", "trees", "queues", "rings", "lists"]
DOCUMENT = "\n".join(f"Chapter {n} tells of {word} and of nothing else at all." for n, word in enumerate(WORDS))
ANSWER = "Chapter 1 tells of stacks. Chapter 2 tells of kings."
SLOTS = {"question": "What is it about?", "answer": ANSWER, "document": DOCUMENT}


def kind(slots: dict[str, str]) -> str:
    for slot, name in (("statement", "support"), ("part", "extract")):
        if slot in slots:
            return name
    return "completeness" if any(tag.startswith("findings") for tag in slots) else "whole"


class Reader:
    """A model that reads: what it is asked is told by the slots."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.prompts: dict[str, list[str]] = {}

    def __call__(self, prompt: str) -> str:
        slots = shown(prompt)
        what = kind(slots)
        if what == "whole":
            what = "statements" if "<statement>" in prompt else "helpful" if "how helpful" in prompt else "logical"
        self.asked[what] += 1
        self.prompts.setdefault(what, []).append(prompt)
        if what == "statements":
            return "".join(
                f"<statement>{each.strip()}.</statement>\n" for each in slots["answer"].split(".") if each.strip()
            )
        if what == "support":
            told = " ".join(listed(prompt, "passages")).replace(" and of nothing else at all", "")
            return f"So.\nVerdict: {'fully supported' if slots['statement'] in told else 'no support'}"
        if what == "extract":
            return "Nothing relevant." if "trees" in slots["part"] else f"It says: {slots['part'][:40]}"
        return {"helpful": "Score: 8", "logical": "Score: 6", "completeness": "Score: 5"}[what]


def judging(reader: Any) -> Any:
    return scripted(reader)


def test_four_sides_and_their_mean() -> None:
    reader = Reader()
    found = run(LongDocument(part=130, top=1, passage=70)(judging(reader), **SLOTS))
    assert found.parts == {"helpfulness": 0.8, "logicality": 0.6, "faithfulness": 0.5, "completeness": 0.5}
    assert found.value == pytest.approx((0.8 + 0.6 + 0.5 + 0.5) / 4)
    assert reader.asked == {"helpful": 1, "logical": 1, "statements": 1, "support": 2, "extract": 3, "completeness": 1}
    for what in ("helpful", "logical", "statements"):
        assert "nothing else at all" not in reader.prompts[what][0], "these do not see the document"
    assert any(
        listed(prompt, "passages") == ["Chapter 1 tells of stacks and of nothing else at all."]
        for prompt in reader.prompts["support"]
    )
    findings = listed(reader.prompts["completeness"][0], "findings")
    assert len(findings) == 2, "parts without anything relevant are left out"
    assert findings[0].startswith("[0% to ")
    assert "no support" in found.rationale


def test_a_document_is_read_once_for_all_answers_to_a_question() -> None:
    reader = Reader()
    judge, protocol = judging(reader), LongDocument(part=130)
    run(protocol(judge, **SLOTS))
    run(protocol(judge, **{**SLOTS, "answer": "Chapter 4 tells of rings."}))
    assert reader.asked["extract"] == 3
    assert reader.asked["completeness"] == 2
    run(protocol(judge, **{**SLOTS, "question": "Which chapters are there?"}))
    assert reader.asked["extract"] == 6


def test_answers_that_come_together_share_it() -> None:
    import asyncio

    reader = Reader()
    judge, protocol = judging(reader), LongDocument(part=130, dimensions=("completeness",))

    async def both() -> None:
        await asyncio.gather(*(protocol(judge, **{**SLOTS, "answer": f"Answer number {n}."}) for n in range(4)))

    run(both())
    assert (reader.asked["extract"], reader.asked["completeness"]) == (3, 4)


def test_sides_that_are_left_out_cost_nothing() -> None:
    reader = Reader()
    found = run(LongDocument(dimensions=("faithfulness",))(judging(reader), **SLOTS))
    assert set(reader.asked) == {"statements", "support"}
    assert set(found.parts) == {"faithfulness"}
    with pytest.raises(UserError, match=r"no dimension 'faithfullness'.*'faithfulness'"):
        LongDocument(dimensions=("faithfullness",))


def test_an_answer_without_facts_and_a_judge_without_verdicts() -> None:
    reader = Reader()

    def none(prompt: str) -> str:
        return "No statements." if "<statement>" in prompt else reader(prompt)

    protocol = LongDocument(dimensions=("faithfulness",), no_statements=0.25)
    assert run(protocol(judging(none), **SLOTS)).value == 0.25

    def hazy(prompt: str) -> str:
        return "Verdict: somewhat" if "statement" in shown(prompt) else reader(prompt)

    with pytest.raises(JudgeError, match="is none of fully supported"):
        run(LongDocument()(judging(hazy), **SLOTS))
    with pytest.raises(JudgeError, match="no <statement>"):
        run(protocol(judging(lambda prompt: "It says much."), **SLOTS))


def test_too_many_statements_are_sampled_and_the_writer_cannot_choose() -> None:
    answer = " ".join(f"Chapter {n} tells of kings." for n in range(30))
    reader = Reader()
    run(LongDocument(dimensions=("faithfulness",), most=5)(judging(reader), **{**SLOTS, "answer": answer}))
    assert reader.asked["support"] == 5
    looked = {shown(prompt)["statement"] for prompt in reader.prompts["support"]}
    assert looked != {f"Chapter {n} tells of kings." for n in range(5)}


def test_what_cannot_be_judged() -> None:
    protocol = LongDocument()
    with pytest.raises(JudgeError, match="there is no document"):
        run(protocol(FakeJudge(), **{**SLOTS, "document": " "}))
    with pytest.raises(UserError, match="give document="):
        run(protocol(FakeJudge(), question="q", answer="a"))
    trivial = run(protocol(FakeJudge(), **{**SLOTS, "answer": "Thought process:"}))
    assert (trivial.value, set(trivial.parts.values())) == (0.0, {0.0})


def test_a_panel_votes_on_each_side() -> None:
    one, two = Reader(), Reader()
    panel = Panel({"one": judging(one), "two": judging(lambda prompt: two(prompt).replace("Score: 8", "Score: 4"))})
    found = run(LongDocument()(panel, **SLOTS))
    assert found.parts["helpfulness"] == pytest.approx(0.6)
    assert found.parts["logicality"] == pytest.approx(0.6)
    assert set(found.votes) == {"one", "two"}
    assert one.asked["extract"] == two.asked["extract"] == 1
