"""Core's reward that asks with a registered template or protocol."""

from __future__ import annotations

from typing import Any

import pytest
from judge_talk import HERE, run, scripted, shown

from honewise.contracts import Completion, JudgeTemplate, Piece, Score, Task, Unscored
from honewise.errors import UserError
from honewise.judges import Checklist, Pairwise, Pointwise, SegmentLabels, from_reference, judged, registered, scale

TASK = Task(
    "t", {"question": "2+2?", "facts": {"a": 1}}, {"gold": "four"}, prompt=({"role": "user", "content": "Say: 2+2?"},)
)
DONE = Completion("<a>It is 4.</a>", "It is 4.", {"answer": Piece("It is 4.", 3)})


class Host:
    """What is registered."""

    def __init__(self, template: Any) -> None:
        self.template = template

    def judge(self, name: str) -> Any:
        assert name == "manners/polite"
        return self.template


def score(
    monkeypatch: pytest.MonkeyPatch, template: Any, judge: Any, completion: Completion = DONE
) -> Score | Unscored:
    monkeypatch.setattr(registered, "get_host", lambda: Host(template))
    return run(judged.fn(task=TASK, completion=completion, judge=judge, template="manners/polite"))


def test_a_template_is_filled_by_the_names_of_its_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = scripted(lambda prompt: "Why not.\nScore: 7")
    plain = JudgeTemplate("judge_templates/answer.md", scale(0, 10), package=HERE)
    found = score(monkeypatch, plain, judge)
    assert isinstance(found, Score)
    assert (found.value, found.feedback) == (0.7, "Why not.")
    assert shown(judge.client.backend.requests[0].messages[0]["content"]) == {"question": "2+2?", "answer": "It is 4."}
    trivial = score(monkeypatch, plain, judge, Completion("Thought process:"))
    assert isinstance(trivial, Score)
    assert (trivial.value, trivial.feedback) == (0.0, "trivial: opening")
    assert len(judge.client.backend.requests) == 1


def test_protocols_bring_their_context_parts_and_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    gold = Pointwise("judge_templates/gold.md", package=HERE, context={"gold": from_reference("gold")})
    judge = scripted(lambda prompt: "Score: 4")
    assert score(monkeypatch, gold, judge) == Score(0.4)
    assert shown(judge.client.backend.requests[0].messages[0]["content"])["gold"] == "four"
    checks = Checklist("judge_templates/answer.md", package=HERE, questions={"right": "?", "short": "?"})
    found = score(monkeypatch, checks, scripted(lambda prompt: "Answers:\nright: yes\nshort: no"))
    assert isinstance(found, Score)
    assert (found.value, found.parts) == (0.5, {"right": 1.0, "short": 0.0})
    labels = SegmentLabels("judge_templates/segments.md", package=HERE, values={"good": 1.0, "bad": 0.0})
    found = score(monkeypatch, labels, scripted(lambda prompt: "Labels:\n1: good"))
    assert isinstance(found, Score)
    assert [(span.start, span.end, span.value) for span in found.spans] == [(3, 11, 1.0)]


def test_what_cannot_be_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = scripted(lambda prompt: "Score: 4")
    other = Pointwise("judge_templates/world.md", package=HERE)
    found = score(monkeypatch, other, judge)
    assert isinstance(found, Unscored)
    assert "placeholder 'truth'" in found.reason
    with pytest.raises(UserError, match="compares answers"):
        score(monkeypatch, Pairwise("judge_templates/pair.md", package=HERE), judge)


def test_a_recipe_with_an_unknown_template_is_told_so() -> None:
    from honewise.errors import RecipeError
    from honewise.stages.recipe import read

    text = "rubric.rewards.judged={weight: 0.5, options: {template: manners/polite}}"
    where = ["judge={url: 'http://127.0.0.1:9/v1', model: m}"]
    with pytest.raises(RecipeError, match=r"rubric\.rewards\.judged\.options\.template: no judge"):
        read("arithmetic/quickstart", [text, *where])
