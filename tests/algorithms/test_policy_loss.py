"""Policy losses: clipping, ratios of tokens and sequences, aggregation, and what does not go together."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from honewise.algorithms import (
    aggregate,
    approximate_kl,
    check_policy_loss,
    clip_fractions,
    clipped_loss,
    importance_ratio,
    masked_mean,
    masked_var,
    policy_loss,
    refusal,
    whiten,
)
from honewise.errors import UserError

# clipping


@pytest.mark.parametrize(
    ("advantage", "ratio", "objective"),
    [(1.0, 1.3, 1.2), (-1.0, 0.7, -0.8), (-1.0, 1.5, -1.5), (1.0, 0.7, 0.7), (1.0, 1.1, 1.1)],
)
def test_clip_table(advantage: float, ratio: float, objective: float) -> None:
    loss = clipped_loss(torch.tensor(ratio), torch.tensor(advantage))
    assert float(loss) == pytest.approx(-objective)


def test_clip_higher_and_dual_clip() -> None:
    ratio = torch.tensor([1.25, 1.5, 0.75, 5.0, 5.0])
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0, 1.0])
    assert (-clipped_loss(ratio, advantages, low=0.2, high=0.28)).tolist() == pytest.approx(
        [1.25, 1.28, -0.8, -5, 1.28]
    )
    dual = -clipped_loss(ratio, advantages, dual_clip=3.0)
    assert dual.tolist() == pytest.approx([1.2, 1.2, -0.8, -3.0, 1.2])  # bounded for a negative advantage alone


@pytest.mark.parametrize("bad", [{"low": 1.0}, {"low": -0.1}, {"high": -0.1}, {"dual_clip": 1.0}])
def test_clips_without_sense(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match="clip: "):
        clipped_loss(torch.ones(1), torch.ones(1), **bad)


def test_clip_fractions_count_what_the_clip_stops() -> None:
    ratio = torch.tensor([[1.3, 0.7, 1.3, 0.7, 99.0]])
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0, 1.0]])
    mask = torch.tensor([[True, True, True, True, False]])
    low, high = clip_fractions(ratio, advantages, mask)
    assert (float(low), float(high)) == (0.25, 0.25)
    assert [float(x) for x in clip_fractions(ratio, advantages, mask, low=0.4, high=0.2)] == [0.0, 0.25]


# on policy


def sample(seed: int = 0, rows: int = 4, tokens: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logps = -torch.rand(rows, tokens, dtype=torch.float64, generator=generator)
    advantages = torch.randn(rows, tokens, dtype=torch.float64, generator=generator)
    mask = torch.arange(tokens) < torch.randint(1, tokens + 1, (rows, 1), generator=generator)
    return logps.requires_grad_(), advantages, mask


@pytest.mark.parametrize("level", ["token", "sequence_token"])
def test_the_first_step_is_reinforce(level) -> None:
    logps, advantages, mask = sample()
    white = whiten(advantages, mask)
    result = policy_loss(logps, logps.detach(), white, mask, level=level, aggregation="token-mean")
    assert float(result.loss.detach()) == pytest.approx(0.0, abs=1e-12)
    assert {name: round(float(value), 12) for name, value in result.numbers.items()} == {
        "clip_ratio/low": 0.0,
        "clip_ratio/high": 0.0,
        "ratio/mean": 1.0,
        "approx_kl": 0.0,
    }
    found = torch.autograd.grad(result.loss, logps, retain_graph=True)[0]
    wanted = torch.autograd.grad(-(white * logps * mask).sum() / mask.sum(), logps)[0]
    torch.testing.assert_close(found, wanted)


def test_one_advantage_a_completion_is_the_same_on_all_tokens() -> None:
    logps, _, mask = sample()
    old, each = logps.detach() - 0.1, torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    one = policy_loss(logps, old, each, mask, length=5).loss
    assert torch.equal(one, policy_loss(logps, old, each[:, None].expand(4, 5), mask, length=5).loss)


# ratios of sequences


def test_the_sequence_ratio_does_not_grow_with_the_length() -> None:
    for tokens in (3, 7):
        logps = torch.full((1, tokens + 2), 0.01, dtype=torch.float64)
        mask = torch.arange(tokens + 2) < tokens
        ratio = importance_ratio(logps, torch.zeros_like(logps), mask.unsqueeze(0), "sequence")
        assert ratio[0, :tokens].tolist() == pytest.approx([1.01005] * tokens, abs=5e-6)
        assert ratio[0, tokens:].tolist() == [1.0, 1.0]
        product = importance_ratio(logps, torch.zeros_like(logps), mask.unsqueeze(0))[mask.unsqueeze(0)].prod()
        assert float(product) == pytest.approx({3: 1.030, 7: 1.073}[tokens], abs=6e-4)


def test_on_policy_gspo_has_the_gradient_of_grpo() -> None:
    logps, _, mask = sample(3)
    each = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    gradients = [
        torch.autograd.grad(
            policy_loss(logps, logps.detach(), each, mask, level=level, aggregation="seq-mean").loss, logps
        )[0]
        for level in ("token", "sequence", "sequence_token")
    ]
    torch.testing.assert_close(gradients[1], gradients[0])
    torch.testing.assert_close(gradients[2], gradients[0])


def test_the_token_form_equals_the_sequence_form_for_one_advantage_a_completion() -> None:
    """Off policy, too: the same value, the same clipping, the same gradient."""
    logps, _, mask = sample(4)
    old = logps.detach() + 0.3 * torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    each = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    found = []
    for level in ("sequence", "sequence_token"):
        result = policy_loss(logps, old, each, mask, level=level, aggregation="seq-mean", low=0.05, high=0.06)
        found.append((result.loss.detach(), torch.autograd.grad(result.loss, logps)[0]))
    torch.testing.assert_close(found[0], found[1])


def test_the_token_form_keeps_credit_where_it_was_earned() -> None:
    logps, _, _ = sample(5, rows=1, tokens=3)
    mask, old = torch.ones(1, 3, dtype=torch.bool), logps.detach() - 0.01
    credit = torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64)
    ratio = importance_ratio(logps, old, mask, "sequence")
    erased = torch.autograd.grad((ratio * credit).sum(), logps)[0]
    assert erased.flatten().tolist() == pytest.approx([math.exp(0.01)] * 3)
    kept = torch.autograd.grad((importance_ratio(logps, old, mask, "sequence_token") * credit).sum(), logps)[0]
    assert kept.flatten().tolist() == pytest.approx([3 * math.exp(0.01), 0, 0])
    with pytest.raises(ValueError, match="one ratio erases where credit was earned"):
        policy_loss(logps, old, credit, mask, level="sequence", length=3)


# aggregation


def test_what_a_token_of_a_long_completion_weighs() -> None:
    """A = -1: 1/10 of a completion of ten tokens and 1/100 of one of a hundred, or as much in both."""
    mask = torch.arange(100) < torch.tensor([10, 100])[:, None]
    weights = {}
    for how in ("seq-mean", "token-mean", "constant"):
        losses = torch.ones(2, 100, requires_grad=True)
        aggregate(losses, mask, how, length=100).backward()  # type: ignore[arg-type]
        assert losses.grad is not None
        assert not losses.grad[~mask].any()
        weights[how] = losses.grad[:, 0].tolist()
    assert weights["seq-mean"] == pytest.approx([1 / 10 / 2, 1 / 100 / 2])
    assert weights["token-mean"] == pytest.approx([1 / 110] * 2)
    assert weights["constant"] == pytest.approx([1 / 200] * 2)


@pytest.mark.parametrize("how", ["seq-mean", "token-mean", "constant"])
def test_two_parts_of_unequal_length_are_one_whole(how) -> None:
    """Two processes with other numbers of tokens, given the count of both, have the gradient of one."""
    logps, advantages, mask = sample(6, rows=6)
    mask[0] = False  # a row that left the loss
    count = mask.sum() if how == "token-mean" else mask.any(-1).sum()
    whole = policy_loss(logps, logps.detach(), advantages, mask, aggregation=how, length=5).loss
    parts = [
        policy_loss(logps[rows], logps[rows].detach(), advantages[rows], mask[rows], aggregation=how, length=5,
                    count=count).loss
        for rows in (slice(0, 2), slice(2, 6))
    ]  # fmt: skip
    torch.testing.assert_close(sum(parts), whole)
    found, wanted = (torch.autograd.grad(loss, logps, retain_graph=True)[0] for loss in (sum(parts), whole))
    torch.testing.assert_close(found, wanted)


def test_rows_without_tokens_do_not_count_and_nothing_is_0() -> None:
    losses, mask = torch.ones(3, 2), torch.tensor([[True, True], [False, False], [True, False]])
    assert float(aggregate(losses, mask, "seq-mean")) == 1.0
    assert float(aggregate(losses, mask, "constant", length=2)) == 3 / 4
    assert float(aggregate(losses, mask, "constant", length=6)) == 3 / 12  # what is allowed, not what was sampled
    for how in ("seq-mean", "token-mean", "constant"):
        assert float(aggregate(losses, torch.zeros_like(mask), how, length=2)) == 0.0  # type: ignore[arg-type]
    with pytest.raises(UserError, match="aggregation 'seqmean'; did you mean 'seq-mean'"):
        aggregate(losses, mask, "seqmean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs the longest completion's length"):
        aggregate(losses, mask, "constant")


# masks


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    garbage=st.sampled_from([math.nan, math.inf, -math.inf, 1e30]),
    level=st.sampled_from(["token", "sequence_token"]),
    how=st.sampled_from(["seq-mean", "token-mean", "constant"]),
)
def test_masked_tokens_change_neither_loss_nor_gradient(seed: int, garbage: float, level, how) -> None:
    logps, advantages, mask = sample(seed)
    old = logps.detach() - 0.1 * torch.rand(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    results = []
    for dirt in (0.0, garbage):
        given = [torch.where(mask, x.detach(), dirt) for x in (logps, old, advantages)]
        given[0].requires_grad_()
        result = policy_loss(*given, mask, level=level, aggregation=how, length=5)
        result.loss.backward()
        assert given[0].grad is not None
        results.append([result.loss.detach(), given[0].grad, *result.numbers.values()])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_masked_statistics() -> None:
    values, mask = torch.tensor([[1.0, 3.0, math.nan]]), torch.tensor([[True, True, False]])
    assert float(masked_mean(values, mask)) == 2.0
    assert float(masked_var(values, mask)) == 1.0
    assert float(masked_mean(values, torch.zeros_like(mask))) == 0.0


def test_approximate_kl_is_that_of_old_to_new() -> None:
    old = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    new = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    each = torch.stack([approximate_kl(n.log().reshape(1, 1), o.log().reshape(1, 1), torch.ones(1, 1)) for n, o in
                        zip(new, old, strict=True)])  # fmt: skip
    assert float(old @ each) == pytest.approx(float(old @ (old / new).log()))


# combinations


@pytest.mark.parametrize("loss", ["ppo", "grpo", "dr_grpo", "dapo", "bnpo", "sapo", "luspo"])
def test_one_ratio_and_dense_advantages_are_refused(loss: str) -> None:
    assert "erases where" in str(refusal(loss, "sequence", dense=True))
    assert refusal(loss, "sequence", dense=False) is None
    with pytest.raises(UserError, match=f"loss '{loss}' with a ratio per 'sequence': one ratio for all tokens"):
        check_policy_loss(loss, "sequence", dense=True)


def test_other_combinations() -> None:
    for loss in ("ppo", "grpo", "dr_grpo", "dapo", "bnpo", "sapo", "cispo", "vespo"):
        assert refusal(loss, "token", dense=True) is None
    assert refusal("ppo", "sequence_token", dense=True) is None
    assert refusal("cispo", "sequence", dense=True) is None
    assert refusal("dapo", "sequence_token", dense=True) is None
    for loss in ("sapo", "cispo", "vespo"):
        assert "'sequence_token' goes with ppo, grpo" in str(refusal(loss, "sequence_token", dense=True))
    assert "needs the ratio of a sequence" in str(refusal("luspo", "token", dense=False))
    assert "takes no notice" in str(refusal("vespo", "sequence", dense=False))
    with pytest.raises(UserError, match="loss 'gpro'; did you mean 'grpo'"):
        refusal("gpro", "token", dense=False)
    with pytest.raises(UserError, match="importance ratio 'sentence'"):
        refusal("grpo", "sentence", dense=False)


@pytest.mark.parametrize("form", ["clip", "weight"])
def test_why_some_losses_may_keep_one_ratio(form: str) -> None:
    """Where the ratio is a weight without a gradient, each token's advantage stays its own."""
    logps, _, _ = sample(7, rows=1, tokens=3)
    mask, credit = torch.ones(1, 3, dtype=torch.bool), torch.tensor([[3.0, 0.0, 0.0]], dtype=torch.float64)
    ratio = importance_ratio(logps, logps.detach(), mask, "sequence")
    loss = clipped_loss(ratio, credit) if form == "clip" else -ratio.detach() * credit * logps
    gradient = torch.autograd.grad(loss.sum(), logps)[0].flatten()
    assert (gradient[0] == gradient[1]) == (form == "clip")


def test_unknown_level() -> None:
    with pytest.raises(UserError, match="importance ratio 'tokn'; did you mean 'token'"):
        importance_ratio(torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1), "tokn")  # type: ignore[arg-type]
