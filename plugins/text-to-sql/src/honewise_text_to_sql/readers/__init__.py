"""How published text-to-SQL data sets become tasks."""

from __future__ import annotations

from collections.abc import Mapping

from honewise import Reader

from .bird import bird
from .defog import defog
from .layout import Settings
from .own import own
from .spider import spider
from .wikisql import wikisql

__all__ = ["Settings", "all_readers"]


def all_readers(settings: Settings) -> Mapping[str, Reader]:
    """The readers by the names of their formats."""
    return {
        "spider": spider(settings),
        "bird": bird(settings),
        "wikisql": wikisql(settings),
        "defog": defog(settings),
        "jsonl": own(settings),
    }
