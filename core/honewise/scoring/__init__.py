"""From completions to scores: a pool that can be killed, rubrics, and credit in characters."""

from .credit import Credit, GroupCredit, credit
from .mixed import AnyScorer, MixedDomain, MixedRubric, MixedScorer, domain_of, rubrics_of
from .rows import Completions, read_completions, to_json, write_lines
from .rubric import CAP, CAP_MARGIN, BoundRubric, bind_rubric
from .scorer import Row, Scorer
from .spec import apply_rubric_spec, reward_files
from .stats import RewardStats, check_budget, reasons

__all__ = [
    "CAP",
    "CAP_MARGIN",
    "AnyScorer",
    "BoundRubric",
    "Completions",
    "Credit",
    "GroupCredit",
    "MixedDomain",
    "MixedRubric",
    "MixedScorer",
    "RewardStats",
    "Row",
    "Scorer",
    "apply_rubric_spec",
    "bind_rubric",
    "check_budget",
    "credit",
    "domain_of",
    "read_completions",
    "reasons",
    "reward_files",
    "rubrics_of",
    "to_json",
    "write_lines",
]
