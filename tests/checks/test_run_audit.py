"""The numbers of a run's audit by hand, and each sign where it was planted and where it was not."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest

from honewise import Cell, Completion, Scored, Task
from honewise.checks import SIGNS, Readers, RunSettings, Sides, Sign, compare, gap_between, gap_sign
from honewise.checks.run_numbers import NUMBERS, changes, explained
from honewise.checks.run_sides import CAP, Change, components, deciding
from honewise.metrics import views

FAST = RunSettings(rounds=200)


@dataclass(frozen=True)
class Row:
    task_id: str
    scored: Scored


def row(
    values: Mapping[str, float | None],
    *,
    task: str = "t",
    text: str = "a b c d",
    tokens: int = 10,
    weights: Mapping[str, float] | None = None,
    verifier: str = "right",
    cut: float = 0.0,
    gated: Sequence[str] = (),
) -> Row:
    """One completion; the reward called ``right`` decides what is correct."""
    weight = dict.fromkeys(values, 1.0) | dict(weights or {})
    cells = {
        name: Cell(
            value,
            weight[name],
            "no" if value is None else None,
            name in gated,
            value or 0.0,
            correct=value == 1 if name == verifier and value is not None else None,
        )
        for name, value in values.items()
    }
    lost = any(value is None and weight[name] for name, value in values.items())
    total = None if lost else sum(weight[name] * (value or 0.0) for name, value in values.items()) + cut
    correct = cells[verifier].correct if verifier in cells else None
    return Row(task, Scored(Task(task, {}), Completion(text, tokens=tokens), cells, total, correct, cut))


Maker = Callable[[random.Random, int], Sequence[Row]]


def side(make: Maker, groups: int = 24, seed: int = 0) -> list[list[Row]]:
    chance = random.Random(seed)
    return [list(make(chance, number)) for number in range(groups)]


def found(before: Maker, after: Maker, *, paired: bool = False, judges: Sequence[str] = ()) -> dict[str, Sign]:
    sides = Sides("rl", "training", side(before), side(after, seed=1), paired, verifier="right")
    return {sign.sign: sign for sign in compare(sides, FAST, judges=judges).signs}


# numbers, by hand


def test_shares_of_the_signal_by_hand() -> None:
    """Totals 1 and 0.5: Var = 0.125 / 2, Cov(right, total) = 0.25 / 2, Cov(style, total) = -0.125 / 2."""
    group = [row({"right": 1.0, "style": 0.0}), row({"right": 0.0, "style": 0.5})]
    numbers = changes(Sides("x", "training", [group], [group]), FAST).numbers
    assert numbers["signal/right"].after == pytest.approx(2.0)
    assert numbers["signal/style"].after == pytest.approx(-1.0)
    assert numbers["spread"].after == pytest.approx(0.25)


def test_shares_of_the_signal_add_up_to_one_with_a_cap_and_weights() -> None:
    def make(chance: random.Random, _: int) -> list[Row]:
        return [
            row(
                {"right": float(chance.random() < 0.5), "style": chance.random(), "form": chance.random()},
                weights={"style": 3.0, "form": -0.5},
                cut=-chance.random(),
            )
            for _ in range(5)
        ]

    sides = Sides("x", "training", side(make), side(make, seed=1))
    assert components(sides) == ["right", "style", "form", CAP]
    numbers = changes(sides, FAST).numbers
    shares = [each for name, each in numbers.items() if name.startswith("signal/")]
    assert len(shares) == 4
    assert math.fsum(each.before for each in shares) == pytest.approx(1)
    assert math.fsum(each.after for each in shares) == pytest.approx(1)
    assert math.fsum(each.change for each in shares) == pytest.approx(0, abs=1e-12)


def test_the_gain_by_hand() -> None:
    """style gains 0.4 x 2, right 0.2 x 1, form loses: 0.8 and 0.2 of what was gained, and -0.1 of it given up."""
    weights = {"style": 2.0}
    before = [[row({"right": 0.0, "style": 0.1, "form": 0.5}, weights=weights)]] * 10
    after = [[row({"right": 0.2, "style": 0.5, "form": 0.4}, weights=weights)]] * 10
    numbers = changes(Sides("x", "training", before, after), FAST).numbers
    gains = {name: round(each.after, 9) for name, each in numbers.items() if name.startswith("gain/")}
    assert gains == {"gain/right": 0.2, "gain/style": 0.8, "gain/form": -0.1}


def test_a_weight_that_rises_by_schedule_is_no_gain() -> None:
    before = [[row({"right": 0.5, "style": 1.0}, weights={"style": 0.1})]] * 10
    after = [[row({"right": 0.7, "style": 1.0}, weights={"style": 2.0})]] * 10
    numbers = changes(Sides("x", "training", before, after), FAST).numbers
    assert numbers["gain/style"].after == 0
    assert numbers["gain/right"].after == pytest.approx(1)


def test_lengths_and_pay_within_groups() -> None:
    """Within each group longer pays perfectly; between groups it is the other way round."""
    long = [row({"right": 0.0}, tokens=100), row({"right": 0.1}, tokens=101)]
    short = [row({"right": 0.9}, tokens=1), row({"right": 1.0}, tokens=2)]
    numbers = changes(Sides("x", "training", [long, short], [long, short]), FAST).numbers
    assert numbers["length_pays"].after == pytest.approx(1)
    assert numbers["length"].after == pytest.approx(51)


def test_characters_stand_for_tokens_that_nobody_counted() -> None:
    group = [row({"right": 1.0}, text="twelve chars", tokens=0)]
    numbers = changes(Sides("x", "training", [group], [group]), FAST).numbers
    assert numbers["length"].after == 12


def test_copies_and_groups_without_spread() -> None:
    same = [row({"right": 1.0}, text="x")] * 4
    mixed = [row({"right": float(n)}, text=str(n // 2)) for n in range(4)]
    numbers = changes(Sides("x", "training", [same, mixed], [same, same]), FAST).numbers
    assert (numbers["copies"].before, numbers["copies"].after) == (pytest.approx((1 + 2 / 3) / 2), 1)
    assert (numbers["flat_groups"].before, numbers["flat_groups"].after) == (0.5, 1)


def test_what_has_no_score_is_counted_and_left_out_of_means() -> None:
    group = [row({"right": 1.0, "judge": None}), row({"right": 0.0, "judge": 0.5})]
    numbers = changes(Sides("x", "training", [group], [group]), FAST).numbers
    assert numbers["unscored"].after == 0.5
    assert numbers["total"].after == 0.5
    assert numbers["correct"].after == 0.5
    assert "spread" not in numbers


def test_the_deciding_reward_is_recognised() -> None:
    groups = [[row({"right": float(n % 2), "like": float(n % 2), "style": 0.5}) for n in range(4)]]
    sides = Sides("x", "training", groups, groups)
    assert deciding(sides) == {"right"}  # "like" never said so
    assert "proxy" in changes(sides, FAST).numbers
    wrong = [[row({"right": 0.0, "style": 0.5})]]
    assert deciding(Sides("x", "training", wrong, wrong)) == set()  # nothing tells the two apart
    assert deciding(Sides("x", "training", wrong, wrong, verifier="right")) == {"right"}
    without = [[row({"style": 0.5})]]
    assert deciding(Sides("x", "training", without, without)) == set()
    found = changes(Sides("x", "training", without, without), FAST)
    assert "no reward of the rubric decides" in found.missing["correct"]


def test_a_verifier_that_is_not_paid_is_held_out() -> None:
    """Weight 0: measured, and no part of the total. The proxy is all of it."""
    groups = [[row({"right": 0.0, "style": 0.4}, weights={"right": 0.0})]]
    sides = Sides("x", "training", groups, groups, verifier="right")
    assert components(sides) == ["style"]
    numbers = changes(sides, FAST).numbers
    assert numbers["proxy"].after == numbers["total"].after == 0.4


def test_only_tasks_of_both_sides_are_paired() -> None:
    """A task whose completions have no total on one side says nothing about the difference."""
    before = [[row({"right": 0.0})], [row({"right": None})], [row({"right": 1.0})]]
    after = [[row({"right": 1.0})], [row({"right": 1.0})], [row({"right": 1.0})]]
    change = changes(Sides("x", "evaluation", before, after, True), FAST).numbers["total"]
    assert (change.before, change.after, change.groups) == (0.5, 1.0, 2)


def test_every_number_is_explained() -> None:
    def make(chance: random.Random, _: int) -> list[Row]:
        return [row({"right": float(chance.random() < 0.5), "judge": chance.random()}) for _ in range(4)]

    readers = Readers(embed=lambda texts: [[1.0, 0.0] for _ in texts], infer=lambda one, other: "neutral")
    sides = Sides("rl", "evaluation", side(make), side(make, seed=1), True)
    compared = compare(sides, FAST, judges=["judge"], readers=readers)
    assert all(explained(name) for name in (*compared.numbers, *compared.missing))
    kinds = {name.replace("judge/judge", "judge/NAME") for name in (*compared.numbers, *compared.missing)}
    kinds = {
        f"{name.partition('/')[0]}/NAME" if name.startswith(("reward/", "signal/", "gain/")) else name for name in kinds
    }
    assert kinds | {"gain/NAME"} == set(NUMBERS)
    assert {sign.sign for sign in compared.signs} | {"generalisation_gap"} == set(SIGNS)


# signs: planted, and not


def steady(chance: random.Random, number: int) -> list[Row]:
    """Texts that differ, rewards that are what they are."""
    return [
        row(
            {"right": float(chance.random() < 0.4), "style": chance.random() / 2},
            text=" ".join(chance.choices("abcdefghijklmnop", k=12)),
            tokens=chance.randint(8, 12),
            task=str(number),
        )
        for _ in range(6)
    ]


def test_a_run_in_which_nothing_happens_has_no_sign() -> None:
    signs = found(steady, steady)
    assert not any(sign.found for sign in signs.values())
    assert signs["takeover"].found is signs["length_drift"].found is signs["diversity_loss"].found is False
    assert signs["judge_against_verifier"].found is None


def _changed(**values: object) -> Maker:
    def make(chance: random.Random, number: int) -> list[Row]:
        rows = steady(chance, number)
        made = []
        for index, one in enumerate(rows):
            right = one.scored.rewards["right"].value
            style = one.scored.rewards["style"].value
            assert right is not None
            assert style is not None
            if values.get("right") is not None:
                right = float(chance.random() < float(str(values["right"])))
            if values.get("style") is not None:
                style = float(str(values["style"])) + chance.random() / 10
            if values.get("flat"):
                right, style = (0.0, 0.3) if values["flat"] == "wrong" else (1.0, 0.3)
            text = "a a a" if values.get("text") == "same" else one.scored.completion.text
            tokens = int(one.scored.completion.tokens * float(str(values.get("longer", 1))))
            made.append(row({"right": right, "style": style}, text=text, tokens=tokens, task=f"{number}-{index}"))
        return made

    return make


PLANTED: Mapping[str, tuple[Maker, Maker]] = {
    "takeover": (_changed(style=1.0), _changed(style=1.0, right=0.9)),
    "variance_collapse": (_changed(flat="wrong"), _changed(flat="right")),
    "length_drift": (_changed(longer=1.8), _changed(longer=1.3)),
    "proxy_against_verifier": (_changed(style=1.0, right=0.05), _changed(style=1.0)),
    "diversity_loss": (_changed(text="same"), _changed(text="same", right=0.9)),
}
"""Sign to an end that has it, and one that is like it and has it not."""


@pytest.mark.parametrize("sign", PLANTED)
def test_a_planted_sign_is_found_and_its_like_is_not(sign: str) -> None:
    bad, good = PLANTED[sign]
    assert found(steady, bad)[sign].found is True
    assert found(steady, good)[sign].found is False


def test_much_shorter_is_a_drift_too() -> None:
    assert found(steady, _changed(longer=0.5))["length_drift"].found is True


def test_a_component_that_comes_to_carry_the_signal() -> None:
    def late(chance: random.Random, number: int) -> list[Row]:
        return [row({"right": 0.0, "style": chance.random()}, task=str(number)) for _ in range(6)]

    sign = found(_changed(right=0.4), late)["takeover"]
    assert sign.found is True
    assert "style carries 100% of the signal" in sign.why


def test_too_few_prompts_say_nothing() -> None:
    bad = _changed(longer=3)
    sides = Sides("rl", "training", side(steady, 7), side(bad, 7))
    sign = next(sign for sign in compare(sides, FAST).signs if sign.sign == "length_drift")
    assert sign.found is None
    assert "7 prompts on a side; 8 are needed" in sign.why


# judges


def judged(score: Callable[[random.Random, float], float], right: float = 0.5) -> Maker:
    def make(chance: random.Random, number: int) -> list[Row]:
        rows = []
        for _ in range(6):
            true = float(chance.random() < right)
            rows.append(row({"right": true, "judge": score(chance, true)}, task=str(number)))
        return rows

    return make


def test_a_judge_that_no_longer_tells_right_from_wrong() -> None:
    good, blind = judged(lambda chance, true: true), judged(lambda chance, true: chance.random())
    sign = found(good, blind, judges=["judge"])["judge_against_verifier"]
    assert sign.found is True
    assert found(good, good, judges=["judge"])["judge_against_verifier"].found is False


def test_a_judge_that_is_pleased_while_correctness_falls() -> None:
    before = judged(lambda chance, true: 0.2 + 0.2 * true)
    after = judged(lambda chance, true: 0.7 + 0.2 * true, right=0.05)
    sign = found(before, after, judges=["judge"])["judge_against_verifier"]
    assert sign.found is True
    assert "correct" in sign.why


def test_a_gated_judge_has_seen_nothing() -> None:
    groups = [[row({"right": 0.0, "judge": 0.0}, gated=["judge"]), row({"right": 1.0, "judge": 0.5})]] * 10
    missing = changes(Sides("x", "training", groups, groups), FAST, judges=["judge"]).missing
    assert missing["judge/judge/right_from_wrong"] == "the judge has not seen both right and wrong"


def test_a_judge_that_decides_itself_cannot_be_checked_against_itself() -> None:
    sides = Sides("x", "training", side(steady), side(steady))
    compared = compare(sides, FAST, judges=["right"])
    assert not any(name.startswith("judge/") for name in compared.numbers)
    sign = next(sign for sign in compared.signs if sign.sign == "judge_against_verifier")
    assert sign.found is None


def test_views_counted_again() -> None:
    """The judge's scale is the least-squares line of the policy before; the identity holds on both sides."""
    before = judged(lambda chance, true: 3 * true + chance.random())
    after = judged(lambda chance, true: 2 + true + chance.random(), right=0.3)
    sides = Sides("x", "evaluation", side(before), side(after, seed=1), True)
    numbers = compare(sides, FAST, judges=["judge"]).numbers
    pairs = [
        [(r.scored.rewards["judge"].value or 0.0, float(bool(r.scored.correct))) for group in one for r in group]
        for one in (sides.before, sides.after)
    ]
    slope, offset = statistics.linear_regression(*zip(*pairs[0], strict=True))
    for at, which in enumerate(("before", "after")):
        gaps = [offset + slope * seen - true for seen, true in pairs[at]]
        over, under = (getattr(numbers[f"judge/judge/{part}"], which) for part in ("over", "under"))
        assert over == pytest.approx(statistics.fmean(max(gap, 0) for gap in gaps))
        assert under == pytest.approx(statistics.fmean(max(-gap, 0) for gap in gaps))
        observed, true = (getattr(numbers[f"judge/judge/{part}"], which) for part in ("observed", "true"))
        assert observed - true == pytest.approx(over - under)
    assert views([1.0], [0.0]) is not None


