"""Several domains side by side: each sees its own tasks and names, the run sees all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.contracts import Cell, Completion, Domain, Reward, Rubric, Score, Scored, Span, Task, Term, Unscored
from honewise.errors import UnscoredBudgetExceeded, UserError
from honewise.scoring import CAP, MixedDomain, MixedScorer, Row, Scorer, credit, rubrics_of
from honewise.scoring.mixed import interleaved, joined_task, mix_domains, own_task


def letters(task: Task, completion: Completion) -> Score:
    assert "/" not in task.id, "a domain sees the ids that it gave"
    spans = [Span(i, i + 1, 0.5) for i, char in enumerate(completion.text) if char == task.inputs["letter"]]
    return Score(spans=spans[:2], correct=len(spans) > 1)


def brief(completion: Completion) -> float | Unscored:
    return Unscored("nobody knows") if "?" in completion.text else float(len(completion.text) < 4)


def share(rows: Sequence[Scored]) -> Mapping[str, float]:
    assert all(set(row.rewards) == {"letters", "brief"} for row in rows), "a metric sees its own domain's names"
    return {"share": sum(bool(row.correct) for row in rows) / len(rows), "tasks": len({row.task.id for row in rows})}


def domain(letter: str, count: int = 3) -> Domain:
    return Domain(
        prompt=lambda task: [{"role": "user", "content": f"{task.id}: write {letter}"}],
        parse=lambda text, task: Completion(text, f"{task.id}={text}"),
        gold=lambda task: letter * 2,
        samples=lambda split: [Task(str(i), {"letter": letter}) for i in range(count)],
        rewards=[Reward(fn=letters, name="letters"), Reward(fn=brief, name="brief")],
        rubrics={
            "plain": Rubric({"letters": 2.0, "brief": Term(1.0, when="letters >= 0.5")}, correct="letters"),
            "capped": Rubric({"brief": 1.0, "letters": 3.0}, correct="letters", cap_wrong=True),
        },
        metrics={"share": share},
    )


@pytest.fixture
def scorer() -> MixedScorer:
    parts = {"a": Scorer(domain("a"), workers=0, rubric="plain"), "b": Scorer(domain("b"), workers=0, rubric="capped")}
    return MixedScorer(parts)


def rows(*said: tuple[str, str]) -> list[Row]:
    tasks = {name: joined_task(name, Task("0", {"letter": name})) for name in "ab"}
    return [Row(tasks[name], text) for name, text in said]


SAID = (("b", "bb"), ("a", "aa"), ("b", "ax"), ("a", "b"), ("a", "aa"), ("b", "what?"))


def cells(scored: Scored, prefix: str) -> dict[str, Cell]:
    """By their names without ``prefix``; how long they took is another each time."""
    assert all(name.startswith(prefix) for name in scored.rewards)
    return {name.removeprefix(prefix): replace(cell, seconds=0.0) for name, cell in scored.rewards.items()}


def test_rows_are_scored_by_their_own_domain_and_come_back_in_order(scorer: MixedScorer) -> None:
    with scorer:
        found = scorer.score(rows(*SAID))
        alone = {name: each.score([Row(own_task(row.task), row.text) for row in rows(*SAID) if row.task.id[0] == name])
                 for name, each in scorer.scorers.items()}  # fmt: skip
    assert [(one.task.id, one.completion.text) for one in found] == [(f"{name}/0", text) for name, text in SAID]
    assert found[0].completion.answer == "0=bb"
    for name, own in alone.items():
        mine = [one for one in found if one.task.id[0] == name]
        assert [one.total for one in mine] == [one.total for one in own]
        assert [one.correct for one in mine] == [one.correct for one in own]
        assert [cells(one, f"{name}/") for one in mine] == [cells(one, "") for one in own]
    assert list(scorer.stats()) == ["a/letters", "a/brief", "b/brief", "b/letters"]


def test_the_rubric_holds_those_of_all_and_knows_whose_each_is(scorer: MixedScorer) -> None:
    rubric = scorer.rubric
    assert list(rubric.terms) == ["a/letters", "a/brief", "b/brief", "b/letters"]
    assert (rubric.correct, rubric.cap_wrong) == (None, True)
    assert rubric.term("a/brief").when == "a/letters >= 0.5"
    assert rubric.weights(0)["b/letters"] == 3.0
    own = rubrics_of(rubric)
    assert {name: (each.correct, each.cap_wrong) for name, each in own.items()} == {
        "a": ("a/letters", False),
        "b": ("b/letters", True),
    }
    assert list(rubrics_of(Rubric({"x": 1.0}))) == [""]


def test_credit_of_a_group_is_that_of_its_domain_alone(scorer: MixedScorer) -> None:
    texts = ["bb", "ax", "b", "what?"]
    with scorer:
        mixed = scorer.score(rows(*(("b", text) for text in texts)))
        alone = scorer.scorers["b"].score([Row(Task("0", {"letter": "b"}), text) for text in texts])
        found = credit(mixed, scorer.rubric.of(mixed[0].task))
        wanted = credit(alone, scorer.scorers["b"].rubric)
    assert found.names == ("b/brief", "b/letters", CAP)
    assert [list(cells.values()) for cells in found.cells] == [list(cells.values()) for cells in wanted.cells]


def test_one_budget_for_all(scorer: MixedScorer) -> None:
    with scorer:
        found = scorer.score(rows(*SAID))
        scorer.check_budget(found, 0.2)
        with pytest.raises(UnscoredBudgetExceeded, match="1 of 6 completions"):
            scorer.check_budget(found, 0.1)


def test_a_task_of_no_domain_is_refused(scorer: MixedScorer) -> None:
    with scorer, pytest.raises(UserError, match=r"'c/0' is of no domain of this run: a, b"):
        scorer.score([Row(Task("c/0", {}), "x")])
    assert scorer.score([]) == []


def test_the_domains_as_one(scorer: MixedScorer) -> None:
    mixed = mix_domains({"a": domain("a", 4), "b": domain("b", 2)})
    assert isinstance(mixed, MixedDomain)
    tasks = list(mixed.samples("train"))
    assert [task.id for task in tasks] == ["a/0", "b/0", "a/1", "a/2", "b/1", "a/3"]
    assert mixed.prompt(tasks[1]) == [{"role": "user", "content": "0: write b"}]
    assert mixed.gold(tasks[1]) == "bb"
    assert mixed.parse("x", tasks[2]).answer == "1=x"
    assert [reward.name for reward in mixed.rewards] == ["a/letters", "a/brief", "b/letters", "b/brief"]
    with scorer:
        found = scorer.score(rows(*SAID[:5]))
    assert mixed.metrics["a/share"](found) == {"a/share": 2 / 3, "tasks": 1}
    assert mixed.metrics["b/share"](found[:1]) == {"b/share": 1.0, "tasks": 1}
    assert mixed.metrics["b/share"](found[1:2]) == {}


@given(st.lists(st.lists(st.integers(), max_size=9), max_size=4))
def test_any_beginning_holds_the_parts_in_proportion(parts: list[list[int]]) -> None:
    named = [[(number, value) for value in part] for number, part in enumerate(parts)]
    found = interleaved(named)
    whole = sum(map(len, parts))
    for number, part in enumerate(named):
        assert [item for item in found if item[0] == number] == part
        for size in range(whole + 1):
            held = sum(item[0] == number for item in found[:size])
            assert abs(held - size * len(part) / max(whole, 1)) <= len(parts)
