"""Groups judged in one call: rankings and scores side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_talk import HERE, listed, run, scripted

from honewise.contracts import Completion, Task, Unscored
from honewise.errors import JudgeError, UserError
from honewise.judges import Ranking, Relative, group_rewards
from honewise.judges.lists import block, ranking
from honewise.testing import FakeJudge

FILE = "judge_templates/group.md"
ANSWERS = ["three", "a", "fifteen", "seven"]


def by_length(prompt: str) -> str:
    """Longer is better; equal lengths are ties."""
    texts = listed(prompt, "answers")
    tiers: dict[int, list[str]] = {}
    for number, text in enumerate(texts, 1):
        tiers.setdefault(-len(text), []).append(str(number))
    return "Ranking: " + " > ".join(" = ".join(tiers[key]) for key in sorted(tiers))


def test_a_ranking_becomes_scores_in_the_callers_order() -> None:
    judge = scripted(by_length)
    found = run(Ranking(FILE, package=HERE)(judge, question="q", answers=ANSWERS))
    assert found.scores == pytest.approx((0.5, 0.0, 1.0, 0.5))
    assert found.ranks == (2.5, 4.0, 1.0, 2.5)
    assert (found.best, found.worst) == (2, 1)
    assert len(judge.client.backend.requests) == 1


@settings(max_examples=60, deadline=None)
@given(st.permutations(ANSWERS), st.integers(0, 5))
def test_the_order_of_the_batch_makes_no_difference(answers: list[str], seed: int) -> None:
    """A judge who goes by the place sees the same prompt, whoever stands where in the batch."""
    first_wins: Callable[[str], str] = lambda prompt: "Ranking: 1 > 2 > 3 > 4"  # noqa: E731
    protocol = Ranking(FILE, package=HERE, seed=seed)
    one, other = scripted(first_wins), scripted(first_wins)
    there = run(protocol(one, question="q", answers=ANSWERS))
    back = run(protocol(other, question="q", answers=answers))
    assert dict(zip(ANSWERS, there.scores, strict=True)) == dict(zip(answers, back.scores, strict=True))
    assert one.client.backend.requests == other.client.backend.requests


def test_repeats_see_other_orders_and_w_tells_how_steady_the_judge_is() -> None:
    protocol = Ranking(FILE, package=HERE, repeats=5)
    steady = run(protocol(scripted(by_length), question="q", answers=["a", "bb", "ccc", "dddd"]))
    assert steady.concordance.w == pytest.approx(1.0)
    judge = scripted(lambda prompt: "Ranking: 1 > 2 > 3 > 4")
    swayed = run(protocol(judge, question="q", answers=["a", "bb", "ccc", "dddd"]))
    orders = {tuple(listed(request.messages[0]["content"], "answers")) for request in judge.client.backend.requests}
    assert len(orders) > 1
    assert swayed.concordance.w < 1
    assert (swayed.concordance.rankings, swayed.concordance.things) == (5, 4)
    with pytest.raises(ValueError, match="two or more rankings"):
        _ = run(Ranking(FILE, package=HERE)(scripted(by_length), question="q", answers=["a", "bb"])).concordance


def test_equal_answers_are_shown_once_and_trivial_ones_never() -> None:
    seen: list[list[str]] = []

    def model(prompt: str) -> str:
        seen.append(listed(prompt, "answers"))
        return by_length(prompt)

    protocol = Ranking(FILE, package=HERE)
    found = run(protocol(scripted(model), question="q", answers=["seven", ":", "a", "seven", ""]))
    assert sorted(seen[0]) == ["a", "seven"]
    assert found.scores == (1.0, 0.0, 0.0, 1.0, 0.0)
    for answers, scores in ((["x", "x"], (0.5, 0.5)), ([":", "x"], (0.0, 0.5)), ([":", ""], (0.0, 0.0))):
        assert run(protocol(scripted(model), question="q", answers=answers)).scores == scores
    assert len(seen) == 1
    with pytest.raises(UserError, match="give answers="):
        run(protocol(FakeJudge(), question="q", answers="one"))


@pytest.mark.parametrize(
    "reply", ["Ranking: 1 > 2", "Ranking: 1 > 1 > 2", "Ranking: 1 > 2 > 4", "Ranking: 1, 2, 3", "?\n?"]
)
def test_a_ranking_that_is_none_is_unscored(reply: str) -> None:
    with pytest.raises(JudgeError):
        run(Ranking(FILE, package=HERE)(scripted(lambda prompt: reply), question="q", answers=["a", "bb", "ccc"]))


def test_relative_scores_and_those_left_out() -> None:
    def model(prompt: str) -> str:
        lines = [f"Answer {n}: {min(len(text), 10)}" for n, text in enumerate(listed(prompt, "answers"), 1)]
        return "I see Scores in them.\nScores:\n" + "\n".join(lines)

    found = run(Relative(FILE, package=HERE)(scripted(model), question="q", answers=["a" * 3, "b" * 11, "c"]))
    assert found.scores == pytest.approx((0.3, 1.0, 0.1))

    def partly(prompt: str) -> str:
        return "\n".join(["Scores:", "1: 4", "2: 11", "3: 6"])

    protocol = Relative(FILE, package=HERE)
    found = run(protocol(scripted(partly), question="q", answers=["a", "b", "c"]))
    assert sorted(score for score in found.scores if score is not None) == [0.4, 0.6]
    assert found.scores.count(None) == 1
    with pytest.raises(JudgeError, match="1 of 3 answers have a score"):
        run(protocol(scripted(lambda prompt: "Scores:\n2: 3"), question="q", answers=["a", "b", "c"]))


def test_a_batch_reward_groups_by_task_and_a_failing_group_costs_the_others_nothing() -> None:
    tasks = [Task(name, {"question": name}, {}) for name in ("x", "y", "x", "y", "x")]
    texts = ["one", "bad", "fourteen", "worse", ":"]

    def model(prompt: str) -> str:
        return "no\nno" if "bad" in prompt else by_length(prompt)

    async def rewards() -> list[float | Unscored]:
        protocol = Ranking(FILE, package=HERE)
        completions = [Completion(text) for text in texts]
        return await group_rewards(
            protocol, scripted(model), tasks, completions, question=lambda task: task.inputs["question"]
        )

    found = asyncio.run(rewards())
    assert (found[0], found[2], found[4]) == (0.0, 1.0, 0.0)
    assert isinstance(found[1], Unscored)
    assert isinstance(found[3], Unscored)
    assert "no verdict" in found[1].reason


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("Scores:\n1: 3\n2: 4", {"1": 3, "2": 4}),
        ("Scores:\n1: 9\nScores:\n1: 3\n2: 4\n\nThat is all.\n2: 8", {"1": 3, "2": 4}),
        ("**Scores:**\n- Answer 1: *3*\n- #2: 4", {"1": 3, "2": 4}),
        ("1: 3\n2: 4", {"1": 3, "2": 4}),
        ("Scores:\n1: 3\n1: 5\n7: 1\n2: 4", {"1": 5}),
        ("Scores:\n1: 3\n2: many", {"1": 3}),
    ],
)
def test_only_the_last_block_counts(reply: str, found: dict[str, int]) -> None:
    assert block(reply, "Scores", ["1", "2"], int)[0] == found


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.integers(2, 4))
def test_any_reply_is_a_ranking_or_none(reply: str, count: int) -> None:
    try:
        ranks, _ = ranking(f"Ranking: {reply}", "Ranking", count)
    except ValueError:
        return
    assert sum(ranks) == count * (count + 1) / 2
