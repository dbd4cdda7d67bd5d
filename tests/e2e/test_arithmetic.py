"""The toy domain from the command line to the report: whole, stopped by hand, killed, resumed, and done twice."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("trl")

from commands import begin, finish

from honewise.errors import RunError
from honewise.runs.store import Store

FRACTION = (
    "data.held_out.limit=8",
    "policy.tiny={layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}",
    "stages.sft.steps=6",
    "stages.rl.steps=8",
    "stages.rl.prompts=2",
    "stages.rl.samples=4",
    "stages.rl.save_every=2",
    "stages.rl.trainer={max_completion_length: 16, num_iterations: 2, learning_rate: 1e-3}",  # samples every other step
    "stages.evaluate.samples=2",
)


def start(folder: Path, *more: str, changes: Sequence[str] = FRACTION) -> subprocess.Popen[str]:
    return begin(folder, "run", "arithmetic/quickstart", *changes, *more)


def wait_for_step(process: subprocess.Popen[str], store: Path, step: int) -> None:
    """Until the `rl` stage has stored a step. Reads beside the writer, which must not mind."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        assert process.poll() is None, finish(process)
        try:
            with Store(store, readonly=True) as reader:
                if any(done >= step for done in reader.steps("rl")):
                    return
        except RunError:
            pass  # not there yet
        time.sleep(0.02)
    raise AssertionError(f"step {step} was never stored")


def weights(folder: Path, stage: str = "rl") -> str:
    files = sorted((folder / "runs/sums-quickstart/stages" / stage / "policy").glob("*.safetensors"))
    assert files
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """An uninterrupted run: its folder and what was said."""
    folder = tmp_path_factory.mktemp("whole")
    code, out, err = finish(start(folder))
    assert code == 0, err
    return folder, out, err


def test_the_whole_recipe_ends_with_before_and_after(whole: tuple[Path, str, str]) -> None:
    folder, out, err = whole
    run = folder / "runs/sums-quickstart"
    for row in ("sft greedy", "sft t=1", "rl greedy", "rl t=1", "rl t=1 - sft t=1"):
        assert row in out
    assert "accuracy" in out
    assert f"report: {Path('runs/sums-quickstart/report.html')}" in out
    page = (run / "report.html").read_text("utf-8")
    assert "sums-quickstart" in page
    assert (run / "card.md").is_file()
    assert (run / "recipe.yaml").is_file()
    told = [line.split() for line in err.splitlines()]
    assert ["step", "total", "correct", "digits", "steps", "form"] in told
    assert [line[0] for line in told if len(line) == 6 and line[0].isdecimal()] == ["1", "3", "5", "7"]
    with Store(run / "run.sqlite", readonly=True) as store:
        assert store.fact("state") == "finished"
        assert store.steps("rl") == list(range(1, 9))
        assert all(state.state == "done" for state in store.stages())


def test_stopped_by_hand_then_killed_it_ends_with_the_same_weights(
    whole: tuple[Path, str, str], tmp_path: Path
) -> None:
    store = tmp_path / "runs/sums-quickstart/run.sqlite"
    process = start(tmp_path)
    wait_for_step(process, store, 1)
    os.kill(process.pid, signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err
    (line,) = [line.strip() for line in err.splitlines() if line.endswith(" --resume")]
    assert line.startswith("honewise run arithmetic/quickstart ")
    assert all(change.split("=")[0] in line for change in FRACTION)

    code, _, err = finish(start(tmp_path))
    assert code == 2
    assert "is not finished" in err
    assert "--resume" in err

    process = start(tmp_path, "--resume")
    with Store(store, readonly=True) as reader:
        before = len(reader.steps("rl"))
    wait_for_step(process, store, before + 2)
    os.killpg(process.pid, signal.SIGKILL)
    finish(process)

    code, out, err = finish(start(tmp_path, "--resume"))
    assert code == 0, err
    assert "rl greedy" in out
    assert weights(tmp_path) == weights(whole[0])
    with (
        Store(store, readonly=True) as ours,
        Store(whole[0] / "runs/sums-quickstart/run.sqlite", readonly=True) as other,
    ):
        assert ours.steps("rl") == other.steps("rl")
        texts = [[row.scored.completion.text for row in each.rollouts("rl")] for each in (ours, other)]
        assert texts[0] == texts[1]
        numbers = [{each.name: each.metrics for each in one.evaluations()} for one in (ours, other)]
        assert numbers[0] == numbers[1]


def test_a_finished_name_gets_a_number_and_nothing_is_overwritten(whole: tuple[Path, str, str]) -> None:
    folder = whole[0]
    files = [path for path in (folder / "runs/sums-quickstart").rglob("*") if path.is_file()]
    before = {path: path.stat().st_mtime_ns for path in files if not path.name.endswith(("-shm", "-wal"))}
    short = ("stages={sft: {steps: 1, demonstrations: 4, batch: 2}}", "policy.tiny={layers: 1, width: 32, heads: 2}")
    code, out, err = finish(start(folder, changes=short))
    assert code == 0, err
    assert (folder / "runs/sums-quickstart-2/card.md").is_file()
    assert "sums-quickstart-2" in out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    code, _, err = finish(start(folder, "--resume", changes=short))
    assert code == 2
    assert "is finished" in err