def test_deceptive_inflation() -> None:
    before = judged(lambda chance, true: true)
    after = judged(lambda chance, true: 1.0, right=0.4)
    signs = found(before, after, judges=["judge"], paired=True)
    assert signs["deceptive_inflation"].found is True
    assert signs["overjustification"].found is False
    honest = found(before, judged(lambda chance, true: true, right=0.9), judges=["judge"], paired=True)
    assert honest["deceptive_inflation"].found is False


def test_overjustification() -> None:
    """Before, half of what is right is not believed; after, all is believed, and less is right."""
    before = judged(lambda chance, true: true if chance.random() < 0.5 else 0.0, right=0.8)
    after = judged(lambda chance, true: 1.0, right=0.4)
    assert found(before, after, judges=["judge"], paired=True)["overjustification"].found is True


def test_a_judge_without_a_common_scale() -> None:
    constant, contrary = judged(lambda chance, true: 0.5), judged(lambda chance, true: 1 - true)
    for before, why in ((constant, "different scores"), (contrary, "no common scale")):
        sign = found(before, contrary, judges=["judge"], paired=True)["deceptive_inflation"]
        assert (sign.found, why in sign.why) == (None, True)


# the gap


def test_a_growing_gap() -> None:
    def policy(right: float) -> Maker:
        return lambda chance, number: [
            row({"right": float(chance.random() < right)}, task=str(number)) for _ in range(6)
        ]

    start = Sides("", "", side(policy(0.3), 60), side(policy(0.35), 60, seed=1))
    held, trained = side(policy(0.3), 60, seed=2), side(policy(0.8), 60, seed=3)
    gap, growth = gap_between(held, trained, FAST, start)
    assert gap is not None
    assert growth is not None
    assert gap.change == pytest.approx(_right(trained) - _right(held))
    assert growth.before == pytest.approx(_right(start.after) - _right(start.before))
    assert growth.change == pytest.approx(gap.change - growth.before)
    assert gap_sign("rl", gap, growth, "", FAST).found is True
    far = Sides("", "", held, trained)
    gap, growth = gap_between(side(policy(0.3), 60, seed=4), trained, FAST, far)
    assert gap_sign("rl", gap, growth, "", FAST).found is False  # it was there from the start
    gap, growth = gap_between(held, trained, FAST)
    assert growth is None
    assert "not known" in gap_sign("rl", gap, growth, "", FAST).why
    assert gap_sign("rl", None, None, "nothing", FAST).found is None


