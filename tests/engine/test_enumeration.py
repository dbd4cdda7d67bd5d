"""Exact expectations by enumeration, through TRL's own loss: which advantages are unbiased, and which are not.

A toy language of two letters and an end, at most three tokens: 15 sequences with tabular probabilities. Every group of
G sequences is one batch; its gradient through ``GRPOTrainer._compute_loss``, weighted by its probability, sums to the
expected gradient, which is compared with that of the expected total reward.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from trl import GRPOTrainer

from honewise.algorithms import DENSE_RETURN, GRPO, Rollouts

LETTERS, END, LONGEST = (0, 1), 2, 3


def sequences(prefix: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    if len(prefix) == LONGEST or (prefix and prefix[-1] == END):
        return [prefix]
    return [whole for token in (*LETTERS, END) for whole in sequences((*prefix, token))]


SEQUENCES = sequences()


@dataclass
class Language:
    """Log-probabilities (N, T) of all sequences as a function of ``theta``, and their token rewards."""

    theta: Tensor
    logps: Tensor
    mask: Tensor
    rewards: Tensor

    @property
    def probabilities(self) -> Tensor:
        return self.logps.sum(1).exp().detach()

    def true_gradient(self) -> Tensor:
        """Gradient of the expected total reward."""
        expected = (self.logps.sum(1).exp() * self.rewards.sum(1)).sum()
        return torch.autograd.grad(expected, self.theta, retain_graph=True)[0].flatten()


def language(kind: str) -> Language:
    generator = torch.Generator().manual_seed(0)
    prefixes = [p for n in range(LONGEST) for p in itertools.product(LETTERS, repeat=n)]
    where = {prefix: i for i, prefix in enumerate(prefixes)}
    theta = (torch.randn(len(prefixes), 3, dtype=torch.float64, generator=generator) * 0.7).requires_grad_()
    paid = torch.randn(len(prefixes), 3, dtype=torch.float64, generator=generator)
    table = torch.log_softmax(theta, -1)
    logps, mask, rewards = [], [], []
    for sequence in SEQUENCES:
        cells = [(where[sequence[:t]], token) for t, token in enumerate(sequence)]
        missing = LONGEST - len(sequence)
        row = torch.zeros(LONGEST, dtype=torch.float64)
        for t, cell in enumerate(cells):
            row[t] += paid[cell] if kind != "terminal" else 0.0
        if kind != "dense":
            row[len(cells) - 1] += sum((t + 1) * (token + 1) for t, token in enumerate(sequence)) * 7 % 5 / 4
        logps.append(torch.stack([table[cell] for cell in cells] + [theta.new_zeros(())] * missing))
        mask.append([True] * len(cells) + [False] * missing)
        rewards.append(row)
    return Language(theta, torch.stack(logps), torch.tensor(mask), torch.stack(rewards))


def trl_loss(logps: Tensor, mask: Tensor, advantages: Tensor, loss_type: str) -> Tensor:
    """``GRPOTrainer._compute_loss`` on given log-probabilities, on-policy; the longest completion is ``LONGEST``."""
    args = SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1)
    same = SimpleNamespace(gather=lambda x: x, reduce=lambda x, reduction: x, num_processes=1, sync_gradients=True)
    trainer: Any = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *a, **k: (logps, torch.zeros_like(logps), None),
        args=args, accelerator=same, model=SimpleNamespace(training=True), loss_type=loss_type, beta=0.0,
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None, use_vllm=False,
        importance_sampling_level="token", epsilon_low=0.2, epsilon_high=0.2, max_completion_length=LONGEST,
        current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False, _metrics={"train": defaultdict(list)},
        vllm_importance_sampling_correction=False,
    )  # fmt: skip
    nothing = torch.zeros(len(mask), 0, dtype=torch.long)
    inputs = {"prompt_ids": nothing, "prompt_mask": nothing, "completion_ids": torch.zeros_like(mask, dtype=torch.long),
              "completion_mask": mask.long(), "advantages": advantages, "num_items_in_batch": mask.sum()}  # fmt: skip
    return GRPOTrainer._compute_loss(trainer, None, inputs)


Advantages = Callable[[Tensor, Tensor], Tensor]
"""(groups, G, T) rewards and mask to advantages."""


def expected_gradient(lang: Language, samples: int, advantages: Advantages, loss_type: str = "dr_grpo") -> Tensor:
    """Over all groups of ``samples`` sequences, each with its probability."""
    groups = torch.tensor(list(itertools.product(range(len(SEQUENCES)), repeat=samples)))
    weight = lang.probabilities[groups].prod(1)
    mask = lang.mask[groups]
    credit = advantages(lang.rewards[groups], mask) * mask * weight[:, None, None]
    logps = lang.logps[groups]
    if loss_type == "dapo":  # divides by the tokens of a batch: each group is one, so undo the shared division
        tokens = mask.sum((1, 2), keepdim=True)
        credit = credit * mask.sum() / tokens
    else:  # divides by the rows of a batch
        credit = credit * len(groups)
    loss = trl_loss(logps.flatten(0, 1), mask.flatten(0, 1), credit.flatten(0, 1), loss_type)
    ascent = -torch.autograd.grad(loss, lang.theta, retain_graph=True)[0].flatten()
    return ascent * (LONGEST if loss_type == "dr_grpo" else 1)


def ours(estimator: Any, **options: Any) -> Advantages:
    def advantages(rewards: Tensor, mask: Tensor) -> Tensor:
        groups, samples, tokens = rewards.shape
        rows = groups * samples
        batch = Rollouts(rewards.reshape(1, rows, tokens), torch.ones(1, rows, dtype=torch.bool),
                         mask.reshape(rows, tokens), torch.arange(groups).repeat_interleave(samples))  # fmt: skip
        return estimator(batch, **options).view_as(rewards)

    return advantages


def angle(one: Tensor, other: Tensor) -> float:
    """1 - cosine: how far the direction is off, whatever the scale."""
    return float(1 - one @ other / (one.norm() * other.norm()))


def returns(rewards: Tensor) -> Tensor:
    return rewards.flip(-1).cumsum(-1).flip(-1)


# What must fail: baselines that let a token's own outcome leak in, or that compare different places.


def alive_mean(rewards: Tensor, mask: Tensor) -> Tensor:
    value = returns(rewards) * mask
    return value - value.sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)


def alive_mean_std(rewards: Tensor, mask: Tensor) -> Tensor:
    count = mask.sum(1, keepdim=True).clamp(min=1)
    centred = alive_mean(rewards, mask)
    return centred / ((centred**2 * mask).sum(1, keepdim=True) / count).sqrt().add(1e-4)


def flat_token_mean(rewards: Tensor, mask: Tensor) -> Tensor:
    value = returns(rewards) * mask
    return value - value.sum((1, 2), keepdim=True) / mask.sum((1, 2), keepdim=True)


def end_aligned(rewards: Tensor, mask: Tensor) -> Tensor:
    """Leave-one-out over tokens that have as many tokens left."""
    value, length = returns(rewards), mask.sum(-1)
    left = length[..., None] - 1 - torch.arange(LONGEST)
    total, count = torch.zeros_like(value), torch.zeros_like(value)
    for j in range(value.shape[1]):
        place = (length[:, j, None] - 1)[:, None, :] - left
        valid = (place >= 0) & (place < LONGEST)
        valid[:, j] = False
        theirs = value[:, j, None].expand_as(value).gather(-1, place.clamp(0, LONGEST - 1))
        total += torch.where(valid, theirs, 0.0)
        count += valid
    return value - total / count.clamp(min=1)


def process_supervision(rewards: Tensor, mask: Tensor) -> Tensor:
    """DeepSeekMath: token rewards normalised over all tokens of the group, then summed to the end."""
    count = mask.sum((1, 2), keepdim=True)
    mean = (rewards * mask).sum((1, 2), keepdim=True) / count
    spread = (((rewards - mean) ** 2 * mask).sum((1, 2), keepdim=True) / count).sqrt()
    return returns((rewards - mean) / (spread + 1e-4) * mask)


def zero_padded(rewards: Tensor, mask: Tensor) -> Tensor:
    value = returns(rewards) * mask
    return value - (value.sum(1, keepdim=True) - value) / (value.shape[1] - 1)


@pytest.mark.parametrize("samples", [2, 3])
@pytest.mark.parametrize("kind", ["dense", "terminal", "mixed"])
def test_dense_return_is_unbiased(kind: str, samples: int) -> None:
    lang = language(kind)
    assert len(SEQUENCES) == 15
    assert abs(float(lang.probabilities.sum()) - 1) < 1e-12
    gradient = lang.true_gradient()
    for estimator in (DENSE_RETURN, GRPO):
        found = expected_gradient(lang, samples, ours(estimator, kappa="loo", scale="none"))
        torch.testing.assert_close(found, gradient, rtol=0, atol=1e-9)
        shrunk = expected_gradient(lang, samples, ours(estimator, kappa="group_mean", scale="none"))
        torch.testing.assert_close(shrunk, gradient * (samples - 1) / samples, rtol=0, atol=1e-9)


def test_unscored_at_random_keeps_the_direction() -> None:
    """Each completion is unscored with probability .3: all patterns of two, with their probabilities."""
    lang, total = language("mixed"), 0.0
    for known in itertools.product([True, False], repeat=2):
        chance = 0.7 ** sum(known) * 0.3 ** (2 - sum(known))

        def advantages(rewards: Tensor, mask: Tensor, known: tuple[bool, ...] = known) -> Tensor:
            rows = rewards.shape[0] * 2
            scored = torch.tensor(known).repeat(rewards.shape[0])[None]
            groups = torch.arange(rewards.shape[0]).repeat_interleave(2)
            batch = Rollouts(rewards.reshape(1, rows, -1), scored, mask.reshape(rows, -1), groups)
            return DENSE_RETURN(batch).view_as(rewards)

        total = total + chance * expected_gradient(lang, 2, advantages)
    assert angle(total, lang.true_gradient()) < 1e-12


@pytest.mark.parametrize(
    "biased", [alive_mean, alive_mean_std, flat_token_mean, end_aligned, process_supervision], ids=lambda f: f.__name__
)
def test_biased_variants_fail(biased: Advantages) -> None:
    for kind in ("dense", "mixed"):
        lang = language(kind)
        off = angle(expected_gradient(lang, 3, biased), lang.true_gradient())
        assert off > 1e-3, f"{biased.__name__} on {kind} rewards: {off}"


def test_scaling_and_aggregation_are_biased() -> None:
    """What the documentation says that each choice gives up."""
    lang = language("mixed")
    gradient = lang.true_gradient()
    scaled = expected_gradient(lang, 3, ours(DENSE_RETURN, scale="group"))
    assert angle(scaled, gradient) > 1e-3
    for loss_type in ("grpo", "dapo"):
        assert angle(expected_gradient(lang, 3, ours(DENSE_RETURN), loss_type), gradient) > 1e-5


def test_baselines_of_another_place_miss_the_scalar_limit() -> None:
    """Zero padding is unbiased, but rewards at the end alone would no longer give stock advantages."""
    lang = language("terminal")
    assert angle(expected_gradient(lang, 3, zero_padded), lang.true_gradient()) < 1e-9
    mask = torch.tensor([[[True, False], [True, True]]])
    rewards = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]], dtype=torch.float64)  # equal totals at unequal lengths
    assert zero_padded(rewards, mask)[0, 1, 1] == 1
    assert not ours(DENSE_RETURN)(rewards, mask).any()
