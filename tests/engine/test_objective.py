"""What is maximised, apart from any model: streams, multipliers, groups, and what moves for the next batch."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from honewise.algorithms import GAE, GRPO, RLOO, Rollouts, whiten
from honewise.engine.objective import Batch, Objective
from honewise.engine.setup import Invariance, Setup
from honewise.errors import UserError
from honewise.recipes.policy_gradient import ConstraintSpec, KlSpec, ShapingSpec


def setup(estimator: Any = RLOO, **more: Any) -> Setup:
    return Setup(tasks=[], scorer=None, estimator=estimator, **more)  # type: ignore[arg-type]


def batch(rows: int = 4, width: int = 3, seed: int = 0, streams: int = 0, **more: Any) -> Batch:
    g = torch.Generator().manual_seed(seed)
    mask = torch.arange(width) < torch.randint(1, width + 1, (rows, 1), generator=g)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    rollouts = Rollouts(
        rewards=draw(1, rows, width) * mask,
        scored=torch.ones(1, rows, dtype=torch.bool),
        mask=mask,
        group=torch.arange(rows) // 2,
        old_logps=draw(rows, width),
        ref_logps=draw(rows, width),
    )
    values = draw(rows, width, streams) * mask.unsqueeze(-1) if streams else None
    return replace(Batch(rollouts, torch.zeros(rows, dtype=torch.bool), list(range(rows)), values=values), **more)


def cost_of(seed: int, of: Batch) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(seed)
    shape = of.rollouts.mask.shape
    return torch.randn(*shape, generator=g, dtype=torch.float64) * of.rollouts.mask, torch.ones(shape[0]).bool()


def test_nothing_asked_for_is_the_estimator_alone() -> None:
    given = batch()
    found = Objective(setup()).learn(given)
    assert torch.equal(found.advantages, RLOO(given.rollouts))
    assert found.returns is None
    assert found.numbers == {}


def test_costs_are_subtracted_each_in_its_own_unit() -> None:
    """(A_R - sum of lambda A_C) / (1 + sum of lambda), each whitened by itself: a cost's scale does not matter."""
    given = batch()
    costs = {"harm": cost_of(1, given), "length": cost_of(2, given)}
    specs = {"harm": ConstraintSpec(lambda_init=2.0), "length": ConstraintSpec(lambda_init=0.5)}
    found = Objective(setup(constraints=specs)).learn(replace(given, costs=costs))
    mask = given.rollouts.mask

    def white(rewards: Tensor) -> Tensor:
        return whiten(RLOO(replace(given.rollouts, rewards=rewards.unsqueeze(0))), mask)

    wanted = white(given.rollouts.rewards[0]) - 2.0 * white(costs["harm"][0]) - 0.5 * white(costs["length"][0])
    torch.testing.assert_close(found.advantages, wanted / 3.5)
    larger = {name: (1000 * credit, scored) for name, (credit, scored) in costs.items()}
    again = Objective(setup(constraints=specs)).learn(replace(given, costs=larger))
    torch.testing.assert_close(again.advantages, found.advantages, rtol=1e-6, atol=1e-6)


def test_a_cost_that_could_not_be_computed_charges_nothing() -> None:
    given = batch(seed=4)
    credit, scored = cost_of(1, given)
    scored[0] = False
    credit[0] = 0.0
    objective = Objective(setup(constraints={"harm": ConstraintSpec()}))
    found = objective.learn(replace(given, costs={"harm": (credit, scored)}))
    white = whiten(RLOO(given.rollouts), given.rollouts.mask)
    torch.testing.assert_close(found.advantages[0], white[0] / 2)
    assert found.numbers["cost/harm"] == pytest.approx(float(credit[1:].sum() / 3))


def test_multipliers_move_after_the_batch_they_were_used_on() -> None:
    """lambda 1, rate .1, mean cost .5 above the threshold: 1.051271 for the next one, within 1.06."""
    given = batch()
    mask = given.rollouts.mask
    first = mask & (torch.arange(mask.shape[1]) == 0)
    costs = {"harm": (1.5 * first.double(), torch.ones(4).bool())}
    spec = ConstraintSpec(threshold=1.0, lambda_lr=0.1, lambda_max=1.06)
    objective = Objective(setup(constraints={"harm": spec}))
    seen = [objective.learn(replace(given, costs=costs)).numbers["lambda/harm"] for _ in range(3)]
    assert seen == pytest.approx([1.0, 1.051271, 1.06], abs=1e-6)
    late = Objective(setup(constraints={"harm": spec.model_copy(update={"delay_steps": 2})}))
    seen = [late.learn(replace(given, costs=costs)).numbers["lambda/harm"] for _ in range(4)]
    assert seen == pytest.approx([1.0, 1.0, 1.0, 1.051271], abs=1e-6)


