"""Helpers for the tests of plugin authors: the contract check, fakes, sample rows, public data.

Names are loaded on first use, because pytest imports this package in every run of an environment that has
honewise installed, long before coverage and warning filters are set up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contract import check_domain, check_reward
    from .endpoint import FakeEndpoint
    from .fakes import FakeJudge, JudgeCall
    from .public_data import data_slice
    from .rows import SampleRow, sample_rows

__all__ = [
    "FakeEndpoint",
    "FakeJudge",
    "JudgeCall",
    "SampleRow",
    "check_domain",
    "check_reward",
    "data_slice",
    "sample_rows",
]

_HOMES = {
    "FakeEndpoint": "endpoint",
    "FakeJudge": "fakes",
    "JudgeCall": "fakes",
    "SampleRow": "rows",
    "check_domain": "contract",
    "check_reward": "contract",
    "data_slice": "public_data",
    "sample_rows": "rows",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
