"""What holds for each of core's estimators, whatever it computes."""

from __future__ import annotations

import inspect
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rollouts import full_rollouts, rows_of, with_holes

from honewise.algorithms import ESTIMATORS, NEEDS, Estimator, Rollouts, add_kl_reward
from honewise.errors import UserError

EACH = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: e.name)
SEED = st.integers(0, 10_000)
LINEAR: dict[str, dict[str, Any]] = {
    "grpo": {"scale": "none"},
    "dr-grpo": {},
    "rloo": {},
    "dense-return": {},
    "grpo-process": {"scale": "none"},
    "remax": {"gamma": 0.9},
    "reinforce++": {"whitened": "none", "gamma": 0.9},
    "reinforce++-baseline": {"whitened": "none"},
    "gae": {"gamma": 0.9},
    "rl-zvp": {"scale": "none", "alpha": 0.0},
}
"""Options under which twice the reward is twice the advantage."""
INVARIANT: dict[str, dict[str, Any]] = {
    "grpo": {"scale": "group"},
    "rloo": {"scale": "batch"},
    "gdpo": {},
    "dense-return": {"scale": "domain"},
    "grpo-process": {"scale": "batch"},
    "reinforce++": {},
    "reinforce++-baseline": {"whitened": "domain"},
    "gae": {"whitened": "batch"},
}
"""Options under which the unit of the reward does not matter."""
ACROSS_GROUPS = {"gdpo", "reinforce++", "reinforce++-baseline"}
"""Estimators that compare the groups of a batch, as they stand by default."""


def scaled(batch: Rollouts, factor: float) -> Rollouts:
    assert batch.greedy is not None
    assert batch.values is not None
    return replace(batch, rewards=batch.rewards * factor, greedy=batch.greedy * factor, values=batch.values * factor)


def close(one: torch.Tensor, other: torch.Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=atol)


@EACH
@settings(max_examples=25, deadline=None)
@given(seed=SEED, charged=st.booleans())
def test_masked_tokens_do_not_matter(estimator: Estimator, seed: int, charged: bool) -> None:
    """Not even where they are no numbers; nor do more padding, or tool text between two tokens."""
    batch = full_rollouts(seed)
    holed, keep = with_holes(batch, seed, math.nan)
    if charged and estimator.name != "grpo-process":
        batch, holed = add_kl_reward(batch, 0.1), add_kl_reward(holed, 0.1)
    advantages = estimator(holed)
    assert not advantages[~holed.mask].any()
    close(advantages.gather(-1, keep), estimator(batch))
    if estimator.returns is not None:
        close(estimator.targets(holed).gather(-1, keep), estimator.targets(batch))


@EACH
@settings(max_examples=25, deadline=None)
@given(seed=SEED)
def test_order_of_rows_does_not_matter(estimator: Estimator, seed: int) -> None:
    batch = full_rollouts(seed)
    order = torch.randperm(len(batch.group), generator=torch.Generator().manual_seed(seed))
    moved = rows_of(replace(batch, group=torch.tensor([70, -3, 12])[batch.group]), order)  # group ids are labels
    close(estimator(moved), estimator(batch)[order])


@EACH
@settings(max_examples=25, deadline=None)
@given(seed=SEED)
def test_other_groups_do_not_matter(estimator: Estimator, seed: int) -> None:
    batch = full_rollouts(seed, missing=False)
    options = {"whitened": "none"} if "whitened" in estimator.options else {}
    if estimator.name == "gdpo":
        options = {"scale": "none"}
    first = batch.group == 0
    close(estimator(batch, **options)[first], estimator(rows_of(batch, first), **options))
    if estimator.name in ACROSS_GROUPS:
        assert not torch.allclose(estimator(batch)[first], estimator(rows_of(batch, first)))


@EACH
@settings(max_examples=25, deadline=None)
@given(seed=SEED)
def test_unscored_cells_and_rows_have_no_voice(estimator: Estimator, seed: int) -> None:
    batch = full_rollouts(seed)
    nothing = torch.zeros_like(batch.scored)
    dead = torch.zeros(len(batch.group), dtype=torch.bool)
    dead[[1, 6]] = True
    batch = replace(batch, scored=torch.where(dead, nothing, batch.scored))
    loud = torch.where(batch.scored.unsqueeze(-1), batch.rewards, 1e6)
    advantages = estimator(replace(batch, rewards=loud))
    close(advantages, estimator(batch))
    assert not advantages[dead].any()
    close(advantages[~dead], estimator(rows_of(batch, ~dead)))


