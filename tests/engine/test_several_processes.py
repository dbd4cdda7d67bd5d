"""Two processes do what one does: the same advantages, gradients, coefficients and completions, up to rounding.

Completions are given, since one that is drawn differently would hide everything else; the rest is as a launcher starts
it, with gloo between the processes and DistributedDataParallel around the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from ranks import Ranks
from torch import Tensor

from honewise.engine.actor_critic import NAME

SGD = {"optim": "sgd", "learning_rate": 0.5, "lr_scheduler_type": "constant"}
ADAPTIVE = {"coef": 0.2, "controller": "adaptive", "target": 0.01, "unit": "sequence", "horizon": 50}
PPO: dict[str, Any] = {
    "algorithm": "ppo", "prompts": 4, "steps": 3, "kl": ADAPTIVE, "estimator_options": {"whitened": "batch"},
    "trainer": {**SGD, "num_iterations": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ranks]:
    made = Ranks(tmp_path_factory.mktemp("ranks"))
    yield made
    made.close()


def apart(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    """The largest difference, relative to the largest value."""
    assert set(one) == set(other)
    biggest = max(float(value.abs().max()) for value in other.values())
    return max(float((value - other[name]).abs().max()) for name, value in one.items()) / biggest


CASES = [
    pytest.param({"stage": {"prompts": 4, "trainer": SGD}}, id="grpo"),
    pytest.param({"stage": PPO}, id="ppo"),
    pytest.param({"stage": {**PPO, "critic": {"kind": "trunk"}}, "lora": True}, id="ppo-lora-trunk",
                 marks=pytest.mark.slow),
    pytest.param({"stage": {**PPO, "trainer": {**PPO["trainer"], "loss_type": "dapo",
                                               "ddp_find_unused_parameters": False}}},
                 id="ppo-dapo-all-parameters-used", marks=pytest.mark.slow),
    pytest.param({"stage": {"algorithm": "rloo", "prompts": 4, "kl": {"coef": 0.2, "where": "loss", "estimator": "k2"},
                            "constraints": {"brief": {"threshold": 0.01}},
                            "trainer": {**SGD, "loss_type": "grpo", "per_device_train_batch_size": 4}}},
                 id="rloo-kl-in-the-loss-constraint"),
    pytest.param({"stage": {"algorithm": "remax", "prompts": 4, "trainer": SGD}}, id="remax"),
]  # fmt: skip


PAIRED: dict[str, Any] = {"batch": 4, "steps": 4, "trainer": SGD}
PAIRS = [
    pytest.param({"kind": "dpo", "stage": {**PAIRED, "losses": {"sigmoid": 1.0, "hinge": 0.5}}}, id="dpo"),
    pytest.param({"kind": "dpo", "stage": {**PAIRED, "target": "prob", "nll": 0.1, "trainer":
                  {**SGD, "per_device_train_batch_size": 1}}, "lora": True, "weighted": True},
                 id="dpo-lora-weights-accumulated", marks=pytest.mark.slow),
    pytest.param({"kind": "rounds", "stage": {"batch": 4, "steps": 2, "rounds": {
                  "count": 2, "samples": 4, "prompts": 6, "max_new_tokens": 12, "sampled_at_once": 16,
                  "reference": "moved"}, "trainer": {**SGD, "learning_rate": 0.05}}}, id="rounds"),
    pytest.param({"kind": "reward-model", "stage": {"batch": 4, "folds": 2, "steps": 2, "loss": "bradley-terry",
                  "trainer": SGD}}, id="reward-model", marks=pytest.mark.slow),
]  # fmt: skip


@pytest.mark.parametrize("settings", PAIRS)
def test_two_processes_make_and_learn_pairs_as_one(settings: dict[str, Any], ranks: Ranks, tmp_path: Path) -> None:
    (one,) = ranks.train(tmp_path / "one", 1, settings)
    first, second = ranks.train(tmp_path / "two", 2, settings)
    assert one["texts"] == first["texts"] == second["texts"]
    assert bool(one["texts"]) == (settings["kind"] == "rounds")
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), f"{name} differs between the processes"
    assert apart(first["gradients"], one["gradients"]) < 5e-6
    assert apart(first["weights"], one["weights"]) < 5e-6
    assert first["numbers"].keys() == one["numbers"].keys()
    for step, numbers in one["numbers"].items():
        for name, value in numbers.items():
            if name not in PER_PASS:
                assert first["numbers"][step][name] == pytest.approx(value, rel=5e-4, abs=5e-6), (step, name)


@pytest.mark.parametrize("settings", CASES)
def test_two_processes_agree_with_one(settings: dict[str, Any], ranks: Ranks, tmp_path: Path) -> None:
    remax = settings["stage"].get("algorithm") == "remax"
    settings = {**settings, "given": not remax}  # greedy completions are the sampler's own
    (one,) = ranks.train(tmp_path / "one", 1, settings)
    first, second = ranks.train(tmp_path / "two", 2, settings)
    assert one["texts"] == first["texts"]
    assert len(set(map(len, one["texts"]))) > 3 or remax
    for name, value in first["gradients"].items():
        assert torch.equal(value, second["gradients"][name]), f"{name} differs between the processes"
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), f"{name} differs between the processes"
    assert apart(first["gradients"], one["gradients"]) < 2e-6
    assert apart(first["weights"], one["weights"]) < 2e-6
    critics = [name for name in one["gradients"] if name.startswith(NAME)]
    assert bool(critics) == (settings["stage"].get("algorithm") == "ppo")
    assert all(one["gradients"][name].any() for name in critics if "head" in name)
    for step, numbers in one["numbers"].items():
        for name, value in numbers.items():
            if name not in PER_PROCESS:
                assert first["numbers"][step][name] == pytest.approx(value, rel=2e-4, abs=2e-6), (step, name)


def test_groups_are_replaced_in_each_process_and_all_go_on_together(ranks: Ranks, tmp_path: Path) -> None:
    stage = {"prompts": 4, "steps": 4, "dynamic": {"rounds": 2, "low": 0.3, "high": 0.6}, "trainer": SGD}
    first, second = ranks.train(tmp_path, 2, {"stage": stage, "given": False})
    for name, value in first["weights"].items():
        assert torch.equal(value, second["weights"][name]), f"{name} differs between the processes"
    rounds = {numbers["dynamic/rounds"] for numbers in first["numbers"].values()}
    assert rounds - {0.0}, "nothing was replaced"
    assert len(first["texts"]) == 4 * 16


PER_PASS = {"logits/chosen", "logits/rejected", "entropy", "mean_token_accuracy"}
"""TRL's own, which are means over the tokens of one pass, and then over passes."""

PER_PROCESS = {"clip_ratio/low_min", "clip_ratio/high_max", "num_tokens"}
"""TRL's own, which are extremes over, or counts of, what is padded in each process."""


def test_the_critics_gradients_would_differ_outside(ranks: Ranks, tmp_path: Path) -> None:
    """What the test above sees: without the reduction, each process has the gradient of its own completions."""
    settings = {"stage": {**PPO, "steps": 1}}
    first, _ = ranks.train(tmp_path / "two", 2, settings)
    half = {"stage": {**PPO, "steps": 1, "prompts": 2}}
    (alone,) = ranks.train(tmp_path / "half", 1, half)
    head = f"{NAME}.head.weight"
    assert float((first["gradients"][head] - alone["gradients"][head]).abs().max()) > 1e-3 * float(
        alone["gradients"][head].abs().max()
    )
