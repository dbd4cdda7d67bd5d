"""The page's script in a real browser, where one is installed: colours, filters, and nothing executed."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import HOSTILE, RIGHT_TO_LEFT, fill, fill_large, make_run

from honewise import report
from honewise.runs.run import Run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]


class Drawn(HTMLParser):
    """What the browser made of the page: the completions, their marked pieces, the line with the count."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.items: list[str] = []
        self.marks: list[tuple[int, str, str]] = []
        self.count = ""
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag == "pre" and given.get("class") == "text":
            self.items.append("")
            self._open = ["pre"]
        elif tag == "mark":
            self.marks.append((len(self.items) - 1, given.get("class") or "", ""))
            self._open.append("mark")
        elif given.get("id") == "count":
            self._open = ["count"]

    def handle_endtag(self, tag: str) -> None:
        if self._open and (tag == self._open[-1] or self._open[-1] == "count"):
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[0] == "pre":
            self.items[-1] += data
            if self._open[-1] == "mark":
                item, kind, text = self.marks[-1]
                self.marks[-1] = (item, kind, text + data)
        elif self._open == ["count"]:
            self.count += data


def draw(run: Run, folder: Path, **filters: str) -> Drawn:
    """Open the page from a file, set filters by their ids, and read what stands there."""
    page = report.render(run)
    if filters:  # a script of the test's own, which the page's policy would refuse
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
        lines = [f"document.getElementById('f-{name}').value = {value!r};" for name, value in filters.items()]
        lines.append("document.getElementById('filters').dispatchEvent(new Event('input'));")
        page = page.replace("</body>", f"<script>{' '.join(lines)}</script></body>")
    file = folder / "page.html"
    file.write_text(page, "utf-8")
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"]
    ended = subprocess.run([*command, file.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    return Drawn(ended.stdout)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fill(make_run(tmp_path_factory.mktemp("runs")))


def test_text_is_shown_as_it_is_and_coloured_where_it_earned(run: Run, tmp_path: Path) -> None:
    drawn = draw(run, tmp_path)
    assert "img" not in drawn.tags
    assert drawn.count.startswith("16 of 16 completions")
    assert drawn.items[0] == HOSTILE
    assert drawn.items[1] == RIGHT_TO_LEFT
    first = [(kind.split()[0], text) for item, kind, text in drawn.marks if item == 0]
    # spans [0, 4) +.5, [2, 6) +.25 and [6, 8) -.5
    assert first == [("paid", "</"), ("paid", "sc"), ("paid", "ri"), ("charged", "pt")]
    assert [text for item, _, text in drawn.marks if item == 1] == ["👩‍🔬"]


def test_colour_by_one_reward_or_as_trained(run: Run, tmp_path: Path) -> None:
    assert draw(run, tmp_path, colour="0").marks == []
    trained = [(kind.split()[0], text) for _, kind, text in draw(run, tmp_path, colour="trained").marks]
    assert trained == [("paid", "</"), ("charged", "pt")]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"state": "unscored"}, 1),
        ({"state": "gated"}, 1),
        ({"state": "charged"}, 1),
        ({"state": "spans"}, 3),
        ({"correct": "0"}, 5),
        ({"correct": "null"}, 2),
        ({"step": "2"}, 4),
        ({"step": "1-2"}, 8),
        ({"source": "1"}, 4),
        ({"reward": "1"}, 8),
        ({"text": "תשובה"}, 1),
        ({"text": "select 1"}, 2),
        ({"text": "onerror"}, 1),
        ({"text": "nowhere to be found"}, 0),
    ],
    ids=str,
)
def test_filters(run: Run, tmp_path: Path, filters: dict[str, str], found: int) -> None:
    assert draw(run, tmp_path, **filters).count.startswith(f"{found} of 16 completions")


def test_order_puts_what_has_no_total_last(run: Run, tmp_path: Path) -> None:
    up = draw(run, tmp_path, order="up", source="0").items
    assert up[0] == "nothing was written"
    assert up[-1] == "SELECT 1"
    assert draw(run, tmp_path, order="down", source="0").items[0] == "SELECT 3"


def test_ten_thousand_completions_are_drawn_a_few_at_a_time(tmp_path: Path) -> None:
    drawn = draw(fill_large(make_run(tmp_path), 20, 500, length=60), tmp_path)
    assert drawn.count.startswith("10000 of 10000 completions")
    assert 20 <= len(drawn.items) <= 200
