"""``report.html``: one self-contained page of a run, made from its store alone."""

from __future__ import annotations

from .page import ROLLOUTS, render, write

__all__ = ["ROLLOUTS", "render", "write"]
