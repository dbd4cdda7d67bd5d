"""Preference pairs after Gaokerena-R (2510.20059): a teacher corrects a student, or criticises until a
retry is right.

What is written is a pairs file of honewise, which a ``dpo`` stage trains on.
"""

from .build import Built, build_pairs, gaokerena_pairs
from .filters import consistent_pairs, leaked, reveals
from .loop import Outcome, Writer, corrected_pair, retried_pair, writer_of
from .verify import resolve

__all__ = [
    "Built",
    "Outcome",
    "Writer",
    "build_pairs",
    "consistent_pairs",
    "corrected_pair",
    "gaokerena_pairs",
    "leaked",
    "resolve",
    "retried_pair",
    "reveals",
    "writer_of",
]
