"""What bandit finds in a program, by reading it. Marks that would silence it (``# nosec``) do not count."""

from __future__ import annotations

import os
import tempfile
from functools import lru_cache
from typing import NamedTuple

from .calls import parsed

__all__ = ["Finding", "findings"]

_OF_IMPORTS = "B4"
"""Tests that object to an import alone: what is done with it has tests of its own."""


class Finding(NamedTuple):
    test: str
    line: int
    said: str


@lru_cache(maxsize=512)
def findings(code: str) -> tuple[Finding, ...] | None:
    """In the order of the lines; None where the code is no Python."""
    if parsed(code) is None:
        return None
    from bandit.core.config import BanditConfig
    from bandit.core.manager import BanditManager

    manager = BanditManager(BanditConfig(), "file", ignore_nosec=True, quiet=True)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "program.py")
        with open(path, "w", encoding="utf-8", errors="surrogatepass", newline="") as file:
            file.write(code)
        manager.discover_files([path])
        manager.run_tests()
        if manager.skipped:
            return None
        issues = manager.get_issue_list()
    found = [Finding(issue.test_id, issue.lineno, issue.text) for issue in issues]
    return tuple(sorted(each for each in found if not each.test.startswith(_OF_IMPORTS)))
