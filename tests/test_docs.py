"""The documentation is true: its code runs, its tables are those of the code, its links lead somewhere.

Within one page all blocks run in one empty folder, from top to bottom. A block whose first line is ``# file: PATH`` is
written there; other ``python`` and ``bash`` blocks are run, ``console`` blocks only shown.
"""

from __future__ import annotations

import doctest
import importlib
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from doc_tables import DOCS, TABLES, standing

from honewise import run
from honewise.algorithms import ESTIMATORS, NEEDS, Estimator
from honewise.clients import CallRecord, judge_numbers

PACKAGE = DOCS.parent / "honewise"
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
    environ["PYTHONPATH"] = str(tmp_path)
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


def glossary(heading: str) -> list[re.Pattern[str]]:
    """The numbers that one table of the glossary explains, as patterns."""
    text = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    table = text.partition(f"### {heading}\n")[2].partition("\n###")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    names = [name for cell in cells for name in re.findall(r"`([^`]+)`", cell)]
    return [
        re.compile(re.escape(name).replace("NAME", ".+") + ("(/.+)?" if "metric/" in name else "")) for name in names
    ]


@pytest.mark.slow
def test_every_number_of_a_run_is_in_the_glossary(tmp_path: Path) -> None:
    small = ["stages.sft.steps=2", "stages.rl.steps=2", "stages.rl.prompts=2", "stages.rl.samples=2"]
    measured = ["data.held_out.limit=2", "stages.evaluate.samples=1", "stages.rl.trainer.beta=0.01"]
    finished = run("arithmetic/quickstart", f"runs_dir={tmp_path}", *small, *measured)
    try:
        found = {f"Steps of {stage}": _step_numbers(finished.store.metrics(stage)) for stage in ("sft", "rl")}
        found["Evaluations"] = {name for each in finished.store.evaluations("evaluate") for name in each.metrics}
    finally:
        finished.store.close()
    for heading, numbers in found.items():
        known = glossary(heading)
        assert numbers
        assert not [name for name in sorted(numbers) if not any(pattern.fullmatch(name) for pattern in known)], heading


@pytest.mark.parametrize("heading", ["Steps of rl", "Evaluations"])
def test_every_number_of_a_judge_is_in_the_glossary(heading: str) -> None:
    call = CallRecord("t", "h", "m", "k", "endpoint")
    known = glossary(heading)
    for name in judge_numbers([call]):
        assert any(pattern.fullmatch(name) for pattern in known), name


def _step_numbers(steps: Mapping[int, Mapping[str, float]]) -> set[str]:
    return {name for numbers in steps.values() for name in numbers}


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda estimator: estimator.name)
def test_every_option_of_an_estimator_is_explained(estimator: Estimator) -> None:
    """With its default, as a recipe writes it; a choice is among its values."""
    text = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    part = text.partition(f"### {estimator.name}\n")[2].partition("\n##")[0]
    assert part
    assert f"`{estimator.name}`" in text.partition("## Estimators\n")[2].partition("\n##")[0]
    rows = {row[0]: row for row in re.findall(r"^\| `(\w+)` \| (.+?) \| `(.+?)` \| ", part, re.MULTILINE)}
    assert list(rows) == list(estimator.options)
    for name, default in estimator.options.items():
        written = default if isinstance(default, str) else json.dumps(default)
        assert rows[name][2] == written, name
        assert not isinstance(default, str) or f"`{default}`" in rows[name][1], name


def test_every_need_of_an_estimator_is_explained() -> None:
    text = (DOCS / "algorithms.md").read_text(encoding="utf-8")
    for name in NEEDS:
        assert f"| `{name}` |" in text


def test_the_floors_are_those_that_the_architecture_test_holds() -> None:
    floors = runpy.run_path(str(Path(__file__).with_name("test_architecture.py")))["FLOORS"]
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d) \| (.+) \|$", text, re.MULTILINE))
    assert sorted(rows) == [str(number) for number in range(len(floors))]
    for number, rooms in enumerate(floors):
        there = {room for room in rooms if (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()}
        assert set(re.findall(r"`(\w+)`", rows[str(number)])) == there, f"floor {number}"


EXAMPLES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_examples_in_docstrings_hold(path: Path) -> None:
    name = ".".join(["honewise", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    module = importlib.import_module(name)
    assert any(test.examples for test in doctest.DocTestFinder().find(module))
    assert doctest.testmod(module).failed == 0
