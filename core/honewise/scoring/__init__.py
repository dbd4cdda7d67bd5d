"""From completions to scores: a pool that can be killed, rubrics, and credit in characters."""

from .credit import Credit, GroupCredit, credit
from .rows import Completions, read_completions, to_json, write_lines
from .rubric import CAP, CAP_MARGIN, BoundRubric, bind_rubric
from .scorer import Row, Scorer
from .spec import apply_rubric_spec, reward_files
from .stats import RewardStats, check_budget, reasons

__all__ = [
    "CAP",
    "CAP_MARGIN",
    "BoundRubric",
    "Completions",
    "Credit",
    "GroupCredit",
    "RewardStats",
    "Row",
    "Scorer",
    "apply_rubric_spec",
    "bind_rubric",
    "check_budget",
    "credit",
    "read_completions",
    "reasons",
    "reward_files",
    "to_json",
    "write_lines",
]
