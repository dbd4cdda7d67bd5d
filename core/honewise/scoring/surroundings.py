"""What a scorer asks of the machine and of its caller."""

from __future__ import annotations

import os
import sys

__all__ = ["caller", "cores"]


def cores() -> int:
    """The cores this process may use, shared with the other training processes of this machine."""
    affinity = getattr(os, "sched_getaffinity", None)
    count = len(affinity(0)) if affinity else os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, count // max(1, int(ranks) if ranks.isdecimal() else 1))


def caller() -> int:
    """How far up the stack the first code outside of honewise is, for ``warnings.warn`` in this function's caller."""
    depth, frame = 0, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).split(".")[0] == "honewise":
        depth, frame = depth + 1, frame.f_back
    return depth + 1
