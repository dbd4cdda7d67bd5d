"""Process supervision against numbers worked by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_rollouts import full_rollouts, rollouts

from honewise.algorithms import GRPO, GRPO_PROCESS, add_kl_reward
from honewise.errors import UserError

EXACT = {"std": "population", "eps": 0.0}


def two_outputs():
    """Output 1: steps end at 2 (reward 1) and 4 (reward 0), five tokens. Output 2: one step ends at 3 (0), four."""
    return rollouts([[[0, 0, 1.0, 0, 0], [0, 0, 0, 0, 0]]], [5, 4])


def test_by_hand() -> None:
    # Step rewards 1, 0, 0: mean 1/3, population std .471405, so 1.41421 and -.70711.
    advantages = GRPO_PROCESS(two_outputs(), **EXACT)
    assert advantages[0].tolist() == pytest.approx([0.7071, 0.7071, 0.7071, -0.7071, -0.7071], abs=1e-4)
    assert advantages[1].tolist() == pytest.approx([-0.7071] * 4 + [0.0], abs=1e-4)
    sample = GRPO_PROCESS(two_outputs())  # sample std .57735, plus 1e-4
    assert sample[1, 0] == pytest.approx(-(1 / 3) / (0.57735027 + 1e-4), abs=1e-8)


def test_mean_over_the_steps_to_come() -> None:
    # Of output 1 the two steps average (1.41421 - .70711) / 2 up to the first end, then the second stands alone.
    advantages = GRPO_PROCESS(two_outputs(), steps="mean", **EXACT)
    assert advantages[0].tolist() == pytest.approx([0.35355] * 3 + [-0.70711] * 2, abs=1e-5)
    assert advantages[1, :4].tolist() == pytest.approx([-0.70711] * 4, abs=1e-5)


def test_more_steps_earn_more_by_sum_and_not_by_mean() -> None:
    """The same good work cut into one step or into three, against a bad completion."""
    one = rollouts([[[0, 0, 1.0], [0, 0, 0.0], [0, 0, 0]]], [3, 3, 3])
    three = rollouts([[[1.0, 1.0, 1.0], [0, 0, 0.0], [0, 0, 0]]], [3, 3, 3])
    gain = {
        steps: float(GRPO_PROCESS(three, steps=steps, scale="none")[0, 0])
        / float(GRPO_PROCESS(one, steps=steps, scale="none")[0, 0])
        for steps in ("sum", "mean")
    }
    assert gain["sum"] > 1.5
    assert gain["mean"] < 1.0


@pytest.mark.parametrize("scale", ["none", "group", "batch"])
def test_one_step_at_the_end_is_the_outcome(scale: str) -> None:
    batch = full_rollouts(4)
    last = (batch.mask.sum(-1) - 1)[:, None]
    total = (batch.rewards * batch.mask).sum(-1, keepdim=True)
    ends = batch.mask & (torch.arange(7) == last)
    batch = replace(batch, rewards=torch.where(ends, total, 0.0), steps=ends.expand(2, -1, -1))
    torch.testing.assert_close(GRPO_PROCESS(batch, scale=scale), GRPO(batch, scale=scale), rtol=0, atol=1e-9)


def test_population_std_of_the_outcome() -> None:
    batch = rollouts([[[1.0], [0], [0], [1]]], [1, 1, 1, 1])
    assert GRPO_PROCESS(batch, **EXACT).flatten().tolist() == pytest.approx([1, -1, -1, 1])
    assert GRPO_PROCESS(batch).flatten().tolist() == pytest.approx([0.865875, -0.865875, -0.865875, 0.865875])


def test_steps_that_earn_nothing_must_be_told() -> None:
    """Where the readers of a rollout know of a step worth 0, the mean does, too."""
    told = replace(two_outputs(), steps=torch.tensor([[[0, 1, 1, 0, 1], [0, 1, 0, 1, 0]]]).bool())
    # Five steps, one reward: mean .2; the token at 0 has three steps to come: .8 - .2 - .2.
    assert GRPO_PROCESS(told, scale="none")[0].tolist() == pytest.approx([0.4, 0.4, 0.6, -0.2, -0.2])
    unheard = replace(told, steps=torch.zeros(1, 2, 5).bool())
    assert GRPO_PROCESS(unheard, scale="none").abs().sum() == 0  # one step in one output only: nothing to compare with


def test_components_are_centred_apart_and_divided_together() -> None:
    # Component 0 pays output 0 at its end; component 1 is missing in output 2 and pays steps at token 0.
    batch = rollouts(
        [[[0, 1.0], [0, 0], [0, 0.5]], [[0.2, 0], [0.4, 0], [9.0, 0]]],
        [2, 2, 2],
        scored=[[True] * 3, [True, True, False]],
        steps=[[[False, True]] * 3, [[True, False]] * 3],
    )
    wanted = [[-0.1 + 0.5, 0.5], [0.1 - 0.5, -0.5], [0.0, 0.0]]
    got = GRPO_PROCESS(batch, scale="none")
    torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)
    # Five steps: deviations .5, -.5, 0, -.1, .1 about their mean 0.
    spread = ((0.25 + 0.25 + 0.01 + 0.01) / 4) ** 0.5
    torch.testing.assert_close(GRPO_PROCESS(batch, eps=0.0), got / spread, rtol=0, atol=1e-12)


def test_a_kl_on_every_token_is_no_step() -> None:
    with pytest.raises(UserError, match="put the KL term into the loss"):
        GRPO_PROCESS(add_kl_reward(full_rollouts(0), 0.1))
