"""The KL divergence to a reference policy: estimators, where each may stand, and the two places it can enter.

All are of KL(policy || reference) from tokens that the policy sampled. With d = logp - ref_logp::

    k1 = d                       unbiased, signed
    k2 = d^2 / 2                 biased in value; its gradient is right
    k3 = exp(-d) - 1 + d         unbiased, never below 0

What a term is worth and where its gradient points are two things. In the *reward* the value counts, and only k1's
accumulates to the gradient of the KL. In the *loss* the gradient through the estimator counts, and there, without a
correction by the importance ratio, k1's is zero in expectation and k3's is that of KL(reference || policy).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from honewise.errors import UserError, near

from .grouped import present
from .rollouts import Rollouts
from .shaping import with_component

__all__ = ["KL_ESTIMATORS", "KlEstimator", "KlPlace", "add_kl_reward", "check_kl", "kl_estimate", "kl_loss"]

KlEstimator = Literal["k1", "k2", "k3"]
KlPlace = Literal["reward", "loss"]
KL_ESTIMATORS = ("k1", "k2", "k3")


def kl_estimate(logps: Tensor, ref_logps: Tensor, kind: KlEstimator = "k3", *, clamp: float | None = None) -> Tensor:
    """Per-token estimate of KL(policy || reference), in nats; the shape of ``logps``.

    ``clamp`` limits the log-ratio to [-clamp, clamp]. It is off by default, since it biases; a limit on one side alone,
    such as dropping negative values of k1, biases most and cannot be asked for.
    """
    if kind not in KL_ESTIMATORS:
        raise UserError(f"KL estimator {kind!r}{near(str(kind), KL_ESTIMATORS)}")
    ratio = logps - ref_logps
    if clamp is not None:
        ratio = ratio.clamp(-clamp, clamp)
    if kind == "k1":
        return ratio
    if kind == "k2":
        return 0.5 * ratio**2
    return torch.expm1(-ratio) + ratio


def check_kl(place: KlPlace, kind: KlEstimator, *, corrected: bool = True) -> None:
    """Raise ``UserError`` where an estimator would train on something else than KL(policy || reference).

    ``corrected`` says whether the loss multiplies the estimate by the importance ratio, as ``kl_loss`` does, and TRL
    with ``use_bias_correction_kl``.
    """
    if place not in ("reward", "loss"):
        raise UserError(f"KL in {place!r}{near(str(place), ('reward', 'loss'))}")
    if kind not in KL_ESTIMATORS:
        raise UserError(f"KL estimator {kind!r}{near(str(kind), KL_ESTIMATORS)}")
    if place == "reward" and kind != "k1":
        raise UserError(
            f"KL: {kind!r} as a reward does not have the gradient of the KL; use 'k1' there, or put {kind!r} into the"
            " loss"
        )
    if place == "loss" and kind == "k1" and not corrected:
        raise UserError(
            "KL: the gradient of 'k1' as a loss is zero in expectation, noise and nothing else; use 'k2', or 'k3' with"
            " the ratio correction, or put 'k1' into the reward"
        )
    if place == "loss" and kind == "k3" and not corrected:
        raise UserError(
            "KL: 'k3' as a loss without the ratio correction has the gradient of the forward KL, from reference to"
            " policy; turn the correction on (TRL: use_bias_correction_kl), or use 'k2'"
        )


def add_kl_reward(
    rollouts: Rollouts, coefficient: float, *, kind: KlEstimator = "k1", clamp: float | None = None
) -> Rollouts:
    """The same rollouts with one more component: -``coefficient`` times the KL at each token.

    This is the one way in which a KL becomes reward. Estimators see a component like any other, so it takes part in
    returns, totals, baselines and spreads; those that must treat it apart (``remax``, ``gdpo``, ``grpo-process``) know
    it by ``rollouts.kl``. It is "scored" in every row in which anything is, so that it decides nothing about who
    learns. A negative coefficient makes the KL a cost, as the cost stream of constrained training wants it.

    Needs ``old_logps`` and ``ref_logps``. Raises ``UserError`` for an estimator that is wrong as a reward, and
    ``ValueError`` where there already is a KL charge: a KL counts once.
    """
    check_kl("reward", kind)
    if rollouts.kl is not None:
        raise ValueError("these rollouts have a KL charge already")
    if rollouts.old_logps is None or rollouts.ref_logps is None:
        raise ValueError("a KL in the reward needs old_logps and ref_logps")
    rows = present(rollouts).any(0)
    kl = kl_estimate(rollouts.old_logps, rollouts.ref_logps, kind, clamp=clamp).detach().to(rollouts.rewards)
    charge = torch.where(rollouts.mask.bool() & rows.unsqueeze(-1), -coefficient * kl, 0.0)
    return replace(with_component(rollouts, charge, rows), kl=len(rollouts.rewards))


def kl_loss(logps: Tensor, ref_logps: Tensor, old_logps: Tensor, mask: Tensor, kind: KlEstimator = "k3") -> Tensor:
    """(B, T) whose gradient is that of KL(policy || reference) in expectation over tokens that ``old_logps`` sampled.

    With rho = exp(logp - old_logp), per token: rho k1, sg(rho) k2 (sg: no gradient through it) or rho k3; 0 outside the
    mask. Exact for one token; over several, as with every token-level ratio, up to how far the policy has moved within
    the step. Aggregate it as the policy loss, with its coefficient.
    """
    check_kl("loss", kind)
    own = mask.bool()
    ratio = torch.where(own, logps - old_logps, 0.0).exp()
    kl = kl_estimate(torch.where(own, logps, 0.0), torch.where(own, ref_logps, 0.0), kind)
    return kl * (ratio.detach() if kind == "k2" else ratio)
