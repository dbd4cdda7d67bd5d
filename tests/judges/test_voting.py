"""Voting rules: known elections, and what must hold for each of them."""

from __future__ import annotations

import itertools
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from honewise.judges import Tally, Vote, decide, disagreement, tally
from honewise.judges.voting import RankingRule, Rule

RULES: tuple[RankingRule, ...] = get_args(RankingRule)
NUMBERS: tuple[Rule, ...] = get_args(Rule)

# Three voters say A > B > C, two say B > C > A.
KNOWN = {**{f"v{i}": [2, 1, 0] for i in range(3)}, **{f"w{i}": [0, 2, 1] for i in range(2)}}
CYCLE = {"x": [2, 1, 0], "y": [0, 2, 1], "z": [1, 0, 2]}

SCORES = st.integers(0, 4).map(lambda n: n / 4)


def ballots(voters: int = 5) -> Any:
    return (
        st.integers(2, 4)
        .flatmap(lambda count: st.lists(st.lists(SCORES, min_size=count, max_size=count), min_size=1, max_size=voters))
        .map(lambda rows: {f"v{i}": row for i, row in enumerate(rows)})
    )


def test_borda_and_condorcet_differ() -> None:
    borda, copeland = tally(KNOWN, "borda"), tally(KNOWN, "copeland")
    assert borda.scores == (6, 7, 2)
    assert borda.winner == 1
    assert borda.shares == (0.6, 0.7, 0.2)
    assert copeland.scores == (2, 1, 0)
    assert copeland.winner == 0
    assert borda.report.condorcet == copeland.report.condorcet == 0
    assert borda.report.cycle == ()
    assert tally(KNOWN, "majority").scores == (3, 2, 0)


def test_a_cycle_is_reported() -> None:
    report = tally(CYCLE, "copeland").report
    assert report.cycle == (0, 1, 2)
    assert report.condorcet is None
    found = tally(CYCLE, "copeland")
    assert found.winner is None
    assert found.order == ((0, 1, 2),)
    # With a candidate that loses to all of them, and one that beats all, the circle is still the same.
    wide = {name: [5, *(value + 1 for value in row), 0] for name, row in CYCLE.items()}
    assert tally(wide, "mean").report.cycle == (1, 2, 3)
    assert tally(wide, "mean").report.condorcet == 0


def test_adding_a_candidate_turns_borda_round() -> None:
    """Borda violates the independence of irrelevant alternatives; the order of A and B changes with C."""
    with_c = tally(KNOWN, "borda")
    without = tally({name: row[:2] for name, row in KNOWN.items()}, "borda")
    assert with_c.order[0] == (1,)
    assert without.order[0] == (0,)
    assert without.scores == (3, 2)
    both = [tally({name: row[:2] for name, row in KNOWN.items()}, "copeland"), tally(KNOWN, "copeland")]
    assert [each.order[0] for each in both] == [(0,), (0,)]


def test_approval_and_veto() -> None:
    scores = {"a": [0.9, 0.6, 0.4], "b": [0.9, 0.6, 0.8], "c": [0.2, 0.6, 0.9]}
    assert tally(scores, "approval").scores == pytest.approx((2 / 3, 1.0, 2 / 3))
    vetoed = tally(scores, "veto")
    assert vetoed.scores == pytest.approx((0.2, 0.6, 0.4))
    assert vetoed.winner == 1
    assert tally(scores, "mean").winner == 2
    assert tally(scores, "approval", threshold=0.85).winner == 0


def test_each_judge_on_its_own_scale() -> None:
    """A judge with a wide scale outvotes the others in a mean of scores, and does not once they are normalised."""
    scores = {"wide": [0.0, 1.0], "narrow": [0.52, 0.48], "shy": [0.51, 0.49]}
    assert tally(scores, "mean").winner == 1
    assert tally(scores, "mean", normalise="range").winner == 0
    assert tally(scores, "mean", normalise="rank").winner == 0
    assert tally({"a": [0.3, 0.3]}, "mean", normalise="range").scores == (0.5, 0.5)
    assert tally({"a": [0.3]}, "mean", normalise="rank").scores == (0.5,)


def test_weights_count_for_the_mean_alone() -> None:
    scores = {"a": [1.0, 0.0], "b": [0.0, 1.0]}
    assert tally(scores, "mean", weights={"a": 3}).scores == (0.75, 0.25)
    assert tally(scores, "borda", weights={"a": 3}).scores == (1, 1)
    with pytest.raises(ValueError, match="add up to nothing"):
        decide({"a": 1.0}, weights={"a": 0.0})


