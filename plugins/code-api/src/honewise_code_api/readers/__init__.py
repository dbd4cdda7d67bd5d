"""How published data sets become tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from honewise import Reader

from .bfcl import BFCL
from .gorilla import gorilla
from .programs import HUMANEVAL, MBPP

__all__ = ["PROGRAM_READERS", "call_readers"]

PROGRAM_READERS: Mapping[str, Reader] = {"humaneval": HUMANEVAL, "mbpp": MBPP}


def call_readers(table: Path | None = None) -> Mapping[str, Reader]:
    """Readers of calls; ``table`` is a file of APIs for those rows that need one."""
    return {"bfcl": BFCL, "gorilla": gorilla(table)}