@EACH
@settings(max_examples=25, deadline=None)
@given(seed=SEED, kind=st.sampled_from(["missing", "equal", "one", "empty rows", "huge", "dropped", "alone"]))
def test_nan_never_appears(estimator: Estimator, seed: int, kind: str) -> None:
    batch = full_rollouts(seed)
    if kind == "equal":
        batch = replace(batch, rewards=torch.zeros_like(batch.rewards), values=torch.zeros_like(batch.mask).double())
    elif kind == "one":
        batch = rows_of(batch, torch.tensor([0]))
    elif kind == "empty rows":
        batch = replace(batch, mask=batch.mask & (batch.group > 0).unsqueeze(-1))
    elif kind == "huge":
        batch = replace(batch, rewards=batch.rewards * 1e30)
    elif kind == "dropped":
        batch = replace(batch, scored=torch.zeros_like(batch.scored))
    elif kind == "alone":
        batch = replace(batch, group=torch.arange(len(batch.group)))
    assert batch.greedy is not None
    batch = replace(batch, greedy=batch.greedy.masked_fill(batch.greedy > 1, math.nan))
    advantages = estimator(batch)
    assert torch.isfinite(advantages).all()
    assert advantages.dtype == batch.rewards.dtype
    assert not advantages[~batch.mask].any()
    if kind == "dropped":
        assert not advantages.any()


@EACH
@settings(max_examples=10, deadline=None)
@given(seed=SEED)
def test_who_is_alone_has_nobody_to_be_better_than(estimator: Estimator, seed: int) -> None:
    if estimator.name in ("remax", "reinforce++", "gae"):
        return  # their baselines are no others of the group
    batch = full_rollouts(seed, missing=False)
    alone = replace(batch, group=torch.arange(len(batch.group)))
    assert not estimator(alone).any()
    only = torch.zeros_like(batch.scored[1]).index_fill(0, torch.tensor([0, 4, 8]), True)
    some = replace(batch, scored=torch.stack([batch.scored[0], only]))  # the second component, once in each group
    none = replace(batch, scored=torch.stack([batch.scored[0], torch.zeros_like(only)]))
    close(estimator(some), estimator(none))


@EACH
def test_no_rows_and_no_tokens(estimator: Estimator) -> None:
    batch = full_rollouts(0)
    assert estimator(rows_of(batch, torch.zeros(0, dtype=torch.long))).shape == (0, 7)
    short = {name: getattr(batch, name)[:, :0] for name in ("mask", "old_logps", "ref_logps", "entropies", "values")}
    assert estimator(replace(batch, rewards=batch.rewards[..., :0], **short)).shape == (12, 0)


@EACH
def test_single_precision_and_rounding_of_inputs(estimator: Estimator) -> None:
    batch = full_rollouts(3)
    half = replace(batch, rewards=batch.rewards.float(), values=batch.values.bfloat16().double())
    assert estimator(half).dtype == torch.float32


@pytest.mark.parametrize("name", LINEAR)
@settings(max_examples=15, deadline=None)
@given(seed=SEED, factor=st.sampled_from([-2.0, 0.25, 1000.0]))
def test_twice_the_reward_is_twice_the_advantage(name: str, seed: int, factor: float) -> None:
    estimator, batch = by_name(name), full_rollouts(seed)
    wanted = estimator(batch, **LINEAR[name]) * factor
    close(estimator(scaled(batch, factor), **LINEAR[name]), wanted, 1e-9 * max(abs(factor), 1))


@pytest.mark.parametrize("name", INVARIANT)
@settings(max_examples=15, deadline=None)
@given(seed=SEED)
def test_the_unit_of_the_reward_does_not_matter(name: str, seed: int) -> None:
    estimator, batch = by_name(name), scaled(full_rollouts(seed), 1e6)  # far above the epsilons
    close(estimator(scaled(batch, 1000.0), **INVARIANT[name]), estimator(batch, **INVARIANT[name]), 1e-6)


@pytest.mark.parametrize("name", [name for name in LINEAR if name not in ("remax", "reinforce++", "gae")])
@settings(max_examples=15, deadline=None)
@given(seed=SEED)
def test_what_all_get_at_the_end_changes_nothing(name: str, seed: int) -> None:
    """A bonus for everyone, paid where the completion ends, is no reason to prefer anyone."""
    estimator, batch = by_name(name), full_rollouts(seed, missing=False)
    last = batch.mask.sum(-1) - 1
    everywhere = torch.ones_like(batch.mask).expand_as(batch.rewards) & batch.mask
    batch = replace(batch, steps=everywhere & (torch.arange(7) == last[:, None]))
    batch = replace(batch, rewards=torch.where(batch.steps, batch.rewards, 0.0))  # type: ignore[arg-type]
    more = replace(batch, rewards=batch.rewards + 5.0 * batch.steps)  # type: ignore[operator]
    close(estimator(more, **LINEAR[name]), estimator(batch, **LINEAR[name]))


