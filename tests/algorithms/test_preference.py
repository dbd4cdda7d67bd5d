"""Losses on pairs: soft targets, margins and f-divergences, against closed forms and direct optimisation."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from honewise.algorithms import (
    at_segment_ends,
    bradley_terry_loss,
    bt_margin_target,
    centre_penalty,
    cost_loss,
    cost_sign,
    divergence_score,
    dpo_loss,
    nll_term,
    pair_loss,
    segment_ends,
    trl_divergence,
)
from honewise.errors import UserError


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


# soft targets


def test_mmpo_by_hand() -> None:
    """gamma x margin = 1.1: target .75026, the best gap 1.1 itself, and what is left there is the entropy."""
    target = bt_margin_target(number(2.0), number(1.5), 2.2)
    assert float(target) == pytest.approx(0.75026, abs=5e-6)
    gap = number(1.1).requires_grad_()
    loss = pair_loss(gap, target=target)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.56205, abs=5e-6)
    assert float(gap.grad) == pytest.approx(0.0, abs=1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("gap", [-2.0, 0.1964, 1.0])
def test_the_gradient_is_the_distance_to_the_target(gap: float) -> None:
    """And that of hard labels which are flipped as often as the target says."""
    z = number(gap).requires_grad_()
    target = 0.75026
    soft = torch.autograd.grad(pair_loss(z, target=target), z)[0]
    assert float(soft) == pytest.approx(1 / (1 + math.exp(-gap)) - target)
    flipped = target * pair_loss(z) + (1 - target) * pair_loss(-z)
    assert float(torch.autograd.grad(flipped, z)[0]) == pytest.approx(float(soft))


def test_gamma_0_and_infinity() -> None:
    chosen, rejected = torch.tensor([2.0, 1.0, 1.0]), torch.tensor([1.0, 1.0, 2.0])
    assert bt_margin_target(chosen, rejected, 0.0).tolist() == [0.5, 0.5, 0.5]
    hard = bt_margin_target(chosen, rejected, math.inf)
    assert hard.tolist() == [1.0, 0.5, 0.0]  # a target of 0 is a target, not "none given"
    gaps = torch.tensor([0.7, 0.7, 0.7])
    assert pair_loss(gaps, target=hard)[[0, 2]].tolist() == pytest.approx(
        [float(pair_loss(gaps[0])), float(pair_loss(-gaps[0]))]
    )
    assert torch.equal(pair_loss(gaps, target=0.0), pair_loss(-gaps))
    with pytest.raises(UserError, match="gamma must not be below 0"):
        bt_margin_target(chosen, rejected, -1.0)


def test_label_smoothing_really_smooths() -> None:
    """A loss that ignored it would stay at .678916."""
    z = number(math.log(1 / (math.exp(0.678916) - 1)))
    assert float(pair_loss(z)) == pytest.approx(0.678916)
    smoothed = float(pair_loss(z, label_smoothing=0.3))
    assert smoothed == pytest.approx(0.7 * 0.678916 + 0.3 * (0.678916 + float(z)))
    assert abs(smoothed - 0.678916) > 0.005
    robust = (0.7 * float(pair_loss(z)) - 0.3 * float(pair_loss(-z))) / 0.4  # TRL's other loss, at the same point
    assert robust == pytest.approx(0.657415, abs=5e-6)
    assert float(pair_loss(z, target=0.9, label_smoothing=0.1)) == pytest.approx(float(pair_loss(z, target=0.82)))


def test_targets_are_per_pair_and_are_probabilities() -> None:
    gaps, targets = torch.tensor([0.5, -0.5]), torch.tensor([0.2, 0.9])
    each = [float(pair_loss(gap, target=p)) for gap, p in zip(gaps, targets, strict=True)]
    assert pair_loss(gaps, target=targets).tolist() == pytest.approx(each)
    for bad in (1.1, -0.1, math.nan):
        with pytest.raises(ValueError, match="must be probabilities"):
            pair_loss(gaps, target=bad)
    with pytest.raises(UserError, match="label_smoothing must lie in"):
        pair_loss(gaps, label_smoothing=0.6)


def test_extreme_gaps_are_finite() -> None:
    assert torch.isfinite(pair_loss(torch.tensor([-1e4, 1e4]), target=0.3)).all()


# DPO


def test_dpo_by_hand() -> None:
    won, lost = torch.tensor([0.5]), torch.tensor([-1.5])
    assert dpo_loss(won, lost, beta=0.1).tolist() == pytest.approx([-math.log(1 / (1 + math.exp(-0.2)))])
    assert dpo_loss(won, lost, beta=0.1, margin=0.2).tolist() == pytest.approx([math.log(2)])
    assert float(dpo_loss(won, lost, target=0.3)) == pytest.approx(float(pair_loss(torch.tensor(0.2), target=0.3)))
    with pytest.raises(UserError, match="beta must be above 0"):
        dpo_loss(won, lost, beta=0.0)


def test_nll_is_per_token() -> None:
    assert nll_term(torch.tensor([-6.0, -1.0]), torch.tensor([3, 0])).tolist() == [2.0, 1.0]


# f-divergences: K = 5 arms, r / beta = (4.4, 2.6, 1.2, 3.6, 0), the reference behind these optima

OPTIMA = {
    ("reverse_kl", 0.5): [0.5903, 0.14557, 0.01613, 0.2400, 0.00801],
    ("js", 0.5): [0.8476, 0.04486, 0.00445, 0.10094, 0.00216],
    ("forward_kl", 0.5): [0.62343, 0.13669, 0.03692, 0.15759, 0.04537],
}
WORTH = torch.tensor([4.4, 2.6, 1.2, 3.6, 0.0], dtype=torch.float64)
CASES = [("reverse_kl", 0.5), ("forward_kl", 0.5), ("js", 0.5), ("alpha", 0.3), ("alpha", 0.7)]


def reference() -> Tensor:
    reverse = torch.tensor(OPTIMA["reverse_kl", 0.5], dtype=torch.float64)
    weights = reverse * (-WORTH).exp()
    return weights / weights.sum()


def minimise(loss) -> Tensor:
    theta = reference().log().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([theta], lr=1.0, max_iter=2000, tolerance_grad=1e-13, tolerance_change=1e-18,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(torch.log_softmax(theta, -1))
        value.backward()
        return value

    for _ in range(5):
        optimizer.step(closure)  # type: ignore[no-untyped-call]
    return torch.softmax(theta.detach(), -1)


def population_loss(divergence: str, alpha: float):
    """f-DPO over all pairs of arms, each labelled by the Bradley-Terry model of the true rewards."""
    pairs = torch.combinations(torch.arange(5))
    target = bt_margin_target(WORTH[pairs[:, 0]], WORTH[pairs[:, 1]], 1.0)

    def loss(log_policy: Tensor) -> Tensor:
        ratio = log_policy - reference().log()
        return dpo_loss(ratio[pairs[:, 0]], ratio[pairs[:, 1]], beta=1.0, target=target, divergence=divergence,
                        alpha=alpha).mean()  # type: ignore[arg-type]  # fmt: skip

    return loss


def regularised_reward(divergence: str, alpha: float):
    """-(E[r] - beta D_f), with f written out, not its derivative."""

    def f(u: Tensor) -> Tensor:
        if divergence == "reverse_kl":
            return u * u.log()
        if divergence == "forward_kl":
            return -u.log()
        if divergence == "js":
            return u * u.log() - (u + 1) * ((u + 1) / 2).log()
        return (u ** (1 - alpha) - (1 - alpha) * u - alpha) / (alpha * (alpha - 1))

    def loss(log_policy: Tensor) -> Tensor:
        u = (log_policy - reference().log()).exp()
        return -(log_policy.exp() @ WORTH - reference() @ f(u))

    return loss


@pytest.mark.parametrize(("divergence", "alpha"), CASES)
def test_f_dpo_reaches_the_optimum_of_its_divergence(divergence: str, alpha: float) -> None:
    by_pairs = minimise(population_loss(divergence, alpha))
    direct = minimise(regularised_reward(divergence, alpha))
    torch.testing.assert_close(by_pairs, direct, rtol=0, atol=1e-6)
    if (divergence, alpha) in OPTIMA:
        assert by_pairs.tolist() == pytest.approx(OPTIMA[divergence, alpha], abs=1e-4)
    scores = divergence_score(by_pairs.log() - reference().log(), divergence, alpha=alpha)  # type: ignore[arg-type]
    torch.testing.assert_close(scores - scores[0], WORTH - WORTH[0], rtol=0, atol=1e-6)


def test_scores_by_hand_and_limits_of_alpha() -> None:
    ratio = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    assert torch.equal(divergence_score(ratio), ratio)
    torch.testing.assert_close(divergence_score(ratio, "forward_kl"), 1 - (-ratio).exp())
    u = ratio.exp()
    torch.testing.assert_close(divergence_score(ratio, "js"), (2 * u / (1 + u)).log())
    torch.testing.assert_close(divergence_score(ratio, "alpha", alpha=0.3), (1 - u**-0.3) / 0.3)
    torch.testing.assert_close(divergence_score(ratio, "alpha", alpha=1e-9), ratio, rtol=0, atol=1e-7)
    assert torch.equal(divergence_score(ratio, "alpha", alpha=0.0), ratio)
    assert torch.equal(divergence_score(ratio, "alpha", alpha=1.0), divergence_score(ratio, "forward_kl"))


def test_what_explodes_and_what_saturates() -> None:
    assert float(divergence_score(number(-20.0), "forward_kl")) == pytest.approx(-4.9e8, rel=0.02)
    assert float(divergence_score(number(-20.0), "forward_kl", clamp=5.0)) == pytest.approx(1 - math.exp(5))
    assert float(divergence_score(number(300.0), "js")) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("divergence", "alpha"), [*CASES, ("alpha", 0.0), ("alpha", 1.0), ("alpha", 0.5)])
def test_trl_is_given_one_less_alpha(divergence: str, alpha: float) -> None:
    """TRL's own formula with our arguments has the same gaps: (u^(a-1) - 1) / (a-1) with a = 1 - alpha."""
    given = SimpleNamespace(**{"f_alpha_divergence_coef": 0.5, **trl_divergence(divergence, alpha=alpha)})  # type: ignore[arg-type]
    ratio = torch.tensor([0.3, -1.2], dtype=torch.float64)
    u, a = ratio.exp(), given.f_alpha_divergence_coef
    theirs = {
        "reverse_kl": ratio,
        "forward_kl": 1 - 1 / u,
        "js_divergence": (2 * u / (1 + u)).log(),
        "alpha_divergence": ratio if a == 1 else (u ** (a - 1) - 1) / (a - 1),
    }[given.f_divergence_type]
    ours = divergence_score(ratio, divergence, alpha=alpha)  # type: ignore[arg-type]
    torch.testing.assert_close(ours[0] - ours[1], theirs[0] - theirs[1])


