"""What would stop a stage only once those before it are done, told before the first; all of it at once."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from honewise.errors import Problem, RecipeError, UserError
from honewise.progress import Progress, Silent
from honewise.recipes.schema import (
    DpoStage,
    PairsStage,
    PersonasStage,
    ReviseStage,
    RewardModelStage,
    RlStage,
    SftStage,
    Stage,
)
from honewise.runs.processes import place
from honewise.runs.run import StageContext, stage_seed

from .dpo import check_dpo_stage
from .pairs import check_pairs_stage
from .personas import check_personas_stage
from .revise import check_revise_stage
from .reward_model import check_reward_model_stage
from .rl import check_rl_stage
from .sft import check_sft_stage
from .workbench import Materials

__all__ = ["check_plan", "stage_problems"]


def check_plan(materials: Materials, progress: Progress) -> None:
    """Raise ``RecipeError`` with what ``stage_problems`` finds, without a run; what is left out is said.

    What depends on how and where a run is launched (device, processes, sharding) is for the run itself to tell.
    """
    if any(importlib.util.find_spec(name) is None for name in ("torch", "trl")):
        progress.note("trainer: not checked, because TRL is not installed; run: pip install 'honewise[train]'")
        return
    if place().count > 1:  # TRL's arguments would have the processes meet
        progress.note("trainer: not checked, because there are several processes; plan with one")
        return
    from honewise.models.policy import resolve_device

    recipe = materials.recipe
    try:
        device = resolve_device(recipe.device)
    except UserError as error:
        progress.note(f"{error}; the stages are checked for a cpu")
        device = "cpu"
    folder = Path(recipe.runs_dir, recipe.name, "stages")

    def context(name: str) -> StageContext:
        return StageContext(None, name, folder / name, stage_seed(recipe.seed, name), device, Silent())

    problems = list(stage_problems(materials, context))
    if problems:
        raise RecipeError(recipe.name, problems)


def stage_problems(materials: Materials, context: Callable[[str], StageContext]) -> Iterator[Problem]:
    """What each stage's own trainer, data and rubric say against it."""
    for name, stage in materials.recipe.stages.items():
        try:
            _check_stage(materials, stage, context(name))
        except UserError as error:
            yield Problem(f"stages.{name}", str(error))


def _check_stage(materials: Materials, stage: Stage, ctx: StageContext) -> None:
    match stage:
        case SftStage():
            check_sft_stage(stage, ctx)
        case PairsStage():
            check_pairs_stage(materials, stage)
        case ReviseStage():
            check_revise_stage(materials, stage)
        case PersonasStage():
            check_personas_stage(materials, stage)
        case DpoStage():
            check_dpo_stage(stage, ctx)
        case RewardModelStage():
            check_reward_model_stage(stage, ctx)
        case RlStage():
            check_rl_stage(materials, stage, ctx)
