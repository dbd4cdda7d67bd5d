"""Lagrange multipliers, the combination of streams, and weights that make groups fare alike."""

from __future__ import annotations

import json
import math

import pytest
import torch
from made_rollouts import full_rollouts

from honewise.algorithms import GRPO, Constraint, Multipliers, add_kl_reward, invariance_weights, lagrangian, whiten
from honewise.errors import UserError


def test_one_step_by_hand() -> None:
    multipliers = Multipliers({"harm": Constraint()})  # lambda 1, rate .1, threshold 0
    assert multipliers.update({"harm": [0.5]})["harm"] == pytest.approx(1.051271, abs=5e-7)


def test_each_constraint_has_its_own() -> None:
    multipliers = Multipliers({"harm": Constraint(threshold=0.2), "cost": Constraint(initial=2.0, rate=0.5)})
    found = multipliers.update({"harm": [0.2], "cost": [-1.0, -1.0]})
    assert found == {"harm": pytest.approx(1.0), "cost": pytest.approx(2 * math.exp(-1.0))}
    assert multipliers.update({"harm": [], "cost": [0.0]})["harm"] == pytest.approx(1.0)


def test_window_delay_cap_and_floor() -> None:
    multipliers = Multipliers({"harm": Constraint(window=2, delay=1, rate=1.0, maximum=3.0, minimum=0.5)})
    assert multipliers.update({"harm": [9.0, 9.0]}) == {"harm": 1.0}  # delayed, and remembered
    assert multipliers.update({"harm": [-9.0]}) == {"harm": 1.0}  # mean of the last two: 0
    assert multipliers.update({"harm": [9.0, 1.0]})["harm"] == pytest.approx(3.0)
    assert multipliers.update({"harm": [-1e9, -1e9]})["harm"] == pytest.approx(0.5)


def test_state_is_json_and_goes_on() -> None:
    limits = {"harm": Constraint(delay=2, window=3), "cost": Constraint(threshold=1.0)}
    first, other = Multipliers(limits), Multipliers(limits)
    first.update({"harm": [1.0, 2.0], "cost": [0.0]})
    other.restore(json.loads(json.dumps(first.state())))
    for step in range(3):
        costs = {"harm": [float(step)], "cost": [2.0, 3.0]}
        assert first.update(costs) == other.update(costs)
    with pytest.raises(UserError, match=r"saved with the constraints \['cost', 'harm'\], now \['harm'\]"):
        Multipliers({"harm": Constraint()}).restore(first.state())


def test_what_is_refused() -> None:
    multipliers = Multipliers({"harm": Constraint()})
    with pytest.raises(UserError, match="no constraint 'hram'; did you mean 'harm'"):
        multipliers.update({"hram": [1.0]})
    with pytest.raises(ValueError, match="costs of 'harm' must be numbers"):
        multipliers.update({"harm": [math.nan]})
    assert multipliers.values == {"harm": 1.0}
    for bad in ({"initial": 0.0}, {"initial": 101.0}, {"maximum": math.inf}, {"minimum": 0.0}):
        with pytest.raises(UserError, match="0 < minimum <= initial <= maximum"):
            Constraint(**bad)
    for worse in ({"rate": -1.0}, {"delay": -1}, {"window": 0}):
        with pytest.raises(UserError, match="rate and delay must not be below 0"):
            Constraint(**worse)  # type: ignore[arg-type]


