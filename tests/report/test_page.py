"""The page of a run: complete, self-contained, and unmoved by what models write."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import HOSTILE, RIGHT_TO_LEFT, cell, fill, make_run, scored

from honewise import cli, report
from honewise.errors import RunError
from honewise.report.rollouts import browser_data, chosen, embed
from honewise.runs.rows import RolloutRow
from honewise.runs.run import Run


class Page(HTMLParser):
    """Elements with attributes, the text of each, and the contents of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._in = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._in = tag
        if tag in self.raw:
            self.raw[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in in self.raw:
            self.raw[self._in][-1] += data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw["script"][0])
        return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fill(make_run(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(report.render(run))


def test_it_asks_for_nothing_outside_itself(page: Page) -> None:
    for tag, attributes in page.elements:
        assert tag not in {"img", "iframe", "object", "embed", "link", "base", "audio", "video"}, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in {"href", "src", "action", "srcset", "xlink:href"}:
                assert (value or "").startswith("#"), (tag, name, value)
    style, script = page.raw["style"][0], page.raw["script"][1]
    assert not re.search(r"url\(|@import|@font-face", style)
    assert not re.search(
        r"\bfetch\(|XMLHttpRequest|import\(|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", script
    )
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")


def test_the_browser_is_told_to_run_only_what_we_wrote(page: Page) -> None:
    (policy,) = (
        a["content"] for t, a in page.elements if t == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for kind, text in (("style", page.raw["style"][0]), ("script", page.raw["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert "unsafe" not in policy


def test_hostile_text_stays_text(run: Run, page: Page) -> None:
    assert len(page.raw["script"]) == 2
    source = report.render(run)
    assert "<img" not in source
    assert source.count("</script>") == 2
    assert "\u2028" not in page.raw["script"][0]
    texts = [row[6] for row in page.data["rows"]]
    assert HOSTILE in texts
    assert RIGHT_TO_LEFT in texts
    strings = page.data["strings"]
    assert HOSTILE in strings  # task id, prompt, feedback and a label share one entry
    assert f"timeout {HOSTILE}" in strings
    assert " ".join(f"timeout {HOSTILE}".split()) in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "49" not in re.findall(r"\b49\b", HOSTILE)


@pytest.mark.parametrize(
    "text", [HOSTILE, "<!--<script>", "]]>", "\u2028", "\ud800", "\x00\x1b", '"\\', "</SCRIPT >", "&lt;/script&gt;"]
)
def test_embedded_json_is_inert_and_comes_back(text: str) -> None:
    inside = embed({"text": text})
    assert not set("<>&\u2028\u2029") & set(inside)
    assert json.loads(inside) == {"text": text}


def test_every_name_may_be_hostile(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.store.start_stage(HOSTILE, "rl", 0)
    for step in (1, 2):
        rows = [RolloutRow(scored("x", {HOSTILE: cell(1.0)}, correct=True))]
        run.store.write_step(HOSTILE, step, {HOSTILE: 1.0}, rows)
    run.store.set_stage(HOSTILE, "failed", reason=HOSTILE)
    run.store.start_stage("evaluate", "evaluate", 1)
    run.store.write_eval("evaluate", HOSTILE, HOSTILE, {}, [], {"correct": 0.5, f"reward/{HOSTILE}": 1.0})
    page = Page(report.render(run))
    assert len(page.raw["script"]) == 2
    assert not [tag for tag, _ in page.elements if tag == "img"]
    assert page.text.count("onerror=") >= 4


def test_right_to_left_text_is_left_to_the_browser(page: Page) -> None:
    script = page.raw["script"][1]
    assert 'box.dir = "auto"' in script
    assert any(t == "input" and a.get("type") == "search" and a.get("dir") == "auto" for t, a in page.elements)
    row = next(row for row in page.data["rows"] if row[6] == RIGHT_TO_LEFT)
    start, end = row[13][1][7][:2]
    assert RIGHT_TO_LEFT[start:end] == "👩‍🔬"  # characters, where JavaScript would count 5 units


def test_results_stand_with_their_intervals(page: Page) -> None:
    assert "25.0 % → 75.0 %" in page.text
    assert "sft → rl: +50.0 points [+25.0, +75.0] over 4 tasks" in page.text
    assert [t for t, a in page.elements if a.get("class") == "whisker"] == ["svg", "svg"]


def test_controls_are_marked_and_never_the_headline(tmp_path: Path) -> None:
    run = fill(make_run(tmp_path))
    settings = {"temperature": 0.3, "samples": 4, "control": True, "scored": 16, "completions": 16}
    run.store.write_eval("evaluate", "sft t=0.3", "sft", settings, [], {"correct": 0.5})
    run.store.write_comparison(
        "evaluate", "rl greedy", "sft t=0.3", "correct", difference=0.25, low=-0.1, high=0.5, tasks=4
    )
    page = Page(report.render(run))
    assert "sft t=0.3 control" in page.text
    assert page.text.count("→") == 2 * 1
    assert "rl greedy sft t=0.3 accuracy +25.0 points −10.0 to +50.0 4" in page.text


def test_curves_and_reasons_and_times_are_there(page: Page) -> None:
    names = [a["aria-label"].split(" over steps")[0] for t, a in page.elements if t == "svg" and a.get("data-points")]  # type: ignore[union-attr]
    assert names == [
        *("loss", "grad_norm"),
        *("total", "accuracy", "execution", "linking", "tokens", "unscored", "loss", "kl", "clip_ratio/region_mean"),
    ]
    assert f"rl execution timeout {' '.join(HOSTILE.split())} 1 of 8 12.5 %" in page.text
    assert "execution 7 2.0 ms 5.0 s 5.0 s" in page.text


def test_a_run_without_anything_yet_has_a_page(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    page = Page(report.render(run))
    assert "made-by-hand" in page.text
    assert "running" in page.text
    assert len(page.raw["script"]) == 1
    run.store.start_stage("sft", "sft", 0)
    run.store.write_step("sft", 1, {"loss": 1.0, "odd": float("nan")})
    run.store.set_stage("sft", "stopped", reason="interrupted")
    assert "sft" in Page(report.render(run)).text


def test_whole_groups_are_left_out_and_it_says_so(run: Run) -> None:
    every = run.store.rollouts()
    some = chosen(every, 8)
    assert 6 <= len(some) <= 10
    for row in some:
        whole = [
            r
            for r in every
            if (r.stage, r.step, r.evaluation, r.group) == (row.stage, row.step, row.evaluation, row.group)
        ]
        assert all(one in some for one in whole)
    assert {row.stage for row in some} == {"rl", "evaluate"}
    assert chosen(every, 0) == chosen(every, len(every)) == every
    assert "of 16, whole groups evenly spread over the run" in Page(report.render(run, rollouts=8)).text


def test_what_the_browser_reads_is_what_was_scored(run: Run) -> None:
    (row,) = [r for r in run.store.rollouts() if r.task_id == HOSTILE]
    data = browser_data([row], lambda row: "here")
    (packed,) = data["rows"]
    assert packed[:6] == [0, 1, data["strings"].index(HOSTILE), data["strings"].index(HOSTILE), 0, 0]
    assert packed[6:13] == [HOSTILE, 0.25, 0, 5, 0, -0.5, 0]
    cells = {data["rewards"][c[0]]: c for c in packed[13]}
    assert cells["execution"][1:3] == [0, 3]
    spans = cells["linking"][7]
    assert [spans[i : i + 3] for i in range(0, len(spans), 4)] == [[0, 4, 0.5], [2, 6, 0.25], [6, 8, -0.5]]
    assert data["strings"][spans[3]] == "SELECT"
    assert packed[15] == [0, 2, 0.5, 6, 8, -0.25]


def test_the_command_finds_a_run_by_name_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(make_run(tmp_path / "runs")).close()
    monkeypatch.chdir(tmp_path)
    for name in ("made-by-hand", "runs/made-by-hand"):
        with pytest.raises(SystemExit) as left:
            cli.main(["report", name, "--completions", "4"])
        assert not left.value.code
        assert capsys.readouterr().out == "runs/made-by-hand/report.html\n"
    assert "made-by-hand" in (tmp_path / "runs/made-by-hand/report.html").read_text("utf-8")
    with pytest.raises(SystemExit) as left:
        cli.main(["report", "made-by-hnad"])
    assert left.value.code == 2
    assert "no run 'made-by-hnad'; did you mean 'made-by-hand'?" in capsys.readouterr().err


def test_a_page_replaces_no_file_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(make_run(tmp_path / "runs")).close()
    monkeypatch.chdir(tmp_path)
    store = Path("runs/made-by-hand/run.sqlite")
    before = store.read_bytes()
    with pytest.raises(SystemExit) as left:
        cli.main(["report", "made-by-hand", "--out", str(store)])
    assert left.value.code == 2
    assert f"--out {store}: is a file of the run itself, which would be lost" in capsys.readouterr().err
    assert store.read_bytes() == before


def test_a_page_that_cannot_be_written_leaves_none_behind(run: Run, tmp_path: Path) -> None:
    with pytest.raises((OSError, RunError)):
        report.write(run, tmp_path / "missing" / "report.html")
    assert report.write(run, tmp_path / "page.html") == tmp_path / "page.html"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_without_jinja2_it_says_what_to_install(run: Run) -> None:
    code = (
        "import sys; sys.modules['jinja2'] = None\n"
        "from honewise import report\nfrom honewise.runs.run import Run\n"
        f"report.render(Run.open({str(run.path)!r}))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (
        "MissingExtra: a report needs packages that are not installed; run: pip install 'honewise[train]'"
        in ended.stderr
    )