def test_ties_are_broken_as_said() -> None:
    drawn = {"a": [0.9, 0.1], "b": [0.5, 0.6]}
    mirrored = {"a": [0.1, 0.9], "b": [0.6, 0.5]}
    assert tally(drawn, "borda").winner is None
    assert tally(drawn, "borda", tie_break="mean").order == ((0,), (1,))
    assert tally(drawn, "borda", tie_break="mean").scores == (1.0, 1.0), "a tie is broken in the order alone"
    orders = {tally(drawn, "borda", tie_break="seed", seed=seed).order for seed in range(20)}
    assert orders == {((0,), (1,)), ((1,), (0,))}
    for seed in range(5):
        one = tally(drawn, "borda", tie_break="seed", seed=seed, keys=["x", "y"]).winner
        other = tally(mirrored, "borda", tie_break="seed", seed=seed, keys=["y", "x"]).winner
        assert one is not None
        assert other == 1 - one, "the draw is the candidate's, not the place's"


def test_a_candidate_that_a_judge_left_out_is_not_voted_on() -> None:
    found = tally({"a": [1, None, 0.5], "b": [0.2, 0.9, 0.4]}, "borda")
    assert found.scores == (1.0, None, 1.0)
    assert found.shares == (0.5, None, 0.5)
    assert found.order == ((0, 2),)
    with pytest.raises(ValueError, match="every voter"):
        tally({"a": [1], "b": [1, 2]})
    with pytest.raises(ValueError, match="every voter"):
        tally({})


@settings(max_examples=150, deadline=None)
@given(ballots(), st.randoms(use_true_random=False))
def test_anonymity_and_neutrality(cast: dict[str, list[float]], chance: Any) -> None:
    names, rows = list(cast), list(cast.values())
    count = len(rows[0])
    order = list(range(count))
    chance.shuffle(order)
    shuffled = rows[:]
    chance.shuffle(shuffled)
    for rule in RULES:
        found = tally(cast, rule)
        anonymous = tally(dict(zip(names, shuffled, strict=True)), rule)
        assert anonymous.scores == pytest.approx(found.scores)
        neutral = tally({name: [row[place] for place in order] for name, row in cast.items()}, rule)
        assert neutral.scores == pytest.approx([found.scores[place] for place in order])
        assert all(0 <= share <= 1 for share in found.shares if share is not None)


@settings(max_examples=150, deadline=None)
@given(ballots())
def test_pareto(cast: dict[str, list[float]]) -> None:
    """What every voter puts higher comes out no lower; strictly higher where the rule looks at the whole ballot."""
    for rule in RULES:
        scores = tally(cast, rule).scores
        for a, b in itertools.permutations(range(len(scores)), 2):
            if all(row[a] > row[b] for row in cast.values()):
                assert scores[a] >= scores[b]  # type: ignore[operator]
                if rule in ("mean", "borda", "copeland", "veto"):
                    assert scores[a] > scores[b]  # type: ignore[operator]


@given(st.dictionaries(st.sampled_from("abcde"), SCORES, min_size=1))
def test_a_decision_lies_among_the_votes(votes: dict[str, float]) -> None:
    for rule in NUMBERS:
        found = decide(votes, rule)
        if rule == "approval":
            assert found == sum(vote >= 0.5 for vote in votes.values()) / len(votes)
        else:
            assert min(votes.values()) - 1e-12 <= found <= max(votes.values()) + 1e-12
    assert decide(dict.fromkeys("abc", 0.25), "majority") == 0.25


def test_decisions_about_one_answer() -> None:
    votes = {"a": 0.2, "b": 0.2, "c": 0.9, "d": 0.9, "e": 1.0}
    assert decide(votes) == pytest.approx(0.64)
    assert decide(votes, weights={"e": 6}) == pytest.approx((0.2 * 2 + 0.9 * 2 + 6) / 10)
    assert decide(votes, "median") == 0.9
    assert [decide(votes, "majority", ties=ties) for ties in ("low", "mean", "high")] == pytest.approx([0.2, 0.55, 0.9])
    assert decide(votes, "approval") == 0.6
    assert decide(votes, "veto") == 0.2
    assert decide(votes, "veto", threshold=0.1) == pytest.approx(0.64)
    with pytest.raises(ValueError, match="nobody voted"):
        decide({})


def test_ranges_put_judges_on_one_scale() -> None:
    vote = Vote(ranges={"strict": (0.2, 0.6)})
    assert vote.decide({"strict": 0.4, "kind": 0.5}) == 0.5
    assert vote.decide({"strict": 0.9, "kind": 1.0}) == 1.0, "cut at the end"
    found: Tally = vote.tally({"strict": [0.2, 0.6], "kind": [1.0, 0.0]})
    assert found.scores == (0.5, 0.5)


def test_disagreement_is_by_pairs_of_candidates() -> None:
    report = disagreement({"a": [3, 2, 1], "b": [3, 2, 1], "c": [1, 2, 3]})
    assert report.mean == pytest.approx(2 / 3)
    assert report.voters == {"a": 0.5, "b": 0.5, "c": 1.0}
    assert disagreement({"a": [1, 2], "b": [1, 1]}).mean == 0.5, "a tie is half of a difference"
    assert disagreement({"a": [1, 2]}).mean == 0.0
