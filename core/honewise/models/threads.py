"""How torch's threads wait for each other. Imports no torch: it must be said before torch is loaded."""

from __future__ import annotations

import os

__all__ = ["share_cores"]

SPINS = "10000"


def share_cores() -> None:
    """Let threads that wait sleep after some microseconds, unless the environment says how they shall wait.

    GNU's OpenMP, which torch brings on Linux, lets them turn in circles for milliseconds. That is a little faster on an
    idle machine, and several times slower where any other program wants the cores.
    """
    if not os.environ.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        os.environ["GOMP_SPINCOUNT"] = SPINS
