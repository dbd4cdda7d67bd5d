"""The runner on the toy domain: stages in order, each once; what is stored is what is said."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("trl")

from honewise.errors import RecipeError, RunError, UnscoredBudgetExceeded, UserError
from honewise.progress import Silent
from honewise.runs import manifest
from honewise.runs.follow import follow
from honewise.runs.processes import Place
from honewise.runs.run import Run
from honewise.runs.summary import comparisons, results
from honewise.stages import runner
from honewise.stages.runner import run_recipe

RECIPE = """
honewise: 1
name: sums
device: cpu
domain: {use: arithmetic, numbers: 2, largest: 9}
data: {train: {limit: 40}, held_out: {limit: 6}}
policy: {tiny: {layers: 1, width: 32, heads: 2, vocabulary: 300, context: 128}}
rubric: {rewards: {form: 0.5}}
stages:
  sft: {steps: 4, demonstrations: 8, batch: 4, trainer: {learning_rate: 2e-3}}
  rl: {steps: 2, prompts: 2, samples: 3, stop: {every: 1}, trainer: {max_completion_length: 16}}
  more-sft: {stage: sft, from: sft, demonstrations: 8, batch: 4, seconds: as rl}
  evaluate:
    of: [sft, more-sft, rl]
    samples: 3
    controls: [{of: sft, temperature: 0.5}]
    differences: [[rl, more-sft]]
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "sums.yaml"
    path.write_text(RECIPE + f"runs_dir: {tmp_path / 'runs'}\n")
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "sums.yaml"
    path.write_text(RECIPE + f"runs_dir: {folder / 'runs'}\n")
    with run_recipe(path) as run:
        yield run


def test_all_stages_are_done_and_policies_kept(finished: Run) -> None:
    states = finished.store.stages()
    assert [(state.stage, state.kind, state.state) for state in states] == [
        ("sft", "sft", "done"), ("rl", "rl", "done"), ("more-sft", "sft", "done"), ("evaluate", "evaluate", "done"),
    ]  # fmt: skip
    assert [state.steps for state in states[:2]] == [4, 2]
    assert all("held_out/total" in numbers for numbers in finished.store.metrics("rl").values())
    assert set(finished.policy_of) == {"sft", "rl", "more-sft"}
    assert finished.finished
    assert (finished.path / "base" / "model.safetensors").is_file()


def test_the_control_takes_as_long_as_rl(finished: Run) -> None:
    rl, more = finished.store.stage("rl"), finished.store.stage("more-sft")
    assert rl is not None
    assert more is not None
    assert more.steps >= 1
    assert more.seconds >= rl.seconds


def test_rollouts_are_stored(finished: Run) -> None:
    rows = finished.store.rollouts("rl", 1)
    assert len(rows) == 6
    assert [row.group for row in rows] == [0, 0, 0, 1, 1, 1]
    assert len({row.task_id for row in rows}) == 2
    assert set(rows[0].scored.rewards) == {"correct", "digits", "steps", "form"}
    assert rows[0].scored.rewards["form"].weight == 0.5
    assert all(0 <= a < b <= len(row.scored.completion.text) for row in rows for a, b, _ in row.credit)
    assert "Work out" in rows[0].prompt


