"""Which completions become a pair, by rules worked by hand, and why others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from honewise.contracts import Cell, Completion, Scored, Task
from honewise.errors import UserError
from honewise.scoring.pairs import Candidate, Found, Pair, PairRule, candidate, make_pairs

TASK = Task("a", {}, prompt=({"role": "user", "content": "Say it"},))
OTHER = Task("b", {}, prompt=({"role": "user", "content": "Say the other"},))


def group(scores: Sequence[float | None], task: Task = TASK, texts: Sequence[str] | None = None) -> list[Candidate]:
    said = texts or [f"{task.id}{i}" for i in range(len(scores))]
    return [Candidate(task, text, score) for text, score in zip(said, scores, strict=True)]


def texts(pairs: Sequence[Pair]) -> list[tuple[str, str]]:
    return [(pair.chosen, pair.rejected) for pair in pairs]


@pytest.mark.parametrize(
    ("scores", "made"),
    [
        ([0.2, 0.9, 0.1], [("a1", "a2")]),
        ([1, 0, 1, 0], [("a0", "a1")]),
        ([0, 0, 1, 1], [("a2", "a0")]),
        ([None, 1, None, 0], [("a1", "a3")]),
    ],
)
def test_the_best_against_the_worst_of_equal_ones_the_first(
    scores: list[float | None], made: list[tuple[str, str]]
) -> None:
    (pair,) = make_pairs(group(scores), PairRule()).pairs
    assert texts([pair]) == made
    assert pair.scores is not None
    assert pair.margin == pytest.approx(pair.scores[0] - pair.scores[1])
    assert pair.task_id == "a"
    assert pair.prompt == TASK.prompt
    assert pair.provenance["rule"] == "best-worst"
    assert pair.provenance["of"] == len(scores)


def test_of_equal_ratings_one_is_drawn() -> None:
    """Two share the highest rating and two the lowest: four pairs, each drawn a quarter of the time."""
    drawn: Counter[tuple[str, str]] = Counter()
    for seed in range(800):
        found = make_pairs(group([5, 3, 5, 1, 1]), PairRule(rule="max-min"), seed=seed)
        drawn.update(texts(found.pairs))
        assert found.pairs == make_pairs(group([5, 3, 5, 1, 1]), PairRule(rule="max-min"), seed=seed).pairs
    assert set(drawn) == {(f"a{best}", f"a{worst}") for best in (0, 2) for worst in (3, 4)}
    assert all(150 < count < 250 for count in drawn.values())


def test_what_is_drawn_does_not_depend_on_other_tasks() -> None:
    rule = PairRule(rule="max-min")
    alone = make_pairs(group([5, 5, 1, 1]), rule, seed=3).pairs
    together = make_pairs([*group([2, 1], OTHER), *group([5, 5, 1, 1])], rule, seed=3).pairs
    assert alone[0] in together


def test_every_two_above_the_margin_the_widest_first() -> None:
    """Differences: .5, .75, .25, 1.25, .75, .5."""
    scores = [0.5, 0.0, 1.25, 0.75]
    found = make_pairs(group(scores), PairRule(rule="all", margin=0.5))
    assert [pair.margin for pair in found.pairs] == [1.25, 0.75, 0.75, 0.5, 0.5]
    assert texts(found.pairs)[0] == ("a2", "a1")
    assert len(make_pairs(group(scores), PairRule(rule="all")).pairs) == 6
    assert [pair.margin for pair in make_pairs(group(scores), PairRule(rule="all", per_task=2)).pairs] == [1.25, 0.75]


def test_a_sum_that_misses_the_margin_by_rounding_has_it() -> None:
    assert make_pairs(group([0.1 + 0.2, 0.0]), PairRule(margin=0.3)).pairs
    assert make_pairs(group([0.3, 0.0]), PairRule(margin=0.1 + 0.2)).pairs


@pytest.mark.parametrize(
    ("scores", "rule", "reason"),
    [
        ([1.0], PairRule(), "single"),
        ([1.0, 1.0], PairRule(), "tie"),
        ([None, None, None], PairRule(), "unscored"),
        ([None, 1.0], PairRule(), "unscored"),
        ([1.0, 0.9], PairRule(margin=0.5), "margin"),
        ([1.0, 0.9], PairRule(rule="all", margin=0.5), "margin"),
    ],
)
def test_why_a_task_gives_none(scores: list[float | None], rule: PairRule, reason: str) -> None:
    found = make_pairs(group(scores), rule)
    assert found.pairs == []
    assert found.counts[f"tasks/{reason}"] == found.counts["tasks"] == 1
    assert found.why().startswith("1 of 1 tasks: ")


def test_reasons_are_told_by_how_often_they_occur() -> None:
    found = make_pairs([*group([1, 1]), *group([None, 1], OTHER), *group([2, 2], Task("c", {}))], PairRule())
    first, second = found.why().split("; ")
    assert first == "2 of 3 tasks: all their completions score the same"
    assert second == "1 of 3 tasks: fewer than two of their completions are scored"


def test_a_text_counts_once_and_its_score_is_one_that_is_there() -> None:
    made = group([None, 0.0, 1.0, 1.0], texts=["x", "y", "x", "x"])
    found = make_pairs(made, PairRule(rule="all"))
    assert texts(found.pairs) == [("x", "y")]
    assert found.counts["completions"] == 4
    assert found.counts["completions/duplicate"] == 2
    assert found.counts["completions/unscored"] == 1
    same = make_pairs(group([1.0, 0.0], texts=["x", "x"]), PairRule())
    assert same.counts["tasks/single"] == 1


def test_ties_are_kept_for_soft_targets_only() -> None:
    found = make_pairs(group([1.0, 1.0]), PairRule(rule="all", ties="keep"))
    (pair,) = found.pairs
    assert (pair.margin, pair.prob) == (0.0, 0.5)
    orders = {texts(make_pairs(group([1.0, 1.0]), PairRule(ties="keep"), seed=seed).pairs)[0] for seed in range(40)}
    assert orders == {("a0", "a1"), ("a1", "a0")}, "which comes first says nothing"
    assert make_pairs(group([1.0, 0.0]), PairRule(ties="keep")).pairs[0].prob is None


def test_length_can_be_held_equal() -> None:
    made = group([1.0, 0.5, 0.0], texts=["long " * 10, "short", "shor"])
    assert texts(make_pairs(made, PairRule()).pairs) == [("long " * 10, "shor")]
    assert texts(make_pairs(made, PairRule(length_ratio=1.5)).pairs) == [("short", "shor")]
    found = make_pairs(made[:2], PairRule(length_ratio=1.5))
    assert found.counts["tasks/length"] == 1
    assert not make_pairs(group([1.0, 0.0], texts=["x", ""]), PairRule(length_ratio=100)).pairs
    assert make_pairs(group([1.0, 0.0], texts=["x", ""]), PairRule()).pairs


def test_length_can_be_charged() -> None:
    """1 - .02 x 50 = 0 against .5 - .02 x 5 = .4: the shorter is better, and the scores stay as they were."""
    made = group([1.0, 0.5], texts=["x" * 50, "x" * 5])
    (pair,) = make_pairs(made, PairRule(length_penalty=0.02)).pairs
    assert pair.chosen == "x" * 5
    assert pair.scores == (0.5, 1.0)
    assert pair.margin == pytest.approx(0.4)


def test_a_reward_may_decide_in_place_of_the_total() -> None:
    def scored(text: str, total: float, kind: float | None) -> Scored:
        cells = {"kind": Cell(kind, unscored=None if kind is not None else "gone"), "other": Cell(total)}
        return Scored(TASK, Completion(text, truncated=text == "cut"), cells, total)

    rule = PairRule(by="kind", safe="kind >= 0.5")
    rows = [scored("a", 1.0, 0.0), scored("cut", 0.0, 1.0), scored("c", 9.0, None)]
    found = make_pairs([candidate(row, rule) for row in rows], rule, source="s", weight=2.0, provenance={"policy": "p"})
    (pair,) = found.pairs
    assert texts([pair]) == [("cut", "a")]
    assert pair.safe == (True, False)
    assert pair.truncated == (True, False)
    assert (pair.source, pair.weight) == ("s", 2.0)
    assert pair.provenance == {
        "rule": "best-worst",
        "by": "kind",
        "of": 3,
        "policy": "p",
        "rewards": {"kind": [1.0, 0.0], "other": [0.0, 1.0]},
    }
    with pytest.raises(UserError, match="cannot be read"):
        candidate(rows[0], PairRule(safe="kind"))


def test_tasks_of_one_name_and_two_prompts_are_not_mixed() -> None:
    renamed = Task("a", {}, prompt=OTHER.prompt)
    found = make_pairs([*group([1.0]), *group([0.0], renamed, ["b"])], PairRule())
    assert found.pairs == []
    assert found.counts["tasks/single"] == 2


def test_counts_add_up() -> None:
    found = Found()
    for task in (TASK, OTHER):
        found.add(make_pairs(group([1, 0, None], task), PairRule()))
    assert found.counts["tasks"] == found.counts["tasks/paired"] == len(found.pairs) == 2
    assert found.counts["completions/unscored"] == 2


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 4).map(lambda n: n / 4)), max_size=7),
    st.sampled_from(["best-worst", "max-min", "all"]),
    st.sampled_from([0.0, 0.25, 0.5]),
    st.integers(0, 50),
)
def test_what_always_holds(scores: list[float | None], rule: str, margin: float, seed: int) -> None:
    found = make_pairs(group(scores), PairRule(rule=rule, margin=margin), seed=seed)  # type: ignore[arg-type]
    known = sorted(score for score in scores if score is not None)
    for pair in found.pairs:
        assert pair.scores is not None
        assert pair.margin is not None
        assert pair.margin == pair.scores[0] - pair.scores[1] > 0
        assert pair.margin >= margin
    assert bool(found.pairs) == (len(known) > 1 and known[-1] > known[0] and known[-1] - known[0] >= margin)
    if found.pairs:
        assert found.pairs[0].scores == (known[-1], known[0])
    if rule != "all":
        assert len(found.pairs) <= 1
    tasks = found.counts["tasks"]
    assert sum(count for name, count in found.counts.items() if name.startswith("tasks/")) == tasks == bool(scores)
