"""Advantage estimators: pure functions on tensors. Needs torch; knows nothing of domains, text or trainers."""

from .estimators import DENSE_RETURN, GRPO
from .rollouts import Estimator, Rollouts

__all__ = ["DENSE_RETURN", "GRPO", "Estimator", "Rollouts"]
