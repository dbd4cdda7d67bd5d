"""Killed anywhere and resumed, training ends with the very same weights, numbers and completions."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from honewise.engine.checkpoints import STATE, newest_checkpoint

SUPPORT = Path(__file__).parents[1] / "support"

RL: dict[str, Any] = {"kind": "rl", "stage": {"steps": 5, "save_every": 2, "keep": 2}}


class Children:
    """Runs in processes of their own; see ``support/resume_child.py``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                       "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
        self.server = subprocess.Popen(
            [sys.executable, str(SUPPORT / "resume_child.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def run(self, settings: dict[str, Any]) -> tuple[int, str]:
        """How it ended, and what it printed."""
        out = self.folder / "out.txt"
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps({**settings, "out": str(out)}) + "\n")
        self.server.stdin.flush()
        return int(self.server.stdout.readline()), out.read_text("utf-8", "replace")

    def outcome(self, settings: dict[str, Any], folder: Path, **more: Any) -> dict[str, Any]:
        code, printed = self.run({**settings, "folder": str(folder), **more})
        assert code == 0, printed[-3000:]
        result: dict[str, Any] = json.loads(printed.splitlines()[-1])
        return result

    def killed_and_resumed(self, settings: dict[str, Any], folder: Path, death: str) -> dict[str, Any]:
        code, printed = self.run({**settings, "folder": str(folder), "die": death})
        assert code == -signal.SIGKILL, printed[-3000:]
        return self.outcome(settings, folder, resume=True)


@pytest.fixture(scope="module")
def children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    made = Children(tmp_path_factory.mktemp("children"))
    yield made
    made.server.terminate()
    made.server.wait(timeout=20)


def changed(**stage: Any) -> dict[str, Any]:
    return {**RL, "stage": {**RL["stage"], **stage}}


# Two iterations over each batch, so that saves fall within one; eight tasks, so that the second epoch begins at step 9.
INNER = changed(steps=6, save_every=3, trainer={"num_iterations": 2})


@pytest.fixture(scope="module")
def whole(children: Children, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return children.outcome(INNER, tmp_path_factory.mktemp("whole"))


LATER = [pytest.param(death, marks=pytest.mark.slow) for death in ("renaming:2", "removing:2", "sampling:1")]


@pytest.mark.parametrize("death", ["sampling:3", "update:4", "saving:2", *LATER])
def test_killed_anywhere(death: str, children: Children, whole: dict[str, Any], tmp_path: Path) -> None:
    """Checkpoint 3 stands in the middle of a batch that is trained on twice."""
    again = children.killed_and_resumed(INNER, tmp_path, death)
    assert again == whole
    assert whole["steps"] == 6
    assert len(whole["numbers"]) == 6
    assert not (tmp_path / "rl" / ".saving").exists()


@pytest.mark.parametrize(
    ("name", "settings", "death"),
    [
        ("second epoch", changed(steps=11, save_every=5), "update:11"),
        ("epoch boundary", changed(steps=6, save_every=4), "update:5"),
        ("lora", {**RL, "lora": True}, "sampling:4"),
        ("lora with dropout", {**RL, "lora": True, "dropout": 0.2}, "sampling:4"),
        ("accumulation", changed(trainer={"per_device_train_batch_size": 2}), "sampling:4"),
        ("within a generation", changed(trainer={"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2},
                                        save_every=3), "update:4"),
        ("reference", changed(trainer={"beta": 0.1}), "sampling:4"),
        ("reference of an adapter", {**changed(trainer={"beta": 0.1}), "lora": True}, "sampling:4"),
        ("an order of its own", changed(steps=6, save_every=4, order={"kind": "word", "weights": dict.fromkeys(
            ("heap", "stack", "queue", "tree", "graph", "list", "array", "map"), 2.0) | {"heap": 9.0}}), "update:6"),
        ("adaptive entropy", changed(trainer={"use_adaptive_entropy": True, "entropy_target": 9.0}), "sampling:4"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)  # fmt: skip
@pytest.mark.slow
def test_every_kind_of_training(
    name: str, settings: dict[str, Any], death: str, children: Children, tmp_path: Path
) -> None:
    uninterrupted = children.outcome(settings, tmp_path / "a")
    resumed = children.killed_and_resumed(settings, tmp_path / "b", death)
    for one in (uninterrupted, resumed):
        one["reference"] = one["reference"] and one["reference"].replace(str(tmp_path / "a"), str(tmp_path / "b"))
    assert resumed == uninterrupted


def test_second_epoch_with_an_adapter(children: Children, tmp_path: Path) -> None:
    """The default suite's share of the table above: an order of an epoch, an adapter, eight tasks at two a step."""
    settings = {**changed(steps=6, save_every=5), "lora": True}
    resumed = children.killed_and_resumed(settings, tmp_path / "b", "update:6")
    assert resumed == children.outcome(settings, tmp_path / "a")


ADAPTIVE = {"coef": 0.2, "controller": "adaptive", "target": 0.01, "unit": "sequence", "horizon": 50}
"""Moves with every batch."""

PPO = changed(algorithm="ppo", steps=8, save_every=3, minibatches=2, kl=ADAPTIVE,
              trainer={"num_iterations": 2, "learning_rate": 1e-2})  # fmt: skip
"""Four updates for each batch that is sampled: checkpoints 3 and 6 stand within one."""

CONSTRAINED = changed(algorithm="rloo", steps=6, save_every=2, kl=ADAPTIVE,
                      constraints={"brief": {"threshold": 0.01, "window": 12}})  # fmt: skip

REFILLED = changed(algorithm="rloo", steps=6, save_every=2, kl=ADAPTIVE, dynamic={"rounds": 2, "low": 0.3, "high": 0.6},
                   chunks=2)  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "death"),
    [
        pytest.param(PPO, "update:5", id="ppo"),
        pytest.param({**changed(**{**PPO["stage"], "critic": {"kind": "trunk"}}), "lora": True}, "update:8",
                     id="ppo-lora-trunk"),
        pytest.param(CONSTRAINED, "sampling:4", id="rloo-multipliers"),
        pytest.param({**REFILLED, "lora": True}, "sampling:4", id="rloo-refilled-lora"),
        pytest.param({**CONSTRAINED, "lora": True}, "update:6", id="rloo-multipliers-lora", marks=pytest.mark.slow),
        pytest.param(changed(**{**PPO["stage"], "critic": {"kind": "trunk"}}), "saving:2", id="ppo-trunk",
                     marks=pytest.mark.slow),
        pytest.param({**PPO, "lora": True}, "sampling:2", id="ppo-lora", marks=pytest.mark.slow),
        pytest.param(changed(algorithm="remax", kl=ADAPTIVE), "sampling:4", id="remax", marks=pytest.mark.slow),
        pytest.param(changed(algorithm="gspo", minibatches=2, steps=6, save_every=3), "update:4", id="gspo",
                     marks=pytest.mark.slow),
    ],
)  # fmt: skip
def test_what_moves_beside_the_weights(
    settings: dict[str, Any], death: str, children: Children, tmp_path: Path
) -> None:
    """The critic, the KL's coefficient, multipliers, old values in the buffer; and the KL is 0 where a stage begins."""
    uninterrupted = children.outcome(settings, tmp_path / "a")
    resumed = children.killed_and_resumed(settings, tmp_path / "b", death)
    for one in (uninterrupted, resumed):
        one["reference"] = one["reference"] and one["reference"].replace(str(tmp_path / "a"), str(tmp_path / "b"))
    assert resumed == uninterrupted
    assert (resumed["critic"] is not None) == (settings["stage"]["algorithm"] == "ppo")
    numbers = resumed["numbers"]
    if "kl" in settings["stage"]:
        assert numbers["1"]["kl/sequence"] == pytest.approx(0, abs=1e-5)
        found = [each["kl/coef"] for each in numbers.values() if "kl/coef" in each]
        assert len(set(found)) == len(found) >= 2, "the coefficient moved"
    if "constraints" in settings["stage"]:
        assert len({each["lambda/brief"] for each in numbers.values()}) == 6
    if "dynamic" in settings["stage"]:
        assert sum(each["dynamic/rounds"] for each in numbers.values()) >= 2, "nothing was replaced"


@pytest.mark.parametrize("stage", [
    {"steps": 9, "save_every": 4, "batch": 3, "trainer": {"learning_rate": 1e-3}},
    {"steps": 9, "save_every": 4, "batch": 4, "trainer": {"per_device_train_batch_size": 2}},
], ids=["ragged epochs", "accumulation"])  # fmt: skip
def test_sft(stage: dict[str, Any], children: Children, tmp_path: Path) -> None:
    settings = {"kind": "sft", "stage": stage}
    whole = children.outcome(settings, tmp_path / "a")
    assert children.killed_and_resumed(settings, tmp_path / "b", "optimizer:7") == whole
    assert len(whole["numbers"]) == 9


def test_rising_thresholds(children: Children, tmp_path: Path) -> None:
    """Three phases of three steps, killed in the third with a checkpoint of the second."""
    stage = {"steps": 9, "save_every": 4, "batch": 4, "trainer": {"learning_rate": 1e-3}}
    settings = {"kind": "sft", "stage": stage, "phases": 3}
    whole = children.outcome(settings, tmp_path / "a")
    assert children.killed_and_resumed(settings, tmp_path / "b", "optimizer:7") == whole
    assert len(whole["numbers"]) == 9
    assert whole["weights"] != children.outcome({"kind": "sft", "stage": stage}, tmp_path / "c")["weights"]


DPO: dict[str, Any] = {"steps": 7, "save_every": 3, "batch": 4, "trainer": {"learning_rate": 1e-3}}


@pytest.mark.parametrize(("changes", "lora"), [
    ({}, False),
    ({"trainer": {"learning_rate": 1e-3}, "nll": 0.1, "target": "prob", "losses": ["sigmoid", "ipo"]}, True),
    pytest.param({"trainer": {"per_device_train_batch_size": 2}}, False, marks=pytest.mark.slow),
    pytest.param({}, True, marks=pytest.mark.slow),
], ids=["full", "lora", "accumulation", "plain lora"])  # fmt: skip
def test_dpo(changes: dict[str, Any], lora: bool, children: Children, tmp_path: Path) -> None:
    """Seven pairs, four a step: epochs are ragged; killed in the fifth step, with a checkpoint of the third."""
    settings = {"kind": "dpo", "stage": {**DPO, **changes}, "lora": lora}
    whole = children.outcome(settings, tmp_path / "a")
    code, printed = children.run({**settings, "folder": str(tmp_path / "b"), "die": "optimizer:5"})
    assert code == -signal.SIGKILL, printed
    newest = newest_checkpoint(tmp_path / "b" / "dpo")
    assert newest is not None
    assert newest.name == "checkpoint-3"
    files = sorted(path for path in (tmp_path / "b" / "dpo" / "reference").rglob("*") if path.is_file())
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    resumed = children.outcome(settings, tmp_path / "b", resume=True)
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert resumed["reference"] == str(tmp_path / "b" / "dpo" / "reference")
    assert {**resumed, "reference": ""} == {**whole, "reference": ""}
    assert len(whole["numbers"]) == 7
    assert whole["numbers"]["1"]["rewards/margins"] == 0.0


@pytest.mark.parametrize(("death", "lora", "folds"), [
    ("optimizer:11", False, 2),  # in the second step of the second fold; the first is there already
    ("optimizer:3", True, None),
    pytest.param("saving:6", False, 2, marks=pytest.mark.slow),  # in the last checkpoint of the second fold
    pytest.param("optimizer:21", False, 2, marks=pytest.mark.slow),  # in the model that is used
    pytest.param("renaming:8", False, 2, marks=pytest.mark.slow),
])  # fmt: skip
def test_reward_model(death: str, lora: bool, folds: int | None, children: Children, tmp_path: Path) -> None:
    """Nine steps each, with a checkpoint every third; weights, numbers and what is held out are the same."""
    stage = {"steps": 9, "save_every": 3, "batch": 4, "folds": folds, "trainer": {"learning_rate": 1e-3}}
    settings = {"kind": "reward", "stage": stage, "lora": lora}
    whole = children.outcome(settings, tmp_path / "a")
    assert whole["steps"] == (27 if folds else 9)
    assert whole["numbers"][str(whole["steps"])]["held_out/pairs"] == (7 if folds else 1)
    resumed = children.killed_and_resumed(settings, tmp_path / "b", death)
    assert resumed == whole
    assert not list((tmp_path / "b" / "reward").glob(".[a-z]*"))
    states = [path.read_bytes() for path in sorted((tmp_path / "a" / "reward" / "model").rglob("*.safetensors"))]
    again = [path.read_bytes() for path in sorted((tmp_path / "b" / "reward" / "model").rglob("*.safetensors"))]
    assert len(states) == 1 + (folds or 0)
    assert again == states


ROUNDS: dict[str, Any] = {
    "rounds": {"count": 3, "prompts": 4, "samples": 3, "sampled_at_once": 6, "rule": "all"},
    "steps": 2, "batch": 4, "save_every": 100, "trainer": {"learning_rate": 1e-2},
}  # fmt: skip


@pytest.mark.parametrize(("death", "reference", "lora", "sampled"), [
    ("chunk:4", "moved", False, 3),  # in the second chunk of the second round: one of six is left of it, and two
    ("optimizer:4", "moved", True, 2),  # in the second step of the second round, whose checkpoint is the first's end
    pytest.param("chunk:1", "fixed", False, 6, marks=pytest.mark.slow),
    pytest.param("optimizer:2", "fixed", True, 4, marks=pytest.mark.slow),
    pytest.param("saving:2", "moved", False, 2, marks=pytest.mark.slow),
    pytest.param("removing:3", "moved", True, 0, marks=pytest.mark.slow),
])  # fmt: skip
def test_rounds(death: str, reference: str, lora: bool, sampled: int, children: Children, tmp_path: Path) -> None:
    """Two chunks of completions, then two steps, in each of three rounds; what is sampled stays sampled."""
    stage = {**ROUNDS, "rounds": {**ROUNDS["rounds"], "reference": reference}}
    settings = {"kind": "dpo", "stage": stage, "lora": lora}
    whole = children.outcome(settings, tmp_path / "a")
    assert whole["sampled"] == 6
    assert whole["steps"] == 6
    resumed = children.killed_and_resumed(settings, tmp_path / "b", death)
    assert resumed["sampled"] == sampled
    assert {**resumed, "reference": "", "sampled": 6} == {**whole, "reference": ""}
    numbers = whole["numbers"]
    assert sorted(map(int, numbers)) == list(range(1, 13))
    assert [step for step in range(1, 13) if "loss" in numbers[str(step)]] == [3, 4, 7, 8, 11, 12]
    begins = [numbers[str(step)]["rewards/margins"] for step in (3, 7, 11)]
    assert begins[0] == 0.0
    assert all((value == 0.0) == (reference == "moved") for value in begins[1:])


def test_ctrl_c_between_chunks_keeps_them(children: Children, tmp_path: Path) -> None:
    settings = {"kind": "dpo", "stage": ROUNDS}
    whole = children.outcome(settings, tmp_path / "a")
    code, printed = children.run({**settings, "folder": str(tmp_path / "b"), "die": "interrupt-chunk:3"})
    assert code != 0
    assert printed.rstrip().endswith("KeyboardInterrupt")
    resumed = children.outcome(settings, tmp_path / "b", resume=True)
    assert resumed["sampled"] == 3
    assert {**resumed, "reference": "", "sampled": 6} == {**whole, "reference": ""}


def test_ctrl_c_saves_and_the_run_goes_on(children: Children, whole: dict[str, Any], tmp_path: Path) -> None:
    code, printed = children.run({**INNER, "folder": str(tmp_path), "die": "interrupt:2"})
    assert code != 0
    assert printed.rstrip().endswith("KeyboardInterrupt")
    newest = newest_checkpoint(tmp_path / "rl")
    assert newest is not None
    assert newest.name == "checkpoint-3", "the step in which it was asked is finished"
    assert children.outcome(INNER, tmp_path, resume=True) == whole


@pytest.mark.parametrize(
    "step", [pytest.param(5, id="first of an epoch"), pytest.param(6, id="within an epoch", marks=pytest.mark.slow)]
)
def test_too_many_unscored_saves_and_the_run_goes_on(step: int, children: Children, tmp_path: Path) -> None:
    """Once the judge is back, the run ends as if it had never been away."""
    settings = changed(steps=7, save_every=100)
    code, printed = children.run({**settings, "folder": str(tmp_path / "b"), "die": f"budget:{step}"})
    assert code == 1
    assert printed.rstrip().endswith("UnscoredBudgetExceeded: as if no judge had answered")
    newest = newest_checkpoint(tmp_path / "b" / "rl")
    assert newest is not None
    assert newest.name == f"checkpoint-{step - 1}"
    resumed = children.outcome(settings, tmp_path / "b", resume=True)
    assert resumed == children.outcome(settings, tmp_path / "a")


def test_only_complete_checkpoints_are_chosen(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "nowhere") is None
    for step, complete in ((2, True), (10, True), (12, False)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if complete:
            (folder / STATE).touch()
    (tmp_path / ".saving" / "checkpoint-14").mkdir(parents=True)
    (tmp_path / "checkpoint-x").mkdir()
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    assert newest.name == "checkpoint-10"
    assert not (tmp_path / ".saving").exists()


def test_the_reference_is_not_touched_by_a_resume(children: Children, tmp_path: Path) -> None:
    settings = changed(steps=3, save_every=1, trainer={"beta": 0.1})
    code, printed = children.run({**settings, "folder": str(tmp_path), "die": "sampling:3"})
    assert code == -signal.SIGKILL, printed
    files = sorted(path for path in (tmp_path / "rl" / "reference").rglob("*") if path.is_file())
    before = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    result = children.outcome(settings, tmp_path, resume=True)
    assert result["reference"] == str(tmp_path / "rl" / "reference")
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in files] == before
    assert result["numbers"]["1"]["kl"] == 0.0
    assert result["numbers"]["3"]["kl"] > 0.0
