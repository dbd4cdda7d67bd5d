"""One checker with three faces, ``honewise doctor``, ``honewise.testing`` and ``honewise audit rewards``; and the
audits of judges and of runs."""

from .contract import check_domain, check_reward
from .findings import DOMAIN_CHECKS, PRESET_CHECKS, REWARD_CHECKS, Check, Finding
from .judge_audit import JudgesAudited, audit_judge
from .judge_numbers import JudgeAudit, JudgeSettings, audit_verdicts
from .reward_audit import RewardsAudited, audit_rewards
from .run_audit import Compared, Readers, RunAudited, compare, gap_between
from .run_sides import RunSettings, Sides
from .run_signs import SIGNS, Sign, gap_sign

__all__ = [
    "DOMAIN_CHECKS",
    "PRESET_CHECKS",
    "REWARD_CHECKS",
    "SIGNS",
    "Check",
    "Compared",
    "Finding",
    "JudgeAudit",
    "JudgeSettings",
    "JudgesAudited",
    "Readers",
    "RewardsAudited",
    "RunAudited",
    "RunSettings",
    "Sides",
    "Sign",
    "audit_judge",
    "audit_rewards",
    "audit_verdicts",
    "check_domain",
    "check_reward",
    "compare",
    "gap_between",
    "gap_sign",
]
