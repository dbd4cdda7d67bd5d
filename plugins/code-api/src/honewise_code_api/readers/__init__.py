"""How published data sets become tasks."""

from __future__ import annotations

from collections.abc import Mapping

from honewise import Reader

from .bfcl import BFCL
from .gorilla import GORILLA
from .programs import HUMANEVAL, MBPP

__all__ = ["CALL_READERS", "PROGRAM_READERS"]

CALL_READERS: Mapping[str, Reader] = {"bfcl": BFCL, "gorilla": GORILLA}
PROGRAM_READERS: Mapping[str, Reader] = {"humaneval": HUMANEVAL, "mbpp": MBPP}
