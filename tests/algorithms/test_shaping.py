"""What is added to rewards beside the rubric: hand-worked."""

from __future__ import annotations

import pytest
import torch

from honewise.algorithms import REMAX, Rollouts, charge_missing_end, limit_totals, scale_rewards
from honewise.errors import UserError


def rollouts(**more: torch.Tensor) -> Rollouts:
    """Two components, three rows of two, three and one own tokens; the last row lacks the second component."""
    return Rollouts(
        rewards=torch.tensor([[[1.0, 2.0, 9.0], [0.0, 0.5, 0.5], [-4.0, 9.0, 9.0]],
                              [[0.0, 3.0, 9.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]], dtype=torch.float64),
        scored=torch.tensor([[True, True, True], [True, True, False]]),
        mask=torch.tensor([[True, True, False], [True, True, True], [True, False, False]]),
        group=torch.tensor([0, 0, 0]),
        **more,
    )  # fmt: skip


def test_totals_are_limited_at_the_last_token() -> None:
    """Totals 6, 1 and -4 within 2."""
    found = limit_totals(rollouts(), 2.0)
    assert found.rewards[:2].equal(rollouts().rewards), "what was earned on the way stays"
    assert found.rewards[2].tolist() == [[0, -4, 0], [0, 0, 0], [2, 0, 0]]
    assert found.scored[2].tolist() == [True, True, True]


def test_the_greedy_completion_is_limited_alike() -> None:
    """Its totals are 7 and 1; the second could not be scored at all for the third row."""
    greedy = torch.tensor([[5.0, 1.0, torch.nan], [2.0, torch.nan, torch.nan]], dtype=torch.float64)
    found = limit_totals(rollouts(greedy=greedy), 2.0)
    assert found.greedy is not None
    assert found.greedy[2, :2].tolist() == [-5.0, 0.0]
    assert found.greedy[2, 2].isnan()
    assert REMAX(found)[:, 0].tolist() == [2 - 2, 1 - 1, 0.0], "limited against limited; nothing without a greedy one"


def test_a_missing_end_is_charged_where_the_completion_stops() -> None:
    found = charge_missing_end(rollouts(), torch.tensor([True, False, True]), 0.5)
    assert found.rewards[2].tolist() == [[0, -0.5, 0], [0, 0, 0], [-0.5, 0, 0]]
    with_greedy = charge_missing_end(
        rollouts(greedy=torch.zeros(2, 3, dtype=torch.float64)), torch.tensor([True, False, True]), 0.5,
        greedy=torch.tensor([True, True, False]),
    )  # fmt: skip
    assert with_greedy.greedy is not None
    assert with_greedy.greedy[2].tolist() == [-0.5, -0.5, 0.0]


def test_scaling_leaves_nothing_where_nothing_was() -> None:
    """The rows with both components have token sums 1, 5, 0, .5, .5: mean 1.4, variance 3.34."""
    found = scale_rewards(rollouts())
    assert found.rewards[0, 0, 0] == pytest.approx(1 / 3.34**0.5)
    assert found.rewards[0, 1, 0] == 0
    sums = (found.rewards.sum(0) * found.mask)[:2][found.mask[:2]]
    assert float(sums.var(unbiased=False)) == pytest.approx(1, abs=1e-6)


def test_rows_without_a_score_stay_without() -> None:
    lost = Rollouts(torch.zeros(1, 1, 2), torch.tensor([[False]]), torch.ones(1, 2).bool(), torch.tensor([0]))
    for found in (limit_totals(lost, 1.0), charge_missing_end(lost, torch.tensor([True]), 1.0)):
        assert not found.scored.any()
        assert not found.rewards.any()


def test_values_out_of_range() -> None:
    with pytest.raises(UserError, match="clip must be above 0"):
        limit_totals(rollouts(), 0.0)
    with pytest.raises(UserError, match="missing_end must not be below 0"):
        charge_missing_end(rollouts(), torch.zeros(3).bool(), -1.0)