@EACH
def test_equal_completions_of_which_one_lost_a_component(estimator: Estimator) -> None:
    """The failure of a judge makes no winner: with nothing else between them, all four stay equal."""
    rewards = torch.tensor([[[0, 1.0]] * 4, [[0.5, 0]] * 3 + [[0, 0]]], dtype=torch.float64)
    batch = Rollouts(
        rewards,
        torch.tensor([[True] * 4, [True, True, True, False]]),
        torch.ones(4, 2, dtype=torch.bool),
        torch.zeros(4, dtype=torch.long),
        entropies=torch.zeros(4, 2, dtype=torch.float64),
        values=torch.tensor([[1.5, 1.0]] * 4, dtype=torch.float64),
        greedy=torch.tensor([[1.0] * 4, [0.5] * 4], dtype=torch.float64),
        correct=torch.ones(4, dtype=torch.long),
        weights=torch.ones(2, dtype=torch.float64),
        steps=torch.tensor([[[False, True]] * 4, [[True, False]] * 4]),
    )
    advantages = estimator(batch)
    if estimator.name == "reinforce++":  # no baseline at each place: a later token has less to come, in every row
        assert torch.equal(advantages[0], advantages[1])
        assert not advantages[3].any()
    else:
        close(advantages, torch.zeros(4, 2, dtype=torch.float64), 1e-12)


@EACH
def test_estimators_are_pure_and_documented(estimator: Estimator) -> None:
    batch = full_rollouts(5)
    before = [value.clone() for value in vars_of(batch)]
    assert torch.equal(estimator(batch), estimator(batch))
    assert all(torch.equal(a, b) for a, b in zip(before, vars_of(batch), strict=True))
    text = inspect.getdoc(estimator.fn) or ""
    assert "Returns (B, T)" in text
    assert all(name in text for name in estimator.options if name not in ("std", "eps", "gamma"))


@EACH
def test_a_missing_need_is_said(estimator: Estimator) -> None:
    for need in estimator.needs:
        with pytest.raises(ValueError, match=f"needs {need}: {NEEDS[need][:12]}"):
            estimator(replace(full_rollouts(0), **{need: None}))


def vars_of(batch: Rollouts) -> list[torch.Tensor]:
    found = [getattr(batch, name) for name in Rollouts.__dataclass_fields__]
    return [value for value in found if isinstance(value, torch.Tensor)]


def by_name(name: str) -> Estimator:
    return next(each for each in ESTIMATORS if each.name == name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("grpo", {"scale": "grop"}, "estimator 'grpo': scale 'grop'; did you mean 'group'"),
        ("gdpo", {"scale": "group"}, "scale 'group'; there are: batch, domain, none"),
        ("gae", {"gamma": "one"}, "gamma 'one'; it must be a number"),
        ("gae", {"lam": True}, "lam True; it must be a number"),
        ("gae", {"gamma": 1.5}, r"gae: gamma must lie in \[0, 1\], not 1.5"),
        ("remax", {"clip": "5"}, "clip '5'; it must be a number or null"),
        ("remax", {"clip": 0}, "clip must be above 0"),
        ("remax", {"kl_credit": "onestep"}, "did you mean 'one_step'"),
        ("reinforce++", {"whitened": "group"}, "whitened 'group'; there are: batch, domain, none"),
        ("rl-zvp", {"alpha": -1}, "alpha=-1"),
        ("rl-zvp", {"cap": 0.0}, "cap=0.0"),
        ("grpo-process", {"std": "popluation"}, "did you mean 'population'"),
        ("grpo-process", {"eps": -1.0}, "eps -1.0 is below 0"),
        ("dr-grpo", {"scale": "group"}, "has no option 'scale'; there are none"),
    ],
)
def test_bad_options_are_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        by_name(name)(full_rollouts(0), **options)


def test_whole_numbers_are_numbers_and_odd_annotations_are_left_alone() -> None:
    by_name("gae").check({"gamma": 1, "lam": 0})

    def odd(rollouts: Rollouts, *, table: dict[str, float] | None = None, other: Missing = 1) -> torch.Tensor:  # type: ignore[name-defined]  # noqa: F821
        return rollouts.rewards[0]

    Estimator("odd", odd).check({"table": 3, "other": "x"})


def test_only_estimators_with_a_critic_have_targets() -> None:
    with pytest.raises(ValueError, match="'grpo' has no critic"):
        by_name("grpo").targets(full_rollouts(0))
    with pytest.raises(ValueError, match="'gae' needs values"):
        by_name("gae").targets(replace(full_rollouts(0), values=None))


def test_selected_components_keep_what_belongs_to_them() -> None:
    batch = add_kl_reward(replace(full_rollouts(1), steps=torch.ones(2, 12, 7, dtype=torch.bool)), 0.5)
    assert (batch.kl, len(batch.rewards)) == (2, 3)
    chosen = batch.select([2, 0])
    assert chosen.kl == 0
    for name in ("rewards", "scored", "greedy", "weights", "steps"):
        torch.testing.assert_close(getattr(chosen, name), getattr(batch, name)[[2, 0]], equal_nan=True)
    assert batch.select([1]).kl is None
    assert torch.equal(chosen.mask, batch.mask)


def test_shapes_of_the_optional_fields_are_checked() -> None:
    batch = full_rollouts(0)
    for name, bad in {"greedy": (12,), "correct": (2, 12), "weights": (3,), "domain": (7,), "steps": (12, 7)}.items():
        with pytest.raises(ValueError, match=f"{name} must have shape"):
            replace(batch, **{name: torch.zeros(bad)})
    with pytest.raises(ValueError, match="one of 2 components"):
        replace(batch, kl=2)