def test_alpha_has_the_papers_sense() -> None:
    assert trl_divergence("alpha", alpha=0.3)["f_alpha_divergence_coef"] == pytest.approx(0.7)
    assert trl_divergence("js") == {"f_divergence_type": "js_divergence"}
    for call in (divergence_score, lambda x, *a, **k: trl_divergence(*a, **k)):
        with pytest.raises(UserError, match="alpha must lie in"):
            call(number(0.0), "alpha", alpha=1.5)
        with pytest.raises(UserError, match="divergence 'reverse'; did you mean 'reverse_kl'"):
            call(number(0.0), "reverse")


# reward and cost models


def test_reward_losses_by_hand() -> None:
    assert float(bradley_terry_loss(number(1.0), number(0.2), margin=0.5)) == pytest.approx(0.554355, abs=5e-7)
    assert float(bradley_terry_loss(number(1.0), number(0.2), margin=0.5)) == pytest.approx(
        math.log(1 + math.exp(0.5 + 0.2 - 1))
    )
    gap = number(math.log(0.65 / 0.35)).requires_grad_()  # a soft label of .65
    bradley_terry_loss(gap, number(0.0), target=0.65).backward()
    assert float(gap.detach()) == pytest.approx(0.6190, abs=5e-5)
    assert float(gap.grad) == pytest.approx(0.0, abs=1e-12)  # type: ignore[arg-type]
    assert float(centre_penalty(number(1.5), number(-0.5))) == 1.0


