"""Gates as they are written, phases, and changing a preset by name."""

from __future__ import annotations

from typing import Any

import pytest
from trial_domain import build

from honewise import Domain, Rubric, Term, UserError
from honewise.errors import UnknownName
from honewise.host import PluginHost
from honewise.recipes.schema import RewardSpec, RubricSpec
from honewise.scoring import apply_rubric_spec, reward_files
from honewise.scoring.gates import Gate, Kind, Phase, order, phases


@pytest.fixture(scope="module")
def domain() -> Domain:
    return build()


@pytest.mark.parametrize(
    ("text", "below", "at", "above"),
    [
        ("a < 0.5", True, False, False),
        ("a <= 0.5", True, True, False),
        ("a == .5", False, True, False),
        ("a!=5e-1", True, False, True),
        (" a >= +0.5 ", False, True, True),
        ("a>0.5", False, False, True),
    ],
)
def test_every_comparison(text: str, below: bool, at: bool, above: bool) -> None:
    gate = Gate.of("x", text)
    assert gate.other == "a"
    assert [gate.open(value) for value in (0.4, 0.5, 0.6)] == [below, at, above]


def test_a_sum_that_misses_by_rounding_is_met() -> None:
    gate = Gate.of("x", "words/brief >= 1")
    assert gate.other == "words/brief"
    assert gate.open(sum([0.1] * 10))
    assert not gate.open(1 - 1e-6)


def test_order_and_phases_put_the_cheap_before_the_dear() -> None:
    gates = {
        name: Gate.of(name, text) for name, text in {"b": "j > 0", "j": "a > 0", "k": "j > 0", "l": "a > 0"}.items()
    }
    names = order(["b", "k", "j", "l", "a"], gates)
    assert names == ["a", "j", "b", "k", "l"]
    kinds: dict[str, Kind] = {"a": "pool", "b": "pool", "j": "loop", "k": "loop", "l": "local"}
    assert phases(names, gates, kinds) == [
        Phase("pool", ("a",)),
        Phase("local", ("l",)),
        Phase("loop", ("j",)),
        Phase("pool", ("b",)),
        Phase("loop", ("k",)),
    ]


def test_changes_by_name(domain: Domain) -> None:
    preset = Rubric({"right": 1.0, "letters": Term(0.5, when="right >= 1", otherwise=0.1), "odd": 2}, correct="right")
    changed = apply_rubric_spec(
        domain,
        preset,
        {
            "letters": 3,
            "odd": None,
            "theirs": {"clip": [0, 1], "options": {}},
            "mine": {"fn": "my.py:mine", "weight": {"0": 1, "10": 2}, "on_unscored": "zero"},
        },
        cap_wrong=True,
    )
    assert changed == Rubric(
        {
            "right": Term(1.0),
            "letters": Term(3.0, when="right >= 1", otherwise=0.1),
            "theirs": Term(1.0, clip=(0.0, 1.0)),
            "mine": Term({0: 1.0, 10: 2.0}, on_unscored="zero"),
        },
        correct="right",
        cap_wrong=True,
    )
    assert reward_files({"mine": {"fn": "my.py:mine"}, "right": 2, "odd": None}) == {"mine": "my.py:mine"}


def test_a_recipe_says_what_a_reward_has_that_it_leaves_out(domain: Domain) -> None:
    added = apply_rubric_spec(domain, "default", {"mine": RewardSpec(fn="my.py:mine")}).term("mine")
    told = RewardSpec.model_json_schema()["properties"]
    for name in ("weight", "otherwise", "normalise", "on_unscored"):
        value = getattr(added, name)
        said = str(told[name]["description"]).replace("\n", " ")
        left_out = said.lower().partition("left out, the preset's")[2]
        assert (value if isinstance(value, str) else f"{value:g}") in left_out, (name, said)


def test_a_recipes_own_models_are_taken(domain: Domain) -> None:
    spec = RubricSpec(
        rewards={"letters": RewardSpec(weight=0.25), "right": RewardSpec(weight={0: 1.0, 5: 2.0}, when=None)}
    )
    changed = apply_rubric_spec(domain, None, spec.rewards)
    assert changed.term("letters") == Term(0.25)
    assert changed.term("right") == Term({0: 1.0, 5: 2.0})
    spec = RubricSpec.model_validate({"rewards": {"letters": None, "mine": {"fn": "my.py:mine"}}})
    assert list(apply_rubric_spec(domain, "default", spec.rewards).terms) == ["right", "mine"]
    assert reward_files(spec.rewards) == {"mine": "my.py:mine"}


@pytest.mark.parametrize(
    ("changes", "settings", "error", "message"),
    [
        ({"leters": 1}, {}, UnknownName, "did you mean 'letters'"),
        ({"odd": None}, {}, UnknownName, "no reward to drop 'odd'"),
        ({"letters": {"wieght": 1}}, {}, UserError, "did you mean 'weight'"),
        ({"letters": "much"}, {}, UserError, "give a weight"),
        ({"letters": True}, {}, UserError, "give a weight"),
        ({"right": None}, {}, UserError, "'right', which decides what is correct, is dropped"),
        ({}, {"correct": "odd"}, UserError, "'odd', which decides what is correct, is not in the rubric"),
        ({"odd": {"when": "theirs > 0"}}, {}, UserError, "gated on 'theirs', which is not in the rubric"),
    ],
)
def test_changes_without_sense_are_refused(
    domain: Domain, changes: dict[str, Any], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        apply_rubric_spec(domain, None, changes, **settings)


def test_a_gate_on_a_reward_that_the_changes_drop_is_refused(domain: Domain) -> None:
    preset = Rubric({"right": 1, "odd": 1, "letters": Term(when="odd > 0")})
    with pytest.raises(UserError, match="'letters' is gated on 'odd', which is not in the rubric"):
        apply_rubric_spec(domain, preset, {"odd": None})


def test_rewards_registered_outside_the_domain_are_found_in_full(domain: Domain) -> None:
    host = PluginHost()
    host.load_all()
    name = next(iter(host.rewards))
    assert name in apply_rubric_spec(domain, None, {name: 0.5}, host=host).terms
    with pytest.raises(UnknownName):
        apply_rubric_spec(domain, None, {name + "x": 0.5}, host=host)
