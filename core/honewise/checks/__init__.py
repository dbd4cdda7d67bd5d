"""One checker with three faces, ``honewise doctor``, ``honewise.testing`` and ``honewise audit rewards``; and the audit
of judges."""

from .contract import check_domain, check_reward
from .findings import DOMAIN_CHECKS, PRESET_CHECKS, REWARD_CHECKS, Check, Finding
from .judge_audit import JudgesAudited, audit_judge
from .judge_numbers import JudgeAudit, JudgeSettings, audit_verdicts
from .reward_audit import RewardsAudited, audit_rewards

__all__ = [
    "DOMAIN_CHECKS",
    "PRESET_CHECKS",
    "REWARD_CHECKS",
    "Check",
    "Finding",
    "JudgeAudit",
    "JudgeSettings",
    "JudgesAudited",
    "RewardsAudited",
    "audit_judge",
    "audit_rewards",
    "audit_verdicts",
    "check_domain",
    "check_reward",
]
