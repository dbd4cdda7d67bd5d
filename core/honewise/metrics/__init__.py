"""Numbers from scored rows, from verdicts and from texts: means that say how many were scored, intervals, and what
audits are made of."""

from .diversity import Entailment, cosine_diversity, distinct, ead, mean_ead, nli_diversity, repetition
from .general import Mean, accuracy, group_means, mean_of, metric_numbers, pass_at_k, pass_at_ks, reward_means, summary
from .huggingface import as_evaluate
from .inflation import Scale, Views, fit_scale, views
from .intervals import Difference, Estimate, bootstrap, bootstrap_change, paired_bootstrap
from .judging import (
    auc,
    brier,
    calibration_error,
    cohen_kappa,
    kendall_w,
    luck_of_calibration,
    ranks,
    verbosity_bias,
)

__all__ = [
    "Difference",
    "Entailment",
    "Estimate",
    "Mean",
    "Scale",
    "Views",
    "accuracy",
    "as_evaluate",
    "auc",
    "bootstrap",
    "bootstrap_change",
    "brier",
    "calibration_error",
    "cohen_kappa",
    "cosine_diversity",
    "distinct",
    "ead",
    "fit_scale",
    "group_means",
    "kendall_w",
    "luck_of_calibration",
    "mean_ead",
    "mean_of",
    "metric_numbers",
    "nli_diversity",
    "paired_bootstrap",
    "pass_at_k",
    "pass_at_ks",
    "ranks",
    "repetition",
    "reward_means",
    "summary",
    "verbosity_bias",
    "views",
]
