"""Advantage estimators, losses, KL and controllers: pure functions on tensors and plain numbers.

Needs torch; knows nothing of domains, text or trainers.
"""

from .constrained import Constraint, Multipliers, invariance_weights, lagrangian
from .controllers import AdaptiveKL, FixedKL, KlController, KlUnit, measure_kl
from .critic import GAE, value_clip_fraction, value_loss
from .dynamic_sampling import Kept, Refill, informative, refill
from .estimators import DENSE_RETURN, DR_GRPO, GDPO, GRPO, RLOO
from .folds import folds
from .grouped import complete
from .kl import KlEstimator, add_kl_reward, check_kl, kl_estimate, kl_loss
from .masked import Aggregation, aggregate, explained_variance, masked_mean, masked_var, whiten
from .policy_loss import (
    PolicyLoss,
    RatioLevel,
    approximate_kl,
    check_policy_loss,
    clip_fractions,
    clipped_loss,
    importance_ratio,
    policy_loss,
    refusal,
)
from .preference import (
    Divergence,
    bt_margin_target,
    divergence_score,
    dpo_loss,
    nll_term,
    pair_loss,
    trl_divergence,
)
from .process import GRPO_PROCESS
from .reinforce import REINFORCE_PP, REINFORCE_PP_BASELINE, REMAX
from .reward_models import (
    at_segment_ends,
    bradley_terry_loss,
    centre_penalty,
    cost_loss,
    cost_sign,
    segment_ends,
)
from .rollouts import NEEDS, Estimator, Rollouts
from .shaping import charge_missing_end, limit_totals, scale_rewards
from .zero_variance import RL_ZVP

__all__ = [
    "DENSE_RETURN",
    "DR_GRPO",
    "ESTIMATORS",
    "GAE",
    "GDPO",
    "GRPO",
    "GRPO_PROCESS",
    "NEEDS",
    "REINFORCE_PP",
    "REINFORCE_PP_BASELINE",
    "REMAX",
    "RLOO",
    "RL_ZVP",
    "AdaptiveKL",
    "Aggregation",
    "Constraint",
    "Divergence",
    "Estimator",
    "FixedKL",
    "Kept",
    "KlController",
    "KlEstimator",
    "KlUnit",
    "Multipliers",
    "PolicyLoss",
    "RatioLevel",
    "Refill",
    "Rollouts",
    "add_kl_reward",
    "aggregate",
    "approximate_kl",
    "at_segment_ends",
    "bradley_terry_loss",
    "bt_margin_target",
    "centre_penalty",
    "charge_missing_end",
    "check_kl",
    "check_policy_loss",
    "clip_fractions",
    "clipped_loss",
    "complete",
    "cost_loss",
    "cost_sign",
    "divergence_score",
    "dpo_loss",
    "explained_variance",
    "folds",
    "importance_ratio",
    "informative",
    "invariance_weights",
    "kl_estimate",
    "kl_loss",
    "lagrangian",
    "limit_totals",
    "masked_mean",
    "masked_var",
    "measure_kl",
    "nll_term",
    "pair_loss",
    "policy_loss",
    "refill",
    "refusal",
    "scale_rewards",
    "segment_ends",
    "trl_divergence",
    "value_clip_fraction",
    "value_loss",
    "whiten",
]

ESTIMATORS = (
    GRPO,
    DR_GRPO,
    RLOO,
    GDPO,
    DENSE_RETURN,
    GRPO_PROCESS,
    REMAX,
    REINFORCE_PP,
    REINFORCE_PP_BASELINE,
    GAE,
    RL_ZVP,
)
"""Core's own."""
