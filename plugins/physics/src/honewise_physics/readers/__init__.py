"""How published physics data sets become tasks."""

from __future__ import annotations

from collections.abc import Mapping

from honewise import Reader

from .benchmarks import jeebench, scibench, ugphysics
from .more import mmlu, physreason, question_answer
from .own import own

__all__ = ["all_readers"]


def all_readers(tolerance: float | None = None, language: str | None = None) -> Mapping[str, Reader]:
    """The readers by the names of their formats; ``tolerance`` takes the place of each data set's own."""
    return {
        "scibench": scibench(tolerance),
        "jeebench": jeebench(tolerance),
        "ugphysics": ugphysics(tolerance, language),
        "physreason": physreason(tolerance),
        "mmlu": mmlu(),
        "phyqa": question_answer(tolerance),
        "jsonl": own(tolerance),
    }