def _right(groups: Sequence[Sequence[Row]]) -> float:
    return statistics.fmean(statistics.fmean(bool(one.scored.correct) for one in group) for group in groups)


# diversity by models


def test_embeddings_and_inference_by_hand() -> None:
    group = [row({"right": 1.0}, text=text) for text in ("x", "y")]
    vectors = {"x": [1.0, 0.0], "y": [0.0, 1.0]}
    readers = Readers(
        embed=lambda texts: [vectors[text] for text in texts],
        infer=lambda premise, hypothesis: "contradiction" if premise == "x" else "neutral",
    )
    same = [row({"right": 1.0}, text="x")] * 2
    numbers = compare(Sides("x", "training", [group], [same]), FAST, readers=readers).numbers
    assert numbers["embedding_within"].before == pytest.approx(1)
    assert numbers["embedding_within"].after == pytest.approx(0)
    assert numbers["nli_within"].before == 1  # one direction of two
    assert numbers["nli_within"].after == 2


def test_ead_uses_the_tokens_and_the_vocabulary_it_is_given() -> None:
    from honewise.metrics import mean_ead

    group = [row({"right": 1.0}, text="aab"), row({"right": 1.0}, text="abc")]
    readers = Readers(tokens=list, vocabulary=40)
    numbers = compare(Sides("x", "training", [group], [group]), FAST, readers=readers).numbers
    wanted = mean_ead([list("aab"), list("abc")], vocabulary=40)
    assert numbers["ead_within"].after == pytest.approx(wanted)
    assert numbers["ead_across"].after == pytest.approx(mean_ead([list("aab")], vocabulary=40))


def test_nothing_at_all_and_empty_texts() -> None:
    empty = compare(Sides("x", "training", [], []), FAST)
    assert empty.numbers == {}
    assert all(sign.found is None for sign in empty.signs)
    blank = [[row({"right": 0.0}, text=""), row({"right": 0.0}, text="")]] * 8
    compared = compare(Sides("x", "training", blank, blank), FAST)
    assert "ead_within" in compared.missing
    assert compared.numbers["copies"].after == 1


def test_a_change_says_whether_it_rose() -> None:
    assert Change(1, 2, 1, 0.5, 1.5).rose
    assert not Change(1, 2, 1, -0.5, 1.5).rose
    assert Change(2, 1, -1, -1.5, -0.5).fell
    assert not Change(2, 1, -1).fell
    assert Change(0, 1, 1).ratio == math.inf
