"""Judging by outcomes: an inflated answer looks better than it is until the judge sees what came of it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from judge_talk import HERE, listed, run, scripted, shown

from honewise.contracts import Completion, Judge, Reward, Task, Unscored, reward
from honewise.errors import JudgeError, UserError
from honewise.judges import Hindsight, Outcome, Pairwise, Pointwise, SimulatedOutcome

SEEN, PAIR = "judge_templates/seen.md", "judge_templates/pair_seen.md"
HONEST, INFLATED = "It may work.", "It will certainly work!"
UTILITY = {HONEST: 0.2, INFLATED: -0.5}
PROMISED = {HONEST: 0.2, INFLATED: 0.9}
TASK = Task("t", {}, {"truth": "It does not work."})


def outcome(answer: str) -> Outcome:
    return Outcome(
        f"utility {UTILITY[answer]}", [f"utility {value}" for key, value in UTILITY.items() if key != answer]
    )


def believer(prompt: str) -> str:
    """Goes by what came of it where that is known, else by what is promised."""
    slots = shown(prompt)
    seen = re.search(r"utility (-?[\d.]+)", slots["outcome"])
    worth = float(seen[1]) if seen else PROMISED[slots["answer"]]
    return f"Score: {5 + 5 * worth:g}"


@pytest.mark.parametrize(
    ("view", "best", "worth"), [("none", INFLATED, 0.9), ("partial", HONEST, 0.2), ("full", HONEST, 0.2)]
)
def test_foresight_picks_what_is_promised_and_hindsight_what_came(view: Any, best: str, worth: float) -> None:
    protocol = Hindsight(Pointwise(SEEN, package=HERE, to=(-1, 1)), outcome, view=view)
    found = {answer: run(protocol(scripted(believer), answer=answer)).value for answer in UTILITY}
    assert max(found, key=found.__getitem__) == best
    assert found[best] == pytest.approx(worth)


def test_with_a_perfect_forecaster_both_agree() -> None:
    perfect = lambda prompt: f"Score: {5 + 5 * UTILITY[shown(prompt)['answer']]:g}"  # noqa: E731
    for answer in UTILITY:
        values = {
            run(Hindsight(Pointwise(SEEN, package=HERE), outcome, view=view)(scripted(perfect), answer=answer)).value
            for view in ("none", "partial", "full")
        }  # type: ignore[arg-type]
        assert len(values) == 1


def test_what_each_view_shows() -> None:
    asked: list[dict[str, str]] = []

    def model(prompt: str) -> str:
        asked.append(shown(prompt) | {"others": " ".join(listed(prompt, "alternatives"))})
        return "Score: 5"

    for view in ("none", "partial", "full"):
        run(Hindsight(Pointwise(SEEN, package=HERE), outcome, view=view)(scripted(model), answer=HONEST))  # type: ignore[arg-type]
    assert "not known" in asked[0]["outcome"]
    assert "not known" in asked[0]["alternatives"]
    assert (asked[1]["outcome"], "not known" in asked[1]["alternatives"]) == ("utility 0.2", True)
    assert asked[2]["others"] == "utility -0.5"
    protocol = Hindsight(Pointwise(SEEN, package=HERE), outcome)
    assert protocol.slots == ("answer",)


def test_pairs_see_both_outcomes_in_both_orders() -> None:
    def model(prompt: str) -> str:
        slots = shown(prompt)
        assert slots["first_outcome"] == f"utility {UTILITY[slots['first']]}"
        return "1" if float(slots["first_outcome"][8:]) > float(slots["second_outcome"][8:]) else "2"

    protocol = Hindsight(Pairwise(PAIR, package=HERE), outcome)
    assert run(protocol(scripted(model), first=INFLATED, second=HONEST)).value == 0.0
    assert run(protocol(scripted(model), first=INFLATED, second=INFLATED)).value == 0.5


def test_an_executed_result_is_the_outcome_and_its_failure_is_unscored() -> None:
    async def executed(answer: str, task: Task) -> str | Unscored:
        return Unscored("the database is locked") if "lock" in answer else f"rows for {task.id}"

    protocol = Hindsight(Pointwise(SEEN, package=HERE), executed)
    judge = scripted(lambda prompt: f"Score: {len(shown(prompt)['outcome'])}")
    assert run(protocol(judge, task=TASK, answer="SELECT 1")).value == pytest.approx(len("rows for t") / 10)
    with pytest.raises(JudgeError, match="there is no outcome: the database is locked"):
        run(protocol(judge, task=TASK, answer="SELECT lock"))
    broken = Hindsight(Pointwise(SEEN, package=HERE), lambda answer: 1 / 0)
    with pytest.raises(JudgeError, match="raised ZeroDivisionError"):
        run(broken(judge, answer="SELECT 1"))
    with pytest.raises(UserError, match=r"asks for 'tsak', which is not there.*'task'"):
        run(Hindsight(Pointwise(SEEN, package=HERE), lambda tsak: "x")(judge, task=TASK, answer="SELECT 1"))
    with pytest.raises(UserError, match="has no slot 'outcome'"):
        Hindsight(Pointwise("judge_templates/answer.md", package=HERE), outcome)


def test_a_simulated_outcome_knows_the_truth_and_not_the_verdict() -> None:
    worlds: list[str] = []

    def model(prompt: str) -> str:
        slots = shown(prompt)
        if "truth" in slots:
            worlds.append(prompt)
            return f"It fails, number {len(worlds)}."
        assert len(listed(prompt, "outcome")) == 3
        return "Score: 1"

    simulator = SimulatedOutcome("judge_templates/world.md", package=HERE, truth=lambda task: task.reference["truth"])
    protocol = Hindsight(Pointwise(SEEN, package=HERE), simulator, rollouts=3)
    judge = scripted(model)
    assert run(protocol(judge, task=TASK, answer=INFLATED)).value == 0.1
    assert len(worlds) == 3
    assert all("It does not work." in world and "its claims may be wrong" in world for world in worlds)
    assert [request.sample for request in judge.client.backend.requests[:3]] == [0, 1, 2]
    assert protocol.templates[1] == simulator.template
    with pytest.raises(JudgeError, match="no task was given"):
        run(protocol(judge, answer=INFLATED))


def test_it_is_a_reward_like_any_other() -> None:
    protocol = Hindsight(Pointwise(SEEN, package=HERE), outcome)

    @reward
    async def came_true(completion: Completion, judge: Judge) -> float:
        return (await protocol(judge, answer=completion.text)).value

    assert isinstance(came_true, Reward)
    assert run(came_true.fn(completion=Completion(HONEST), judge=scripted(believer))) == pytest.approx(0.6)
