"""How published multiple-choice data sets become tasks."""

from __future__ import annotations

from collections.abc import Mapping

from honewise import Reader

from .json_sets import medmcqa, medqa, pubmedqa
from .layout import Settings
from .own import own
from .sheets import gaokerena, mmlu

__all__ = ["Settings", "all_readers"]


def all_readers(settings: Settings) -> Mapping[str, Reader]:
    """The readers by the names of their formats."""
    return {
        "medmcqa": medmcqa(settings),
        "medqa": medqa(),
        "pubmedqa": pubmedqa(),
        "mmlu": mmlu(settings),
        "gaokerena": gaokerena(settings),
        "jsonl": own(),
    }
