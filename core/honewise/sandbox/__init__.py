"""Model output is hostile input: processes that can be killed, SQL that can only read, and comparison of results."""

from __future__ import annotations

from .compare import execution_match, is_ordered, results_match, soft_f1
from .sql import SqlLimits, SqlResult, reference_result, run_sql

__all__ = [
    "SqlLimits",
    "SqlResult",
    "execution_match",
    "is_ordered",
    "reference_result",
    "results_match",
    "run_sql",
    "soft_f1",
]
