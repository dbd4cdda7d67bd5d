"""Named rubrics; the first is the default. The README says where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from honewise import Rubric, Term

__all__ = ["PRESETS", "presets"]

PRESETS: Mapping[str, Rubric] = {
    "reasoning": Rubric(
        {
            "correct": 3,
            "elimination": 1,
            "format": 1,
            "language": 0.5,
            "quality": Term(1, when="correct >= 1"),
        },
        correct="correct",
        cap_wrong=True,
    ),
    "correct-only": Rubric({"correct": 1}, correct="correct"),
    "exam": Rubric({"negative_marking": 3, "format": 0.5}, correct="negative_marking"),
    "calibrated": Rubric({"correct": 2, "confidence": 1, "format": 0.5}, correct="correct"),
    "abstaining": Rubric({"abstention": 2, "format": 0.5}, correct="abstention"),
    "grounded": Rubric(
        {"correct": 3, "grounding": 2, "elimination": 1, "format": 1}, correct="correct", cap_wrong=True
    ),
}

_OF_REASONING = frozenset({"elimination", "language", "quality", "grounding"})


def presets(reasoning: bool) -> Mapping[str, Rubric]:
    """The presets; where replies do not reason, without the rewards that look at reasoning."""
    if reasoning:
        return PRESETS
    return {
        name: replace(rubric, terms={term: value for term, value in rubric.terms.items() if term not in _OF_REASONING})
        for name, rubric in PRESETS.items()
        if name != "grounded"
    }
