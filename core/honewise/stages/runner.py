"""The runner: a recipe's stages one after another, each done once, whatever interrupts them."""

from __future__ import annotations

import gc
import importlib.util
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from honewise.errors import BudgetExceeded, MissingExtra, RecipeError, RunError, UserError
from honewise.host import PluginHost
from honewise.progress import Progress, Silent
from honewise.recipes.schema import (
    DpoStage,
    EvaluateStage,
    PairsStage,
    PersonasStage,
    ReviseStage,
    RewardModelStage,
    RlStage,
    SftStage,
    Stage,
)
from honewise.runs import card, manifest
from honewise.runs.follow import follow
from honewise.runs.processes import Place, place
from honewise.runs.run import Run, StageContext
from honewise.scoring import reward_files

from .checking import stage_problems
from .dpo import run_dpo
from .evaluate import run_evaluate
from .pairs import run_pairs
from .personas import run_personas
from .recipe import read
from .revise import run_revise
from .reward_model import run_reward_model
from .rl import run_rl
from .scale import scale_problems
from .sft import run_sft
from .workbench import Materials, Workbench, prepare, template_hashes

__all__ = ["execute", "resolve", "run_recipe"]


def run_recipe(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    resume: bool = False,
    progress: Progress | None = None,
    command: str = "",
    host: PluginHost | None = None,
) -> Run:
    """Read a recipe (a path or ``domain/name``), check all of it, and carry it out; returns the finished run, open.

    ``command`` is what a user would type again to go on. Raises ``RecipeError`` with every problem, ``RunError`` where
    the run's name is taken by an unfinished run, and what stops a stage: ``BudgetExceeded`` and
    ``KeyboardInterrupt`` come with a checkpoint from which ``resume`` goes on.
    """
    progress = progress or Silent()
    materials = resolve(source, overrides, progress=progress, host=host)
    words = command or shlex.join(["honewise", "run", str(source), *overrides])
    return execute(materials, resume=resume, progress=progress, command=words)


def resolve(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    progress: Progress | None = None,
    host: PluginHost | None = None,
) -> Materials:
    """Everything that can be checked and read before a run: the recipe, the domain, the rubric, both task sets."""
    return prepare(read(source, overrides, host=host), progress or Silent(), host)


def execute(materials: Materials, *, resume: bool, progress: Progress, command: str) -> Run:
    """Make or resume the run's folder and do what is left of its stages."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "trl")):
        raise MissingExtra("running a recipe", "honewise[train]")
    from honewise.engine import processes
    from honewise.models.policy import resolve_device

    here, device = place(), resolve_device(materials.recipe.device)
    processes.join(here, device)
    folder = _begin(materials, here, device, resume, command, progress)
    try:
        with Workbench(materials, folder, device, progress, here) as bench:
            _check_stages(bench)
            _stages(bench)
        if here.first:
            card.write(folder)
        folder.finish()
        processes.wait()
    except BaseException as error:
        if here.first and isinstance(error, UserError) and not resume and not folder.worth_keeping:
            folder.discard()  # what the user will now change must not be in the way of the next try
        folder.close()
        raise
    return folder


def _begin(materials: Materials, here: Place, device: str, resume: bool, command: str, progress: Progress) -> Run:
    """Make or resume the run's folder; of several processes the first does, and the others follow it."""
    from honewise.engine import processes

    if not here.first:
        path, refused = processes.share(("", ""))
        if refused:
            raise RunError(refused)
        return follow(path, materials.recipe)
    try:
        facts = _facts(materials)
        if resume:
            folder = Run.resume(materials.recipe)
            _same_run(folder, facts, here)
            _note_rewards(folder, facts, progress)
        else:
            folder = Run.create(materials.recipe, command=command, facts=facts)
        found = {"device": device, "accelerators": _accelerators(device), "processes": here.count}
        manifest.add(folder.path, found)
    except RunError as error:
        processes.share(("", str(error)))
        raise
    processes.share((str(folder.path), ""))
    return folder


def _check_stages(bench: Workbench) -> None:
    """What would stop a stage only once those before it are done, told before the first; all of it at once."""
    problems = list(scale_problems(bench.recipe, bench.place, bench.device))
    problems += stage_problems(bench.materials, partial(bench.context, resume=False))
    if problems:
        raise RecipeError(bench.recipe.name, problems)


