"""RL-ZVP: what prompts teach whose completions are all right or all wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from made_rollouts import full_rollouts, rollouts

from honewise.algorithms import DENSE_RETURN, GRPO, RL_ZVP

ENTROPY = [[0.2, 0.8], [0.2, 0.8]]


@pytest.mark.parametrize(
    ("correct", "wanted"), [([1, 1], [[0.02, 0.08]] * 2), ([0, 0], [[-0.06, 0.0]] * 2), ([1, 0], [[0.0, 0.0]] * 2)]
)
def test_by_hand(correct: list[int], wanted: list[list[float]]) -> None:
    batch = rollouts([[[0, 1.0], [0, 1.0]]], [2, 2], entropies=ENTROPY, correct=correct)
    torch.testing.assert_close(RL_ZVP(batch), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


def test_the_largest_entropy_is_that_of_the_response_and_its_own_tokens() -> None:
    batch = rollouts([[[0, 0, 0], [0, 0, 0]]], [2, 3], entropies=[[0.2, 0.8, 9.0], [0.1, 0.3, 2.0]], correct=[0, 0])
    wanted = [[-0.06, 0.0, 0.0], [-0.19, -0.17, 0.0]]
    torch.testing.assert_close(RL_ZVP(batch), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


def test_alpha_0_and_mixed_groups_are_the_base() -> None:
    batch = full_rollouts(1)
    for scale in ("none", "group", "batch", "domain"):
        assert torch.equal(RL_ZVP(batch, alpha=0.0, scale=scale), GRPO(batch, scale=scale))
        dense = RL_ZVP(batch, alpha=0.0, scale=scale, base="dense-return", kappa="loo")
        assert torch.equal(dense, DENSE_RETURN(batch, scale=scale))
    mixed = replace(batch, correct=torch.tensor([0, 1, 1, 0] * 3))
    assert torch.equal(RL_ZVP(mixed), GRPO(mixed))


def test_partial_credit_is_kept() -> None:
    """All wrong, and one less so: the dense reward still says which."""
    batch = rollouts([[[0, 0.4], [0, 0.0]]], [2, 2], entropies=ENTROPY, correct=[0, 0])
    torch.testing.assert_close(RL_ZVP(batch), GRPO(batch) + torch.tensor([[-0.06, 0.0]] * 2))


@pytest.mark.parametrize("correct", [[1, -1], [0, -1], [-1, -1]])
def test_what_is_not_known_decides_nothing(correct: list[int]) -> None:
    batch = rollouts([[[0, 1.0], [0, 1.0]]], [2, 2], entropies=ENTROPY, correct=correct)
    assert not RL_ZVP(batch).any()


def test_unscored_rows_do_not_vote_and_one_is_no_group() -> None:
    scored = [[True, True, False, True]]
    batch = rollouts(
        [[[0, 1.0]] * 4], [2] * 4, entropies=[[0.2, 0.8]] * 4, correct=[1, 1, 0, 1], group=[0, 0, 0, 5], scored=scored
    )
    wanted = [[0.02, 0.08], [0.02, 0.08], [0, 0], [0, 0]]
    torch.testing.assert_close(RL_ZVP(batch), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


def test_cap() -> None:
    batch = rollouts([[[0, 1.0], [0, 1.0]]], [2, 2], entropies=[[0.2, 8.0], [0.2, 3.0]], correct=[1, 1])
    wanted = [[0.02, 0.05]] * 2
    torch.testing.assert_close(RL_ZVP(batch, cap=0.5), torch.tensor(wanted, dtype=torch.float64), rtol=0, atol=1e-12)


def test_no_gradient_through_the_entropy() -> None:
    batch = rollouts([[[0, 1.0], [0, 1.0]]], [2, 2], correct=[1, 1])
    entropies = torch.tensor(ENTROPY, dtype=torch.float64, requires_grad=True)
    assert not RL_ZVP(replace(batch, entropies=entropies)).requires_grad
