"""The command line in a process of its own, as a person starts it, with a group that can be ended whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["begin", "finish"]


def begin(folder: Path, *words: str, launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
    """``honewise WORDS`` in ``folder``; with ``launcher``, Python's arguments before its own, by several processes."""
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "honewise", *words],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Its exit status and what it printed, once it has ended."""
    try:
        out, err = process.communicate(timeout=280)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still running:\n{out}\n{err}") from None
    return process.returncode, out, err