def test_numbers_can_be_computed_again_from_the_store(finished: Run) -> None:
    """Accuracy and totals by plain SQL, against what the stage wrote."""
    evaluations = finished.store.evaluations("evaluate")
    assert [each.name for each in evaluations] == [
        "sft greedy", "sft t=1", "sft t=0.5", "more-sft greedy", "more-sft t=1", "rl greedy", "rl t=1",
    ]  # fmt: skip
    with sqlite3.connect(finished.path / "run.sqlite") as db:
        for each in evaluations:
            query = "SELECT avg(a), avg(b), count(*), sum(n) FROM (SELECT avg(correct) a, avg(total) b, count(*) n"
            found = db.execute(f"{query} FROM rollouts WHERE evaluation = ? GROUP BY task_id)", (each.id,)).fetchone()
            assert each.metrics["correct"] == pytest.approx(found[0])
            assert each.metrics["total"] == pytest.approx(found[1])
            assert found[2:] == (6, 6 * each.settings["samples"])
            form = db.execute(
                "SELECT avg(value) FROM scores JOIN rollouts ON rollouts.id = rollout"
                " WHERE evaluation = ? AND reward = 'form'", (each.id,),
            ).fetchone()  # fmt: skip
            assert each.metrics["reward/form"] == pytest.approx(form[0])
            assert each.settings["scored"] == each.settings["completions"] == found[3]
    assert [each.settings["control"] for each in evaluations] == [False, False, True, False, False, False, False]
    assert all("metric/accuracy" in each.metrics for each in evaluations)


def test_like_is_compared_with_like(finished: Run) -> None:
    found = {(pair.one, pair.other): pair for pair in finished.store.comparisons() if pair.metric == "correct"}
    assert set(found) == {
        ("more-sft greedy", "sft greedy"), ("more-sft t=1", "sft t=1"), ("rl greedy", "sft greedy"),
        ("rl t=1", "sft t=1"), ("rl greedy", "more-sft greedy"), ("rl t=1", "more-sft t=1"),
        ("more-sft t=1", "sft t=0.5"), ("rl t=1", "sft t=0.5"),
    }  # fmt: skip
    numbers = {each.name: each.metrics["correct"] for each in finished.store.evaluations()}
    for (one, other), pair in found.items():
        assert pair.difference == pytest.approx(numbers[one] - numbers[other])
        assert pair.low <= pair.difference <= pair.high
        assert pair.tasks == 6


def test_tables_and_card_say_it(finished: Run) -> None:
    table = results(finished.store, "evaluate")
    assert table.columns[:4] == ("held-out", "accuracy", "any correct", "total")
    assert [row[0] for row in table.rows][2] == "sft t=0.5 (control)"
    assert table.rows[0][-1] == "6/6"
    assert comparisons(finished.store, "evaluate").rows
    card = (finished.path / "card.md").read_text()
    assert "tiny model" in card
    assert "more-sft (sft): done" in card
    assert "| rl t=1 |" in card


def test_the_manifest_names_the_data(finished: Run) -> None:
    found = manifest.read(finished.path)
    assert found["data"]["train"]["tasks"] == 40
    assert len(found["data"]["held_out"]["sha256"]) == 64
    assert found["device"] == "cpu"
    assert found["stages"]["sft"]["demonstrations"] == 8
    assert [found["stages"][name]["from"] for name in ("sft", "rl", "more-sft")] == ["base", "sft", "sft"]


def test_the_second_run_gets_a_number(finished: Run) -> None:
    with run_recipe(finished.path.parents[1] / "sums.yaml", ["stages={sft: {steps: 1, demonstrations: 4}}"]) as run:
        assert run.name == "sums-2"


