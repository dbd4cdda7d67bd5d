"""What of a recipe does not go together with how it is launched, told before any model is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping

from honewise.errors import MissingExtra, Problem, UserError
from honewise.recipes.schema import DpoStage, Recipe, RewardModelStage, RlStage
from honewise.runs.processes import Place

__all__ = ["scale_problems"]


def scale_problems(recipe: Recipe, place: Place, device: str) -> Iterator[Problem]:
    """Problems of sharding (FSDP, DeepSpeed), quantised weights and vLLM with each other and with the recipe.

    Raises ``MissingExtra`` where a package is wanted that is not installed.
    """
    yield from _quantised(recipe, place, device)
    if place.sharding:
        yield from _sharded(recipe, place.sharding, device)
    for name, stage in recipe.stages.items():
        if isinstance(stage, RlStage) and stage.trainer.get("use_vllm") in (True, "true"):
            yield from _vllm(recipe, stage, f"stages.{name}", place, device)


def _quantised(recipe: Recipe, place: Place, device: str) -> Iterator[Problem]:
    spec = recipe.policy.quantize
    if spec is None:
        return
    from honewise.models.quantize import check_quantize

    try:
        check_quantize(spec, device)
    except MissingExtra:
        raise
    except UserError as error:
        yield Problem("", str(error))
    if place.sharding:
        yield Problem(
            "policy.quantize",
            f"weights in few bits are not sharded by {place.sharding} here; each process holds all of them: launch with"
            " examples/scale/ddp.yaml, or leave out quantize",
        )


def _sharded(recipe: Recipe, by: str, device: str) -> Iterator[Problem]:
    if device != "cuda":
        yield Problem("device", f"{by} is launched for {device}, where it shards nothing; use examples/scale/cpu.yaml")
    if recipe.judge is not None and recipe.judge.policy is not None:
        yield Problem("judge.policy", f"the policy cannot judge while {by} has its weights in parts; use url or local")
    for name, stage in recipe.stages.items():
        if isinstance(stage, RewardModelStage):
            what = f"a reward model is not trained under {by}; train it with plain processes"
            yield Problem(f"stages.{name}", f"{what}, in a recipe of its own")
        if isinstance(stage, DpoStage) and stage.rounds is not None:
            yield Problem(f"stages.{name}.rounds", f"rounds sample with our own sampling, which cannot under {by}")


def _vllm(recipe: Recipe, stage: RlStage, path: str, place: Place, device: str) -> Iterator[Problem]:
    trainer: Mapping[str, object] = stage.trainer
    if importlib.util.find_spec("vllm") is None:
        raise MissingExtra(f"{path}.trainer.use_vllm (vLLM)", "honewise[vllm]")
    if device != "cuda":
        yield Problem(f"{path}.trainer.use_vllm", f"needs a CUDA device, in server mode, too; the device is {device}")
    if trainer.get("vllm_mode", "colocate") == "colocate":
        size = trainer.get("vllm_tensor_parallel_size", 1)
        if isinstance(size, int) and size > 0 and place.count % size:
            yield Problem(
                f"{path}.trainer.vllm_tensor_parallel_size", f"{size} does not divide the {place.count} processes"
            )
    spec = recipe.policy.quantize
    if spec is not None and (spec.kind == "hqq" or spec.bits != 4):
        yield Problem(
            f"{path}.trainer.use_vllm", "takes quantised weights of kind: bnb in 4 bits only; change policy.quantize"
        )
