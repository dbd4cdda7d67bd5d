"""KL estimators and their gradients by enumeration, where each may stand, and controllers with their unit."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from made_rollouts import full_rollouts, rollouts
from torch import Tensor

from honewise.algorithms import (
    AdaptiveKL,
    FixedKL,
    add_kl_reward,
    check_kl,
    kl_estimate,
    kl_loss,
    measure_kl,
)
from honewise.errors import UserError

# Four arms with KL(policy || reference) = .1259, whose reverse and forward gradients are known to four digits.
POLICY = torch.tensor([0.264486, 0.160523, 0.357842, 0.217149], dtype=torch.float64)
REFERENCE = torch.tensor([0.226086, 0.337723, 0.185642, 0.250549], dtype=torch.float64)
REVERSE = [0.0082, -0.1396, 0.1898, -0.0584]
FORWARD = [0.0384, -0.1772, 0.1722, -0.0334]


def near(found: Tensor, wanted: list[float]) -> None:
    assert found.tolist() == pytest.approx(wanted, abs=6e-5)


def expected_gradient(kind: str, corrected: bool, sampler: Tensor = POLICY) -> Tensor:
    """Of the expectation over ``sampler`` of the estimator, by the logits of ``POLICY``."""
    theta = POLICY.log().clone().requires_grad_()
    logps = torch.log_softmax(theta, -1).unsqueeze(-1)
    ref, old = REFERENCE.log().unsqueeze(-1), sampler.log().unsqueeze(-1)
    mask = torch.ones(4, 1, dtype=torch.bool)
    each = kl_loss(logps, ref, old, mask, kind) if corrected else kl_estimate(logps, ref, kind)  # type: ignore[arg-type]
    return torch.autograd.grad((sampler / sampler.sum()) @ each.squeeze(-1), theta)[0]


def test_values_by_hand() -> None:
    logps, ref = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])  # d = .5, -1
    assert kl_estimate(logps, ref, "k1").tolist() == pytest.approx([0.5, -1.0])
    assert kl_estimate(logps, ref, "k2").tolist() == pytest.approx([0.125, 0.5])
    assert kl_estimate(logps, ref).tolist() == pytest.approx([math.exp(-0.5) - 0.5, math.e - 2])


def test_means_of_the_estimators() -> None:
    ratio = (POLICY / REFERENCE).log()
    true = float(POLICY @ ratio)
    assert true == pytest.approx(0.1259, abs=5e-5)
    for kind in ("k1", "k3"):
        assert float(POLICY @ kl_estimate(POLICY.log(), REFERENCE.log(), kind)) == pytest.approx(true, abs=1e-6)
    assert float(POLICY @ kl_estimate(POLICY.log(), REFERENCE.log(), "k2")) != pytest.approx(true, abs=1e-3)


def test_k1_is_not_cut_off_at_0() -> None:
    """Dropping its negative values makes .2763 of a KL of .1259."""
    k1 = kl_estimate(POLICY.log(), REFERENCE.log(), "k1")
    assert (k1 < 0).any()
    assert float(POLICY @ k1) == pytest.approx(0.1259, abs=5e-5)
    assert float(POLICY @ k1.clamp(min=0)) == pytest.approx(0.2763, abs=5e-5)
    limited = kl_estimate(torch.tensor([-30.0, 0.0]), torch.tensor([0.0, -30.0]), "k1", clamp=10)
    assert limited.tolist() == [-10, 10]


def test_gradients_of_the_bare_estimators() -> None:
    theta = POLICY.log().clone().requires_grad_()
    log_policy = torch.log_softmax(theta, -1)
    true = torch.autograd.grad(log_policy.exp() @ (log_policy - REFERENCE.log()), theta)[0]
    near(true, REVERSE)
    near(expected_gradient("k1", corrected=False), [0.0, 0.0, 0.0, 0.0])
    near(expected_gradient("k2", corrected=False), REVERSE)
    near(expected_gradient("k3", corrected=False), FORWARD)


@pytest.mark.parametrize("kind", ["k1", "k2", "k3"])
def test_the_loss_has_the_gradient_of_the_kl_on_and_off_policy(kind: str) -> None:
    near(expected_gradient(kind, corrected=True), REVERSE)
    other = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)
    near(expected_gradient(kind, corrected=True, sampler=other), REVERSE)


def test_k1_as_a_reward_has_it_and_the_others_have_not() -> None:
    """Gradient of E[log pi x sg(estimate)]."""
    gradients = {}
    for kind in ("k1", "k2", "k3"):
        theta = POLICY.log().clone().requires_grad_()
        log_policy = torch.log_softmax(theta, -1)
        reward = kl_estimate(log_policy, REFERENCE.log(), kind).detach()  # type: ignore[arg-type]
        gradients[kind] = torch.autograd.grad((POLICY / POLICY.sum()) @ (log_policy * reward), theta)[0]
    near(gradients["k1"], REVERSE)
    for kind in ("k2", "k3"):
        assert (gradients[kind] - torch.tensor(REVERSE)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("place", "kind", "corrected", "message"),
    [
        ("reward", "k2", True, "'k2' as a reward does not have the gradient of the KL; use 'k1'"),
        ("reward", "k3", True, "'k3' as a reward"),
        ("loss", "k1", False, "'k1' as a loss is zero in expectation"),
        ("loss", "k3", False, "gradient of the forward KL, .*use_bias_correction_kl"),
        ("reward", "k4", True, "KL estimator 'k4'; there are: k1, k2, k3"),
        ("rewards", "k1", True, "KL in 'rewards'; did you mean 'reward'"),
    ],
)
def test_what_is_refused(place: str, kind: str, corrected: bool, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_kl(place, kind, corrected=corrected)  # type: ignore[arg-type]


def test_what_is_right_is_not_refused() -> None:
    check_kl("reward", "k1")
    for kind in ("k1", "k2", "k3"):
        check_kl("loss", kind)  # type: ignore[arg-type]
    check_kl("loss", "k2", corrected=False)
    with pytest.raises(UserError, match="KL estimator 'k5'"):
        kl_estimate(POLICY, REFERENCE, "k5")  # type: ignore[arg-type]


def test_what_is_masked_may_be_anything() -> None:
    logps = torch.tensor([[-1.0, math.nan], [math.inf, -2.0]], requires_grad=True)
    mask = torch.tensor([[True, False], [False, True]])
    loss = kl_loss(logps, torch.zeros(2, 2), torch.zeros(2, 2), mask)
    assert not loss[~mask].any()
    loss.sum().backward()
    assert logps.grad is not None
    assert torch.isfinite(logps.grad).all()
    assert not logps.grad[~mask].any()


# in the reward


def test_a_component_of_its_own() -> None:
    batch = rollouts(
        [[[0, 1.0, 0], [1.0, 0, 0]]],
        [2, 1],
        old_logps=[[-1.0, -2.0, 9.0], [-1.0, math.nan, 9.0]],
        ref_logps=[[-1.5, -1.0, 0.0], [-2.0, 0.0, math.nan]],
        weights=[3.0],
        greedy=[[1.0, 1.0]],
        steps=[[[False, True, False], [True, False, False]]],
    )
    charged = add_kl_reward(batch, 0.2)
    wanted = torch.tensor([[-0.1, 0.2, 0], [-0.2, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(charged.rewards[1], wanted)
    assert torch.equal(charged.rewards[0], batch.rewards[0])
    assert charged.kl == 1
    assert charged.weights is not None
    assert charged.weights.tolist() == [3.0, 1.0]
    assert charged.greedy is not None
    assert charged.greedy[1].isnan().all()
    assert charged.steps is not None
    assert not charged.steps[1].any()
    assert torch.equal(add_kl_reward(batch, -0.2).rewards[1], -charged.rewards[1])


def test_it_decides_nothing_about_who_learns() -> None:
    batch = replace(full_rollouts(0), scored=torch.zeros(2, 12, dtype=torch.bool))
    batch.scored[0, 3] = True
    charged = add_kl_reward(batch, 1.0)
    assert charged.scored[2].nonzero().flatten().tolist() == [3]
    assert not charged.rewards[2][:3].any()


def test_it_counts_once() -> None:
    batch = full_rollouts(0)
    with pytest.raises(ValueError, match="have a KL charge already"):
        add_kl_reward(add_kl_reward(batch, 1.0), 1.0)
    with pytest.raises(ValueError, match="needs old_logps and ref_logps"):
        add_kl_reward(replace(batch, ref_logps=None), 1.0)
    with pytest.raises(UserError, match="'k3' as a reward"):
        add_kl_reward(batch, 1.0, kind="k3")


# controllers


@pytest.mark.parametrize(("kl", "wanted"), [(12.0, 0.201024), (3.0, 0.198976), (6.3, 0.200256), (6.0, 0.2)])
def test_adaptive_table(kl: float, wanted: float) -> None:
    controller = AdaptiveKL(0.2, target=6.0, unit="sequence")
    controller.update(kl, unit="sequence", samples=256)
    assert controller.coefficient == pytest.approx(wanted, abs=1e-9)


def test_the_unit_is_no_guess() -> None:
    """KL of .05 a token over 200 tokens is 10 a sequence: above a target of 6, and far below it if taken for one."""
    kl = torch.full((4, 200), 0.05)
    mask = torch.ones(4, 200, dtype=torch.bool)
    assert measure_kl(kl, mask, "token") == pytest.approx(0.05)
    assert measure_kl(kl, mask, "sequence") == pytest.approx(10.0)
    controller = AdaptiveKL(0.2, target=6.0, unit="sequence")
    with pytest.raises(ValueError, match="the target is per sequence, and this KL per token"):
        controller.update(measure_kl(kl, mask, "token"), unit="token", samples=256)
    controller.update(measure_kl(kl, mask, "sequence"), unit="sequence", samples=256)
    assert controller.coefficient > 0.2
    mistaken = AdaptiveKL(0.2, target=6.0, unit="sequence")
    mistaken.update(measure_kl(kl, mask, "token"), unit="sequence", samples=256)
    assert mistaken.coefficient < 0.2
    with pytest.raises(UserError, match="KL unit 'sequenc'; did you mean 'sequence'"):
        AdaptiveKL(0.2, target=6.0, unit="sequenc")  # type: ignore[arg-type]


def test_measuring_counts_the_policys_tokens() -> None:
    kl = torch.tensor([[1.0, 2.0, math.nan], [3.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    mask = torch.tensor([[True, True, False], [True, False, False], [False, False, False]])
    assert measure_kl(kl, mask, "token") == pytest.approx(2.0)
    assert measure_kl(kl, mask, "sequence") == pytest.approx(3.0)
    assert measure_kl(kl, torch.zeros_like(mask), "sequence") == 0.0


def test_controllers_go_on_from_their_state() -> None:
    first, other = (AdaptiveKL(0.2, target=6.0, unit="sequence") for _ in range(2))
    for kl in (12.0, 1.0, 7.0):
        first.update(kl, unit="sequence", samples=64)
    other.restore(json.loads(json.dumps(first.state())))
    for each in (first, other):
        each.update(8.0, unit="sequence", samples=64)
    assert first.coefficient == other.coefficient
    with pytest.raises(UserError, match="saved with unit 'sequence', and now it is 'token'"):
        AdaptiveKL(0.2, target=0.1, unit="token").restore(first.state())
    fixed = FixedKL(0.05)
    fixed.update(99.0, unit="token", samples=1)
    fixed.restore(json.loads(json.dumps(fixed.state())))
    assert fixed.coefficient == 0.05
    with pytest.raises(UserError, match="saved with kind 'adaptive', and now it is 'fixed'"):
        fixed.restore(first.state())


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_coefficients_are_numbers_not_below_0(bad: float) -> None:
    for build in (FixedKL, lambda value: AdaptiveKL(value, target=6.0, unit="sequence")):
        with pytest.raises(UserError, match="coefficient must be a number not below 0"):
            build(bad)
    for arguments in ({"target": 0.0}, {"target": 6.0, "horizon": 0}, {"target": math.nan}):
        with pytest.raises(UserError, match="must be above 0"):
            AdaptiveKL(0.1, unit="token", **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the KL is nan"):
        AdaptiveKL(0.1, target=6.0, unit="token").update(math.nan, unit="token", samples=1)
