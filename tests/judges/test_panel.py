"""Several judges as one: votes, quorum, one budget for all, and the report of how they got on."""

from __future__ import annotations

from typing import Any

import pytest
from chat_server import ChatServer
from judge_talk import HERE, listed, run, scripted, shown, talk

from honewise.errors import JudgeBudgetExceeded, JudgeError, RecipeError, UserError
from honewise.judges import Pairwise, Panel, Pointwise, Ranking, SegmentLabels, Vote, build_panel
from honewise.recipes.judge_file import load_judge_spec

FILE = "judge_templates/answer.md"
SLOTS = {"question": "2+2?", "answer": "It is 4."}
SCORE = Pointwise(FILE, package=HERE)


def panel(*replies: str, **vote: Any) -> Panel:
    members = {
        name: scripted(lambda prompt, reply=reply: reply) for name, reply in zip("abcdef", replies, strict=False)
    }
    return Panel(members, Vote(**vote))


@pytest.mark.parametrize(
    ("vote", "value"),
    [
        ({}, 0.6),
        ({"rule": "median"}, 0.8),
        ({"rule": "majority"}, 0.8),
        ({"rule": "approval", "threshold": 0.5}, 2 / 3),
        ({"rule": "veto", "threshold": 0.3}, 0.2),
        ({"weights": {"a": 2.0, "b": 2.0}}, 0.68),
        ({"ranges": {"c": (0.0, 0.2)}}, 2.6 / 3),
    ],
)
def test_votes_on_one_answer(vote: dict[str, Any], value: float) -> None:
    found = run(SCORE(panel("Score: 8", "Score: 8", "Score: 2", **vote), **SLOTS))
    assert found.value == pytest.approx(value)
    assert found.votes == {"a": 0.8, "b": 0.8, "c": 0.2}
    assert found.spread == pytest.approx(0.6)
    assert run(panel("Score: 8", "Score: 8", "Score: 2", **vote)(SCORE.template, **SLOTS)).value == pytest.approx(value)


def test_without_a_quorum_there_is_no_verdict() -> None:
    broken = ("Score: 8", "no\nno", "Score: 2")
    with pytest.raises(JudgeError, match=r"2 of 3 judges gave a verdict, 3 are needed \(b: "):
        run(SCORE(panel(*broken), **SLOTS))
    judges = panel(*broken, quorum=2)
    assert run(SCORE(judges, **SLOTS)).value == pytest.approx(0.5)
    report = judges.report()
    assert (report.questions, report.decided, report.failed) == (1, 1, {"a": 0, "b": 1, "c": 0})


def test_pairs_and_rankings_are_voted_on_by_their_own_rules() -> None:
    pair = {"question": "q", "first": "long one", "second": "short"}
    longer = scripted(lambda prompt: "1" if len(shown(prompt)["first"]) > 5 else "2")
    place = scripted(lambda prompt: "1")
    shorter = scripted(lambda prompt: "2" if len(shown(prompt)["first"]) > 5 else "1")
    judges = Panel({"a": longer, "b": longer, "c": shorter, "d": place}, Vote(rule="majority"))
    found = run(Pairwise("judge_templates/pair.md", package=HERE)(judges, **pair))
    assert (found.value, found.winner) == (1.0, 0)
    assert found.votes == {"a": 1.0, "b": 1.0, "c": 0.0, "d": 0.5}
    assert not found.agrees

    def order(*wanted: str) -> Any:
        def reply(prompt: str) -> str:
            texts = listed(prompt, "answers")
            return "Ranking: " + " > ".join(str(texts.index(text) + 1) for text in wanted)

        return scripted(reply)

    known = {**{f"v{n}": order("A", "B", "C") for n in range(3)}, **{f"w{n}": order("B", "C", "A") for n in range(2)}}
    ranking = Ranking("judge_templates/group.md", package=HERE)
    answers = {"question": "q", "answers": ["A", "B", "C"]}
    borda, copeland = Panel(known, Vote(ranking="borda")), Panel(known, Vote(ranking="copeland"))
    assert run(ranking(borda, **answers)).best == 1
    assert run(ranking(copeland, **answers)).best == 0
    assert borda.report().cycles == 0
    circle = Panel({"x": order("A", "B", "C"), "y": order("B", "C", "A"), "z": order("C", "A", "B")})
    assert run(ranking(circle, **answers)).best is None
    assert circle.report().cycles == 1


