"""Named ways to weigh the rewards, each after a paper as far as its formula is known. The README tells them apart."""

from __future__ import annotations

from collections.abc import Mapping

from honewise import Rubric, Term

__all__ = ["PRESETS"]

PRESETS: Mapping[str, Rubric] = {
    "reasoning-sql": Rubric(
        {
            "execution": 3,
            "judge": Term(2, when="execution < 1"),
            # A query that matches has run: saying so lifts the floor of the cap, so that it seldom has to cut.
            "syntax": Term(1, when="execution < 1", otherwise=1.0),
            "schema_linking": 1,
            "ngram": 1,
            "format": 1,
        },
        correct="execution",
        cap_wrong=True,
    ),
    "execution-only": Rubric({"execution": 1}, correct="execution"),
    "arctic": Rubric({"execution": 0.9, "syntax": 0.1}, correct="execution"),
    "sql-r1": Rubric(
        {
            "signed_format": 1,
            "signed_syntax": Term(2, when="signed_format >= 1"),
            "signed_execution": Term(3, when="signed_syntax >= 1"),
            "concise": Term(1, when="signed_execution >= 1"),
            "execution": 0,
        },
        correct="execution",
    ),
    "think2sql": Rubric({"cells": 0.85, "well_formed": 0.1, "format": 0.05, "execution": 0}, correct="execution"),
}
