"""The documentation is true: its code runs, its tables are those of the code, its links lead somewhere.

Within one page all blocks run in one empty folder, from top to bottom. A block whose first line is ``# file: PATH`` is
written there; other ``python`` and ``bash`` blocks are run, ``console`` blocks only shown.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from doc_tables import DOCS, TABLES, standing

PAGES = sorted(DOCS.glob("*.md"))
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# file: (\S+)\n")
_RUN = ("python", "bash")


class Block(NamedTuple):
    language: str
    code: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        yield Block(match[1], match[2], text[: match.start()].count("\n") + 1)


def test_the_pages_are_there() -> None:
    assert {page.stem for page in PAGES} >= {"algorithms", "architecture", "plugins", "recipes", "rewards"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_runs(page: Path, tmp_path: Path) -> None:
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "HONEWISE_"))}
    environ["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(tmp_path / "src")])
    environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environ["PATH"]])
    for block in blocks(page):
        named = _FILE.match(block.code)
        if named:
            path = tmp_path / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code.removeprefix(named[0]), encoding="utf-8")
        elif block.language in _RUN:
            command = [sys.executable, "-"] if block.language == "python" else ["bash", "-euo", "pipefail"]
            done = subprocess.run(command, input=block.code, cwd=tmp_path, env=environ, capture_output=True, text=True)
            assert done.returncode == 0, f"{page.name}:{block.line}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    headings = {page.name: _anchors(text)}
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        assert other.exists(), f"{page.name}: {target}"
        if anchor:
            found = headings.setdefault(other.name, _anchors(other.read_text(encoding="utf-8")))
            assert anchor in found, f"{page.name}: {target}; there are {sorted(found)}"


def _anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", _BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_the_code(name: str) -> None:
    page, table = TABLES[name]
    assert standing(name) == table(), f"{page} is out of date; run: python tests/support/doc_tables.py"