def _stages(bench: Workbench) -> None:
    from honewise.engine import processes

    store = bench.run.store
    for position, (name, stage) in enumerate(bench.recipe.stages.items()):
        processes.wait()
        before = processes.share(store.stage(name))
        if before is not None and before.state == "done":
            bench.progress.note(f"{name}: done before, {before.seconds:.0f} s")
            continue
        if before is not None and processes.share(bench.kept(name)):
            store.set_stage(name, "done")  # killed after the policy or model was kept, before that was noted
            continue
        ctx = bench.context(name, resume=before is not None)
        store.start_stage(name, stage.stage, position)
        try:
            bench.begin(name)
            _stage(bench, stage, ctx)
        except BudgetExceeded as error:
            store.set_stage(name, "stopped", reason=str(error))
            bench.run.finish("stopped")
            raise
        except KeyboardInterrupt:
            store.set_stage(name, "stopped", reason="interrupted")
            bench.run.finish("stopped")
            raise
        except Exception as error:
            store.set_stage(name, "failed", reason=f"{type(error).__name__}: {error}")
            bench.run.finish("failed")
            raise
        finally:
            _free()
        store.set_stage(name, "done")


def _stage(bench: Workbench, stage: Stage, ctx: StageContext) -> None:
    match stage:
        case SftStage():
            run_sft(bench, stage, ctx)
        case PairsStage():
            run_pairs(bench, stage, ctx)
        case ReviseStage():
            run_revise(bench, stage, ctx)
        case PersonasStage():
            run_personas(bench, stage, ctx)
        case DpoStage():
            run_dpo(bench, stage, ctx)
        case RewardModelStage():
            run_reward_model(bench, stage, ctx)
        case RlStage():
            run_rl(bench, stage, ctx)
        case EvaluateStage():
            run_evaluate(bench, stage, ctx)


def _free() -> None:
    """Give back what the last stage's model held, before the next one loads its own."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


def _facts(materials: Materials) -> dict[str, Any]:
    return {
        "data": {
            part: {
                "source": tasks.source,
                "format": tasks.format,
                "tasks": len(tasks),
                "sha256": manifest.hash_tasks(tasks),
            }
            for part, tasks in (("train", materials.train), ("held_out", materials.held_out))
        },
        "templates": template_hashes(materials),
        "reward_files": {str(path): [manifest.hash_file(path)] for path in _reward_files(materials)},
    }


def _reward_files(materials: Materials) -> list[Path]:
    """The files that rewards of the recipe come from."""
    places = [place for work in materials.recipe.works.values() for place in reward_files(work.rubric.rewards).values()]
    return sorted({Path(place.rpartition(":")[0]).expanduser().resolve() for place in places})


def _same_run(run: Run, facts: dict[str, Any], here: Place) -> None:
    """A resumed run goes on with the tasks and the number of processes that it began with, or not at all."""
    said = manifest.read(run.path)
    before, count = said.get("data", {}), said.get("processes", here.count)
    if count != here.count:
        run.close()
        raise RunError(f"{run.path}: begun by {count} processes and now there are {here.count}; go on with {count}")
    changed = [part for part, found in facts["data"].items() if before.get(part, {}).get("sha256") != found["sha256"]]
    if changed:
        run.close()
        parts = " and ".join(f"data.{part}" for part in changed)
        raise RunError(f"{run.path}: {parts} changed since the run began, so it cannot go on; begin another")


def _note_rewards(run: Run, facts: dict[str, Any], progress: Progress) -> None:
    """Keep every version of the reward files that the run was scored by, and say where one is new."""
    known = manifest.read(run.path).get("reward_files", {})
    for file, (digest,) in facts["reward_files"].items():
        before = known.setdefault(file, [])
        if digest in before[-1:]:
            continue
        if before:
            progress.note(f"rewards: {file} has changed since the run began; from now on it scores as it is now")
        before.append(digest)
    manifest.add(run.path, {"reward_files": known})


def _accelerators(device: str) -> list[str]:
    if device != "cuda":
        return []
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