def test_the_cost_is_averaged_over_a_window() -> None:
    given = batch()
    first = (given.rollouts.mask & (torch.arange(3) == 0)).double()
    objective = Objective(setup(constraints={"harm": ConstraintSpec(threshold=0.0, window=8, lambda_lr=0.1)}))
    for size in (1.0, 3.0):
        before = objective.multipliers.values["harm"]
        objective.learn(replace(given, costs={"harm": (size * first, torch.ones(4).bool())}))
    assert objective.multipliers.values["harm"] == pytest.approx(before * math.exp(0.1 * before * 2.0))


def test_a_kl_charges_costs_the_other_way() -> None:
    """So that its weight does not move with the multipliers: with GAE at lam 0 and equal streams it can be seen."""
    given = batch(streams=2)
    zero = replace(given.rollouts, rewards=torch.zeros_like(given.rollouts.rewards))
    kl = KlSpec(coef=0.7)
    objective = Objective(setup(GAE, constraints={"harm": ConstraintSpec()}, kl=kl))
    streams = objective._streams(
        replace(given, rollouts=zero, costs={"harm": (torch.zeros(4, 3).double(), torch.ones(4).bool())})
    )
    reward, cost = streams["reward"].rewards.sum(0), streams["harm"].rewards.sum(0)
    assert reward.any()
    assert torch.equal(reward, -cost)


def test_each_stream_has_a_value_of_its_own() -> None:
    given = batch(streams=2)
    assert given.values is not None
    costs = {"harm": cost_of(1, given)}
    found = Objective(setup(GAE, constraints={"harm": ConstraintSpec()})).learn(replace(given, costs=costs))
    assert found.returns is not None
    assert found.returns.shape == (4, 3, 2)
    for index, rewards in enumerate((given.rollouts.rewards, costs["harm"][0].unsqueeze(0))):
        alone = replace(given.rollouts, rewards=rewards, values=given.values[..., index])
        torch.testing.assert_close(found.returns[..., index], GAE.targets(alone))
    assert {"critic/explained_variance", "critic/harm/explained_variance", "critic/harm/value"} <= set(found.numbers)


def test_groups_that_fare_worse_count_for_more() -> None:
    """Mean rewards .9 and .2, coefficient 1: rows weigh 1 - 2 (J_g - .55) = .3 and 1.7."""
    given = batch()
    first = (given.rollouts.mask & (torch.arange(3) == 0)).double()
    totals = torch.tensor([0.8, 1.0, 0.0, 0.4], dtype=torch.float64).unsqueeze(-1)
    paid = replace(given, rollouts=replace(given.rollouts, rewards=(totals * first).unsqueeze(0)))
    groups = Invariance(("easy", "easy", "hard", "hard"), 1.0)
    found = Objective(setup(invariance=groups)).learn(paid)
    plain = RLOO(paid.rollouts)
    torch.testing.assert_close(found.advantages, plain * torch.tensor([[0.3], [0.3], [1.7], [1.7]]))
    assert found.numbers == pytest.approx({"invariance/easy": 0.9, "invariance/hard": 0.2})


def test_rewards_are_limited_charged_and_scaled_in_that_order() -> None:
    given = replace(batch(streams=1), truncated=torch.tensor([True, False, False, False]))
    shaping = ShapingSpec(clip=0.5, missing_end=0.25, whiten=True)
    (stream,) = Objective(setup(GAE, shaping=shaping))._streams(given).values()
    totals = (stream.rewards.sum(0) * stream.mask).sum(-1)
    plain = (given.rollouts.rewards.sum(0)).sum(-1).clamp(-0.5, 0.5) - torch.tensor([0.25, 0, 0, 0])
    ratio = totals / plain
    torch.testing.assert_close(ratio, ratio[0].expand(4))
    sums = (stream.rewards.sum(0))[stream.mask]
    assert float(sums.var(unbiased=False)) == pytest.approx(1, abs=1e-6)


def test_what_moves_comes_back() -> None:
    kl = KlSpec(coef=0.2, controller="adaptive", target=0.1, unit="sequence", horizon=20)
    wanted = {"constraints": {"harm": ConstraintSpec(threshold=-1.0)}, "kl": kl}
    one = Objective(setup(**wanted))
    given = batch()
    given = replace(given, costs={"harm": cost_of(1, given)})
    one.learn(given)
    other = Objective(setup(**wanted))
    other.restore(one.state())
    assert other.state() == one.state()
    assert one.state() != Objective(setup(**wanted)).state()
    for _ in range(3):
        assert torch.equal(one.learn(given).advantages, other.learn(given).advantages)
    with pytest.raises(UserError, match="saved with kind 'adaptive'"):
        Objective(setup(constraints=wanted["constraints"])).restore(one.state())


def test_evaluation_takes_rewards_alone() -> None:
    given = batch()
    kl = KlSpec(coef=0.2, controller="adaptive", target=0.1, unit="sequence")
    objective = Objective(setup(GRPO, kl=kl, shaping=ShapingSpec(missing_end=1.0)))
    before = objective.state()
    assert torch.equal(objective.evaluate(given.rollouts), GRPO(given.rollouts))
    assert not Objective(setup(GAE)).evaluate(given.rollouts).any()
    assert objective.state() == before