def test_dynamics_of_two_arms() -> None:
    """Rewards (1, .4), costs (+1, -1), threshold 0: lambda* = .3 and an even mix, from either side.

    The arms are worth the same where 1 - lambda = .4 + lambda. A little KL to the even mix damps the circling of policy
    and multiplier, and moves neither.
    """
    rewards, costs = torch.tensor([1.0, 0.4], dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
    for initial in (0.05, 2.0):
        multipliers = Multipliers({"harm": Constraint(initial=initial, rate=0.2, window=1)})
        theta = torch.zeros(2, dtype=torch.float64)
        for _ in range(3000):
            chances = torch.softmax(theta, -1)
            value = multipliers.values["harm"]
            mask = torch.ones(2, 1, dtype=torch.bool)
            advantages = lagrangian(rewards[:, None], {"harm": costs[:, None]}, {"harm": value}, mask, normalised=False)
            shaped = advantages.flatten() - 0.5 * (chances * 2).log()
            theta = theta + 0.1 * (shaped - chances @ shaped)
            multipliers.update({"harm": [float(chances @ costs)]})
        assert multipliers.values["harm"] == pytest.approx(0.3, abs=1e-3)
        assert torch.softmax(theta, -1).tolist() == pytest.approx([0.5, 0.5], abs=1e-3)


def test_the_combination_by_hand() -> None:
    mask = torch.tensor([[True, True, False]])
    reward = torch.tensor([[1.0, -1.0, 9.0]], dtype=torch.float64)
    costs = {"a": torch.tensor([[0.5, 0.0, 9.0]]).double(), "b": torch.tensor([[0.0, 2.0, 9.0]]).double()}
    found = lagrangian(reward, costs, {"a": 2.0, "b": 0.5}, mask, normalised=False)
    assert found[0].tolist() == pytest.approx([(1 - 1.0) / 3.5, (-1 - 1.0) / 3.5, 0.0])
    assert torch.equal(lagrangian(reward, {}, {}, mask, normalised=False), reward * mask)
    with pytest.raises(ValueError, match="must have the same names"):
        lagrangian(reward, costs, {"a": 1.0}, mask)


def test_streams_are_normalised_apart() -> None:
    """A cost in cents or in euros: the multiplier means the same."""
    batch = full_rollouts(0)
    reward, cost = GRPO(batch.select([0]), scale="none"), GRPO(batch.select([1]), scale="none")
    found = lagrangian(reward, {"cost": cost}, {"cost": 0.5}, batch.mask)
    cents = lagrangian(reward, {"cost": cost * 100}, {"cost": 0.5}, batch.mask)
    torch.testing.assert_close(cents, found, rtol=0, atol=1e-6)
    wanted = (whiten(reward, batch.mask) - 0.5 * whiten(cost, batch.mask)) / 1.5
    torch.testing.assert_close(found, wanted)
    everywhere = torch.ones_like(batch.mask)  # a mask of ones would count the padding
    assert not torch.allclose(lagrangian(reward, {"cost": cost}, {"cost": 0.5}, everywhere) * batch.mask, found)


@pytest.mark.parametrize("value", [0.01, 0.3, 1.0, 50.0])
def test_the_kl_survives_whatever_the_multipliers(value: float) -> None:
    """-b kl beside the reward and +b kl beside the cost: ((-kl) - lambda (+kl)) / (1 + lambda) = -kl."""
    batch = full_rollouts(1)
    plus, minus = add_kl_reward(batch, 0.2), add_kl_reward(batch, -0.2)
    combined = lagrangian(
        plus.rewards[2], {"a": minus.rewards[2], "b": minus.rewards[2]}, {"a": value, "b": 2.0}, batch.mask,
        normalised=False,
    )  # fmt: skip
    torch.testing.assert_close(combined, plus.rewards[2], rtol=0, atol=1e-12)


# groups that fare alike


def test_weights_of_two_groups() -> None:
    returns, group = torch.tensor([0.9, 0.2], dtype=torch.float64), torch.tensor([4, 7])
    factors = invariance_weights(returns, group, 1.0)
    assert (factors / 2).tolist() == pytest.approx([0.15, 0.85])
    assert float(returns.var(correction=0)) == pytest.approx(0.1225)


def test_weights_are_the_gradient_of_the_objective() -> None:
    """Groups of unequal size: mean - coefficient x variance between the groups' means, each by its share."""
    generator = torch.Generator().manual_seed(0)
    returns = torch.randn(9, dtype=torch.float64, generator=generator).requires_grad_()
    group = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 2])
    means = torch.stack([returns[group == g].mean() for g in range(3)])
    shares = torch.tensor([4 / 9, 2 / 9, 3 / 9], dtype=torch.float64)
    objective = returns.mean() - 0.7 * (shares * (means - returns.mean()) ** 2).sum()
    gradient = torch.autograd.grad(objective, returns)[0] * 9
    torch.testing.assert_close(invariance_weights(returns.detach(), group, 0.7), gradient)


def test_no_coefficient_or_no_difference_is_plain() -> None:
    returns, group = torch.tensor([0.9, 0.2, 0.4]), torch.tensor([0, 0, 1])
    assert invariance_weights(returns, group, 0.0).tolist() == [1, 1, 1]
    assert invariance_weights(torch.full((3,), 0.3), group, 5.0).tolist() == pytest.approx([1, 1, 1])
    known = torch.tensor([True, False, True])
    some = invariance_weights(torch.tensor([0.9, math.nan, 0.2]), torch.tensor([0, 0, 1]), 1.0, known=known)
    assert some.tolist() == pytest.approx([0.3, 0.0, 1.7])
