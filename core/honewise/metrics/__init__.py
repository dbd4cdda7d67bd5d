"""Numbers from scored rows: means that say how many were scored, pass@k, paired intervals."""

from .general import Mean, accuracy, group_means, mean_of, metric_numbers, pass_at_k, pass_at_ks, reward_means, summary
from .huggingface import as_evaluate
from .intervals import Difference, paired_bootstrap

__all__ = [
    "Difference",
    "Mean",
    "accuracy",
    "as_evaluate",
    "group_means",
    "mean_of",
    "metric_numbers",
    "paired_bootstrap",
    "pass_at_k",
    "pass_at_ks",
    "reward_means",
    "summary",
]