def test_labels_of_segments_are_voted_on_one_by_one() -> None:
    values = {"good": 1.0, "bad": 0.0}
    protocol = SegmentLabels("judge_templates/segments.md", package=HERE, values=values)
    judges = panel("Labels:\n1: good\n2: good", "Labels:\n1: good\n2: bad", "Labels:\n1: bad\n2: bad")
    found = run(protocol(judges, answer="It is four. It is five.", question="q"))
    assert found.labels == ("good", "bad")
    assert found.value == pytest.approx(0.5)
    assert found.spread == 1.0
    low, high = (run(protocol(panel("Labels:\n1: good", "Labels:\n1: bad", ties=t), answer="Four it is.", question="q"))
                 for t in ("low", "high"))  # fmt: skip
    assert (low.labels, high.labels) == (("bad",), ("good",))


def test_the_report_names_who_stands_apart() -> None:
    judges = panel("Score: 8", "Score: 8", "Score: 2")
    for number in range(3):
        run(SCORE(judges, question=str(number), answer="It is 4."))
    report = judges.report()
    assert report.questions == 3
    assert report.means == pytest.approx({"a": 0.8, "b": 0.8, "c": 0.2})
    assert report.apart == pytest.approx({"a": 0.3, "b": 0.3, "c": 0.6})
    assert report.disagreement == pytest.approx(0.4)


def test_one_budget_for_all_judges() -> None:
    with ChatServer(lambda body: "Score: 5") as server:
        spec = load_judge_spec(
            {
                "panel": {name: {"url": server.url, "model": name, "cache": False} for name in ("one", "two")},
                "budget": {"calls": 3},
            }
        )
        with build_panel(spec) as judges:

            async def ask() -> None:
                try:
                    await SCORE(judges, **SLOTS)
                    await SCORE(judges, question="other", answer="It is 5.")
                finally:
                    await judges.aclose()

            with pytest.raises(JudgeBudgetExceeded):
                run(ask())
            assert len(server.calls) == 3
            calls = judges.take_calls()
        assert {call.model for call in calls} == {"one", "two"}
        assert {call.body["model"] for call in server.calls} == {"one", "two"}


TWO = {name: {"url": "http://x/v1", "model": name} for name in ("ann", "bob")}


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"panel": {"a": {"url": "http://x/v1", "model": "m"}}}, "judge.panel"),
        ({"panel": {"a": {"url": "http://x/v1"}, "b": {"policy": "adapter-off"}}}, "judge.panel.a.model: is missing"),
        ({"url": "http://x/v1", "model": "m", "vote": {"rule": "mean"}}, "no panel is given"),
        ({"panel": TWO, "temperature": 1.0}, "belongs to each judge"),
        ({"panel": TWO, "vote": {"quorum": 3}}, "3 votes are needed"),
        ({"panel": TWO, "vote": {"weights": {"anna": 2.0}}},
         "no judge 'anna' on the panel"),
        ({"panel": TWO, "vote": {"rule": "borda"}}, "judge.vote.rule"),
        ({"panel": TWO, "vote": {"ranges": {"ann": [1.0, 0.0]}}},
         "the lower end and then the higher one"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_panel_is_told(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(RecipeError) as raised:
        load_judge_spec(spec)
    assert why in str(raised.value)


def test_a_panel_needs_two_and_its_votes_name_members() -> None:
    with talk(lambda text: "Score: 5") as (judge, _), pytest.raises(UserError, match="at least two"):
        Panel({"a": judge})
    with pytest.raises(UserError, match=r"'anna', who is not on the panel.*'ann'"):
        Panel({"ann": scripted(lambda p: ""), "bob": scripted(lambda p: "")}, Vote(weights={"anna": 2.0}))