def test_a_stage_that_fails_is_named_and_gone_on_with(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ["stages={sft: {steps: 2, demonstrations: 4}, evaluate: {samples: 0}}"]

    def fail(*_: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_evaluate", fail)
        with pytest.raises(RuntimeError, match="the disk is full"):
            run_recipe(recipe_file, small)
    path = recipe_file.parent / "runs" / "sums"
    with Run.open(path) as run:
        state = run.store.stage("evaluate")
        assert state is not None
        assert (state.state, state.reason) == ("failed", "RuntimeError: the disk is full")
    with pytest.raises(RunError, match="--resume"):
        run_recipe(recipe_file, small)
    weights = (path / "stages" / "sft" / "policy" / "model.safetensors").stat().st_mtime_ns
    with run_recipe(recipe_file, small, resume=True) as run:
        assert run.finished
        assert [each.name for each in run.store.evaluations()] == ["sft greedy"]
    assert (path / "stages" / "sft" / "policy" / "model.safetensors").stat().st_mtime_ns == weights


def test_a_resumed_run_refuses_other_data(recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "own.jsonl"
    data.write_text("".join(f'{{"expression": "1 + {n}"}}\n' for n in range(9)))
    small = ["stages={sft: {steps: 1, demonstrations: 4}}", f"data.train.path={data}"]

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_sft", stop)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe_file, small)
    data.write_text("".join(f'{{"expression": "2 + {n}"}}\n' for n in range(9)))
    with pytest.raises(RunError, match=r"data\.train changed since the run began"):
        run_recipe(recipe_file, small, resume=True)
    data.write_text("".join(f'{{"expression": "1 + {n}"}}\n' for n in range(9)))
    with run_recipe(recipe_file, small, resume=True) as run:
        assert run.finished


def test_a_reward_that_was_edited_in_between_is_told_once(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Said(Silent):
        def note(self, line: str) -> None:
            lines.append(line)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    lines: list[str] = []
    mine = tmp_path / "mine.py"
    small = [
        "stages={sft: {steps: 1, demonstrations: 4}}",
        "rubric.rewards={shows: {fn: 'mine.py:shows', weight: 0.1}}",
    ]
    with monkeypatch.context() as patch:
        patch.setattr(runner, "run_sft", stop)
        for version, resume in ((1.0, False), (1.0, True), (0.5, True), (0.5, True)):
            mine.write_text(f"def shows(completion): return {version}\n")
            with pytest.raises(KeyboardInterrupt):
                run_recipe(recipe_file, small, resume=resume, progress=Said())
    told = [line for line in lines if "has changed" in line]
    assert told == [f"rewards: {mine} has changed since the run began; from now on it scores as it is now"]
    with run_recipe(recipe_file, small, resume=True) as run:
        assert len(manifest.read(run.path)["reward_files"][str(mine)]) == 2
        assert f"- rewards from {mine}: **changed while the run was interrupted**" in (run.path / "card.md").read_text()


def test_too_much_unscored_stops_with_a_checkpoint_and_can_go_on(recipe_file: Path, tmp_path: Path) -> None:
    """A reward that works in the first step and fails from then on, until somebody repairs it."""
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\n"
        f"calls = Path({str(tmp_path / 'calls')!r})\n"
        "def flaky(completion):\n"
        "    with calls.open('a') as file:\n"
        "        file.write('x')\n"
        "    if calls.stat().st_size > 6 and not calls.with_name('repaired').exists():\n"
        "        raise OSError('the service is gone')\n"
        "    return 1.0\n"
    )
    changes = [
        "stages={rl: {steps: 3, prompts: 2, samples: 2, trainer: {max_completion_length: 8}}}",
        "rubric.rewards={flaky: {fn: 'mine.py:flaky', weight: 0.1}}",
    ]
    with pytest.raises(UnscoredBudgetExceeded, match="the service is gone"):
        run_recipe(recipe_file, changes)
    path = tmp_path / "runs" / "sums"
    with Run.open(path) as run:
        state = run.store.stage("rl")
        assert state is not None
        assert state.state == "stopped"
        assert "the service is gone" in state.reason
        done = state.steps
    assert done >= 1
    assert (path / "stages" / "rl" / f"checkpoint-{done}").is_dir()
    (tmp_path / "repaired").touch()
    with run_recipe(recipe_file, changes, resume=True) as run:
        assert run.store.steps("rl") == [1, 2, 3]
        assert run.finished


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("stages.sft.demonstrations=41", "41 asked for"),
        ("stages.rl.prompts=41", "only 40 training tasks"),
    ],
)
def test_what_the_data_cannot_give_is_said(recipe_file: Path, change: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        run_recipe(recipe_file, ["stages.sft.steps=1", change])
    assert not (recipe_file.parent / "runs").exists()


def test_a_run_that_could_not_begin_is_not_in_the_way(recipe_file: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        run_recipe(recipe_file, ["policy.path=model"])
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_would_stop_a_later_stage_is_told_before_the_first(recipe_file: Path, tmp_path: Path) -> None:
    changes = [
        "stages.rl.trainer.importance_sampling_level=sequence",
        "stages.again={stage: rl, steps: 1, prompts: 2, samples: 3, trainer: {per_device_train_batch_size: 4}}",
    ]
    with pytest.raises(RecipeError) as caught:
        run_recipe(recipe_file, changes)
    found = {problem.path: problem.message for problem in caught.value.problems}
    assert "importance_sampling_level" in found["stages.rl"]
    assert "does not divide the 6 completions" in found["stages.again"]
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_place_among_processes_that_cannot_be(recipe_file: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(UserError, match="RANK 2 is none of the 2 processes"):
        run_recipe(recipe_file)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(UserError, match="must be whole numbers"):
        run_recipe(recipe_file)
    assert not (tmp_path / "runs").exists()


def test_reading_a_recipe_meets_nobody(recipe_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The trainers' arguments are looked at before the processes have met, by objects that would meet them."""
    import torch

    for name, value in (("WORLD_SIZE", "2"), ("RANK", "1"), ("LOCAL_RANK", "1"), ("MASTER_PORT", "1")):
        monkeypatch.setenv(name, value)
    runner.resolve(recipe_file)
    assert not torch.distributed.is_initialized()


def test_a_run_goes_on_with_as_many_processes(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert manifest.read(finished.path)["processes"] == 1
    monkeypatch.setattr(Run, "close", lambda self: None)
    facts = {"data": manifest.read(finished.path)["data"]}
    runner._same_run(finished, facts, Place(0, 1, 1))
    with pytest.raises(RunError, match="begun by 1 processes and now there are 2"):
        runner._same_run(finished, facts, Place(0, 2, 2))


def test_who_follows_a_run_reads_and_never_writes(finished: Run) -> None:
    followed = follow(finished.path, finished.recipe)
    before = (finished.path / "run.sqlite").read_bytes()
    store = followed.store
    assert store.steps("rl") == [1, 2]
    store.start_stage("rl", "rl", 1)
    store.write_step("rl", 9, {"x": 1.0})
    store.add_metrics("rl", 1, {"x": 1.0})
    store.set_stage("rl", "failed")
    store.write_eval("evaluate", "x", "rl", {}, [], {})
    store.write_comparison("evaluate", "x", "y", "total", difference=0.0, low=0.0, high=0.0, tasks=1)
    assert store.truncate("rl", 0) == 0
    followed.finish("stopped")
    followed.close()
    assert (finished.path / "run.sqlite").read_bytes() == before


def test_nothing_scored_is_not_zero() -> None:
    from honewise.contracts import Cell, Completion, Scored, Task
    from honewise.host import get_host
    from honewise.stages.measure import numbers_of, per_task

    def row(task: str, value: float | None, correct: bool | None) -> Scored:
        cell = Cell(value, unscored=None if value is not None else "gone")
        tasks = Task(task, {"expression": "1 + 2"})
        return Scored(
            tasks, Completion("x", tokens=4), {"r": cell, "never": Cell(None, unscored="gone")}, value, correct
        )

    rows = [row("a", 1.0, True), row("a", None, None), row("b", 0.0, False), row("b", 0.5, False), row("c", None, None)]
    assert per_task(rows, "total") == {"a": 1.0, "b": 0.25}
    found = numbers_of(get_host().domain("arithmetic"), rows)
    assert found["correct"] == 0.5
    assert found["any_correct"] == 0.5
    assert found["reward/r"] == 0.625
    assert found["unscored"] == 0.4
    assert "reward/never" not in found
    assert not any(math.isnan(value) for value in found.values())
