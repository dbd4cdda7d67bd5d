"""Named ways to weigh the rewards. The README tells them apart."""

from __future__ import annotations

from collections.abc import Mapping

from honewise import Rubric, Term

__all__ = ["PRESETS"]

PRESETS: Mapping[str, Rubric] = {
    "steps": Rubric(
        {"answer": 3, "steps": 1, "unit": 0.5, "magnitude": 0.25, "consistent": 0.25, "format": 0.5},
        correct="answer",
        cap_wrong=True,
    ),
    "answer-only": Rubric({"answer": 1}, correct="answer"),
    "partial": Rubric({"answer": 2, "number": 0.5, "unit": 0.5, "magnitude": 0.5, "format": 0.5}, correct="answer"),
    "symbolic": Rubric(
        {"answer": 2, "symbolic": 1, "consistent": 0.5, "format": 0.5}, correct="answer", cap_wrong=True
    ),
    "marks": Rubric({"marks": 1, "answer": 0}, correct="answer"),
    "scibench": Rubric({"scibench": 1, "answer": 0}, correct="answer"),
    "phyqa": Rubric(
        {"answer": 1, "meteor": 1, "rouge_l": 0.5, "reasoning": Term(1), "ranking": Term(1)},
        correct="answer",
    ),
}
