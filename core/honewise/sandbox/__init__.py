"""Model output is hostile input: processes that can be killed, SQL that can only read, and comparison of results."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compare import Prepared, execution_match, is_ordered, results_match, soft_f1
    from .database import identity
    from .sql import SqlLimits, SqlResult, reference_result, run_sql

__all__ = [
    "Prepared",
    "SqlLimits",
    "SqlResult",
    "execution_match",
    "identity",
    "is_ordered",
    "reference_result",
    "results_match",
    "run_sql",
    "soft_f1",
]

_OF_COMPARE = ("Prepared", "execution_match", "is_ordered", "results_match", "soft_f1")
_PLACES = {"identity": ".database"} | dict.fromkeys(_OF_COMPARE, ".compare")


def __getattr__(name: str) -> Any:
    # On demand: every worker imports this package, and should start in half the time.
    if name in __all__:
        return getattr(import_module(_PLACES.get(name, ".sql"), __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
