"""One checker with three faces: ``honewise doctor``, ``honewise.testing`` and the audits."""

from .contract import check_domain, check_reward
from .findings import DOMAIN_CHECKS, PRESET_CHECKS, REWARD_CHECKS, Check, Finding

__all__ = ["DOMAIN_CHECKS", "PRESET_CHECKS", "REWARD_CHECKS", "Check", "Finding", "check_domain", "check_reward"]