def test_cost_loss_by_hand() -> None:
    safe = cost_sign(torch.tensor([True, False])).double()
    assert safe.tolist() == [-1, 1]
    zero = number(0.0)
    assert float(cost_loss(zero, zero, safe[1], safe[0])) == pytest.approx(3 * math.log(2))
    assert 3 * math.log(2) == pytest.approx(2.0794, abs=5e-5)
    # Both are safe and cost (3, 2): the order is right, the zero point is not.
    pair = cost_loss(number(3.0), number(2.0), safe[0], safe[0])
    assert float(bradley_terry_loss(number(3.0), number(2.0))) == pytest.approx(0.313, abs=5e-4)
    assert float(pair) == pytest.approx(5.489, abs=5e-4)
    below = cost_loss(number(-2.0), number(-3.0), safe[0], safe[0])
    assert float(below) < 0.5
    with pytest.raises(ValueError, match="signs must be"):
        cost_loss(zero, zero, number(0.0), number(1.0))


def test_the_published_signs_would_teach_the_opposite() -> None:
    """+1 for safe pushes the cost of a safe completion up."""
    cost = number(0.0).requires_grad_()
    for sign, direction in ((cost_sign(torch.tensor(True)).double(), 1), (number(1.0), -1)):
        gradient = torch.autograd.grad(cost_loss(number(0.0), cost, number(1.0), sign), cost)[0]
        anchored = gradient - 0.5  # less what the order alone says
        assert math.copysign(1, float(anchored)) == direction


def test_segments() -> None:
    entropies = torch.tensor([[0.1, 2.0, 0.3, 0.2], [3.0, 0.1, 9.0, 9.0]])
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    ends = segment_ends(entropies, mask, 1.0)
    assert ends.tolist() == [[False, True, False, True], [True, True, False, False]]
    values, there = at_segment_ends(torch.tensor([[1.0, 2, 3, 4], [5, 6, math.nan, 8]]), ends)
    assert values.tolist() == [[2, 4], [5, 6]]
    assert there.all()
    one = segment_ends(entropies, mask, 99.0)  # the last token that is there, not the last column
    values, there = at_segment_ends(torch.tensor([[1.0, 2, 3, 4], [5, 6, 7, 8]]), torch.cat([one[:1], ends[1:]]))
    assert values.tolist() == [[4, 0], [5, 6]]
    assert there.tolist() == [[True, False], [True, True]]
    assert at_segment_ends(torch.zeros(2, 3), torch.zeros(2, 3))[0].shape == (2, 0)
