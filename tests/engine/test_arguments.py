"""TRL's arguments in a recipe: converted, checked and refused with a reason, before anything is loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world

from honewise.engine.arguments import check, convert
from honewise.engine.rl import rl_arguments
from honewise.engine.sft import sft_arguments
from honewise.errors import UserError
from honewise.recipes.schema import SftStage


def told(kind: Any, arguments: dict[str, Any]) -> dict[str, str]:
    return {problem.path: problem.message for problem in check(kind, arguments)}


def test_numbers_are_converted() -> None:
    assert convert("grpo", {"learning_rate": "2e-4", "beta": 0}) == {"learning_rate": 2e-4, "beta": 0.0}
    assert check("grpo", {"learning_rate": "2e-4", "num_iterations": 2, "optim": "sgd"}) == []
    assert check("sft", {"learning_rate": 1.5e-3, "lr_scheduler_kwargs": {"num_cycles": 1}}) == []


def test_every_fault_is_told_with_the_nearest_name() -> None:
    found = told("grpo", {"lerning_rate": 1e-3, "beta": "much", "loss_type": "dr-grpo", "samples_per_prompt": 2})
    assert found["lerning_rate"] == "TRL has no such GRPO argument; did you mean 'learning_rate'?"
    assert found["beta"] == "must be a number; given: 'much'"
    assert found["loss_type"] == "no loss_type 'dr-grpo'; did you mean 'dr_grpo'?"
    assert found["samples_per_prompt"] == "TRL has no such GRPO argument"


@pytest.mark.parametrize(
    ("name", "where"),
    [("max_steps", "`steps`"), ("num_generations", "`samples`"), ("temperature", "`temperature`"), ("seed", "`seed`"),
     ("output_dir", "folder"), ("use_cpu", "`device`"), ("scale_rewards", "`scale`"), ("push_to_hub", "`policy`")],
)  # fmt: skip
def test_what_the_recipe_says_elsewhere(name: str, where: str) -> None:
    found = told("grpo", {name: 1})
    assert found[name].startswith("cannot be set here: ")
    assert where in found[name]


def test_what_trl_says_to_the_whole() -> None:
    assert "is not a valid SchedulerType" in told("grpo", {"lr_scheduler_type": "stairs"})[""]
    assert told("sft", {"packing": True})["packing"].startswith("cannot be set here")


def test_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check("grpo", {"use_transformers_paged": False}) == []
        assert check("sft", {"loss_type": "nll"}) == []
    assert capsys.readouterr() == ("", "")


def test_wrong_arguments_raise_together() -> None:
    with pytest.raises(UserError, match=r"(?s)trainer\.beta: must be a number.*trainer\.nope: TRL has no such"):
        convert("grpo", {"beta": "x", "nope": 1})


def test_defaults_of_a_stage(tmp_path: Path) -> None:
    args = rl_arguments(world.context(tmp_path), world.rl_stage(steps=30, save_every=None, prompts=3, samples=4))
    assert (args.loss_type, args.scale_rewards, args.beta) == ("dr_grpo", "none", 0.0)
    assert (args.use_cpu, args.bf16, args.fp16, args.gradient_checkpointing) == (True, False, False, False)
    assert (args.generation_batch_size, args.per_device_train_batch_size, args.num_generations) == (12, 12, 4)
    assert (args.max_steps, args.save_steps, args.logging_steps) == (30, 3, 1)
    assert (args.seed, args.report_to) == (11, [])
    small = world.rl_stage(prompts=3, samples=4, trainer={"per_device_train_batch_size": 3, "bf16": True})
    args = rl_arguments(world.context(tmp_path), small)
    assert (args.gradient_accumulation_steps, args.steps_per_generation, args.bf16) == (4, 4, False)
    shown = sft_arguments(world.context(tmp_path), SftStage(seconds=3, batch=8))
    assert (shown.lr_scheduler_type, shown.bf16, shown.save_steps) == ("constant", False, 100)
