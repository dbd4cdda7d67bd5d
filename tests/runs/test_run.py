"""Run folders: names, locks, resuming, and nothing overwritten."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from honewise.errors import RunError
from honewise.recipes.schema import Recipe
from honewise.runs import manifest
from honewise.runs.run import Run, resume_command, stage_seed
from honewise.runs.store import Store


def recipe(runs: Path, **changes: Any) -> Recipe:
    stages = {"sft": {"stage": "sft", "steps": 3}, "rl": {"stage": "rl", "trainer": {"hub_token": "hf_secret"}}}
    base = {"honewise": 1, "name": "try", "domain": {"use": "arithmetic"}, "policy": {"tiny": {}}, "stages": stages}
    return Recipe.model_validate({**base, "runs_dir": str(runs), **changes})


def test_a_finished_name_gets_a_number_and_nothing_is_overwritten(tmp_path: Path) -> None:
    names = []
    for count in range(3):
        with Run.create(recipe(tmp_path)) as run:
            (run.path / "mine.txt").write_text(str(count))
            run.finish()
            names.append(run.name)
    assert names == ["try", "try-2", "try-3"]
    assert [(tmp_path / name / "mine.txt").read_text() for name in names] == ["0", "1", "2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_an_unfinished_name_stops_with_the_line_that_goes_on(tmp_path: Path) -> None:
    with Run.create(recipe(tmp_path)) as run:
        run.finish()
    Run.create(recipe(tmp_path)).close()
    with pytest.raises(RunError) as caught:
        Run.create(recipe(tmp_path), command="honewise run r.yaml seed=1")
    assert str(tmp_path / "try-2") in str(caught.value)
    assert "\n  honewise run r.yaml seed=1 --resume\n" in str(caught.value)


def test_resume_opens_the_unfinished_one(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing to resume"):
        Run.resume(recipe(tmp_path))
    with Run.create(recipe(tmp_path)) as run:
        run.finish()
    with pytest.raises(RunError, match="is finished"):
        Run.resume(recipe(tmp_path))
    with Run.create(recipe(tmp_path)) as run:
        run.store.write_step("rl", 1, {"a": 1})
    with Run.resume(recipe(tmp_path)) as run:
        assert run.name == "try-2"
        assert run.store.steps("rl") == [1]
        assert not run.finished


def test_a_resumed_run_is_the_run_that_began(tmp_path: Path) -> None:
    Run.create(recipe(tmp_path)).close()
    with pytest.raises(RunError) as caught:
        Run.resume(recipe(tmp_path, seed=7, device="cpu"))
    assert "seed: 0 there, 7 now" in str(caught.value)
    assert "device: auto there, cpu now" in str(caught.value)
    with Run.resume(recipe(tmp_path, rubric={"max_unscored": 0.5})) as run:
        assert run.recipe.rubric.max_unscored == 0.5
        assert manifest.read(run.path)["resumed_with"] == {"rubric.max_unscored": 0.5}


def test_two_processes_cannot_work_on_one_run(tmp_path: Path) -> None:
    with Run.create(recipe(tmp_path)) as run:
        with pytest.raises(RunError, match="another process is at work"):
            Run.resume(recipe(tmp_path))
        with Run.open(run.path) as reader:
            run.store.write_step("rl", 1, {"a": 1})
            assert reader.store.steps("rl") == [1]
    Run.resume(recipe(tmp_path)).close()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    Run.create(recipe(tmp_path)).close()
    code = (
        "import sys, time\nfrom honewise.runs.run import Run\n"
        "run = Run._writable(__import__('pathlib').Path(sys.argv[1]))\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "try")], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "ready\n"
    with pytest.raises(RunError, match="another process"):
        Run.resume(recipe(tmp_path))
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    Run.resume(recipe(tmp_path)).close()


def test_what_is_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "try").mkdir()
    (tmp_path / "try" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunError, match="is in the way"):
        Run.create(recipe(tmp_path))
    assert (tmp_path / "try" / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["try"]
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make a run folder"):
        Run.create(recipe(tmp_path / "file"))


def test_names_that_only_look_alike_do_not_count(tmp_path: Path) -> None:
    for name in ("try-1", "try-02", "try-x", "try-2-3", "tryst"):
        (tmp_path / name).mkdir()
    with Run.create(recipe(tmp_path)) as run:
        assert run.name == "try"


def test_a_run_that_could_not_begin_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr(Store, "set_fact", fail)
    with pytest.raises(RuntimeError):
        Run.create(recipe(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_the_manifest_says_versions_and_hides_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with Run.create(recipe(tmp_path), facts={"data": {"train": {"tasks": 3}}}) as run:
        text = (run.path / "manifest.json").read_text() + (run.path / "recipe.yaml").read_text()
    found = json.loads((tmp_path / "try" / "manifest.json").read_text())
    assert found["versions"]["honewise"]
    assert found["versions"]["pydantic"]
    assert found["hardware"]["cores"] >= 1
    assert found["seed"] == 0
    assert found["data"] == {"train": {"tasks": 3}}
    assert "sk-very-secret" not in text
    assert "hf_secret" not in text
    Run.resume(recipe(tmp_path)).close()


def test_open_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path)


def test_stage_seeds_differ_and_stay() -> None:
    assert stage_seed(0, "rl") == stage_seed(0, "rl")
    assert len({stage_seed(seed, stage) for seed in range(3) for stage in ("sft", "rl", "more-sft")}) == 9
    assert 0 <= stage_seed(0, "rl") < 2**31


def test_resume_command_is_said_once() -> None:
    assert resume_command("honewise run 'my recipe.yaml'") == "honewise run 'my recipe.yaml' --resume"
    assert resume_command("honewise run a --resume") == "honewise run a --resume"
