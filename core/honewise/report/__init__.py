"""``report.html``: one self-contained page of a run, made from its store alone; and the audit that ends a run."""

from __future__ import annotations

from .ending import end
from .page import ROLLOUTS, render, write

__all__ = ["ROLLOUTS", "end", "render", "write"]
