"""What the stages of one run share: the domain, its tasks, the rubric, one pool of scorers, and the policies."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from honewise.contracts import Domain, Task
from honewise.data import TaskSet, load_tasks
from honewise.errors import Problem, RecipeError, UserError
from honewise.host import PluginHost, get_host
from honewise.judges import Panel, TemplateJudge
from honewise.progress import Progress
from honewise.recipes.schema import BASE, DataSpec, EvaluateStage, Recipe, RlStage, SftStage
from honewise.runs import manifest
from honewise.runs.run import Run, StageContext, stage_seed
from honewise.scoring import Scorer

from .judging import make_judge, ready
from .rubric import make_scorer

if TYPE_CHECKING:
    from honewise.models.policy import Policy

__all__ = ["Materials", "Workbench", "demonstrations", "prepare", "rl_tasks"]


@dataclass(frozen=True, slots=True)
class Materials:
    """All that a recipe names, found and read, before anything runs."""

    recipe: Recipe
    host: PluginHost
    domain: Domain
    scorer: Scorer
    """Not yet started."""
    train: TaskSet
    held_out: TaskSet
    judge: TemplateJudge | Panel | None = None


def prepare(recipe: Recipe, progress: Progress, host: PluginHost | None = None) -> Materials:
    """Build the domain and read both task sets; says what was recognised. Needs no torch."""
    host = host or get_host()
    domain = host.domain(recipe.domain.use, **recipe.domain.options)
    use, options = recipe.domain.use, recipe.domain.options
    judge = make_judge(recipe.judge, progress.note) if recipe.judge is not None else None
    scorer = make_scorer(use, options, recipe.rubric, host=host, judge=judge, progress=progress, seed=recipe.seed)
    train = _tasks(domain, recipe.data.train, host, "train", progress)
    held_out = _tasks(domain, recipe.data.held_out, host, "held_out", progress)
    seen = {repr(task.prompt) for task in train}
    shared = sum(repr(task.prompt) in seen for task in held_out)
    if shared:
        progress.note(f"data: {shared} of the {len(held_out)} held-out prompts stand in train too")
    materials = Materials(recipe, host, domain, scorer, train, held_out, judge)
    _enough(materials)
    return materials


def _enough(materials: Materials) -> None:
    """Raise ``RecipeError`` where a stage asks for more tasks than there are."""
    problems = []
    for name, stage in materials.recipe.stages.items():
        try:
            if isinstance(stage, SftStage):
                demonstrations(materials, stage.demonstrations)
            elif isinstance(stage, RlStage) and stage.prompts > (count := len(rl_tasks(materials))):
                raise UserError(f"prompts: {stage.prompts} tasks a step, but there are only {count} training tasks")
        except UserError as error:
            problems.append(Problem(f"stages.{name}", str(error)))
    if problems:
        raise RecipeError(materials.recipe.name, problems)


def _tasks(domain: Domain, spec: DataSpec, host: PluginHost, part: str, progress: Progress) -> TaskSet:
    found = load_tasks(
        domain,
        path=spec.path,
        format=spec.format,
        split=spec.samples or "held-out",
        limit=spec.limit if spec.shuffle is None else None,
        extra_formats={name: host.formats.get(name) for name in host.formats},
    )
    if spec.path is not None and spec.format is None:
        progress.note(f"data.{part}: {found.source} read as {found.format}")
    if spec.shuffle is None:
        return found
    tasks = list(found.tasks)
    random.Random(spec.shuffle).shuffle(tasks)
    return TaskSet(tuple(tasks[: spec.limit]), found.format, found.source)


def demonstrations(materials: Materials, wanted: int | None) -> list[tuple[Task, str]]:
    """Training tasks with their gold completions: those marked ``meta["demonstration"]``, else all that have gold.

    ``wanted`` takes the first so many. Raises ``UserError`` where there are fewer.
    """
    marked = [task for task in materials.train if task.meta.get("demonstration")]
    shown: list[tuple[Task, str]] = []
    for task in marked or materials.train:
        if wanted is not None and len(shown) == wanted:
            break
        gold = materials.domain.gold(task)
        if gold is not None:
            shown.append((task, gold))
    if not shown:
        raise UserError(f"{materials.train.source}: no training task has a gold completion to learn from")
    if wanted is not None and len(shown) < wanted:
        raise UserError(f"demonstrations: {wanted} asked for, {materials.train.source} has {len(shown)}")
    return shown


def rl_tasks(materials: Materials) -> list[Task]:
    """Training tasks that are not marked as demonstrations; all, where none is or every one is."""
    rest = [task for task in materials.train if not task.meta.get("demonstration")]
    return rest or list(materials.train)


@dataclass(slots=True)
class Workbench:
    """The materials, the run and what is made of them on demand. Use it as a context manager."""

    materials: Materials
    run: Run
    device: str
    progress: Progress

    def __enter__(self) -> Workbench:
        if self.judge is not None and self.recipe.judge is not None:
            ready(self.judge, self.recipe.judge, self.progress.note)
            self.judge.charge(self.run.store.judge_spent())
        return self

    def __exit__(self, *error: object) -> None:
        self.materials.scorer.close()
        if self.materials.judge is not None:
            self.materials.judge.close()

    @property
    def judge(self) -> TemplateJudge | Panel | None:
        return self.materials.judge

    @property
    def recipe(self) -> Recipe:
        return self.materials.recipe

    @property
    def scorer(self) -> Scorer:
        """One pool of scoring workers for the whole run, started on first use."""
        self.materials.scorer.start()
        return self.materials.scorer

    def context(self, stage: str, *, resume: bool) -> StageContext:
        folder = self.run.stage_folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        seed = stage_seed(self.recipe.seed, stage)
        return StageContext(self.run, stage, folder, seed, self.device, self.progress, resume)

    def source_of(self, stage: str) -> str:
        """The stage whose policy a training stage starts from, or ``base``."""
        spec = self.recipe.stages[stage]
        assert isinstance(spec, SftStage | RlStage)
        if spec.from_ is not None:
            return spec.from_
        names = list(self.recipe.stages)
        return next((name for name in reversed(names[: names.index(stage)]) if self.trains(name)), BASE)

    def trains(self, stage: str) -> bool:
        return isinstance(self.recipe.stages[stage], SftStage | RlStage)

    def policy_folder(self, name: str) -> Path:
        """Where the finished policy of a stage stands; that of ``base`` beside the stages."""
        return self.run.path / BASE if name == BASE else self.run.stage_folder(name) / "policy"

    def policy(self, name: str) -> Policy:
        """The policy that a stage wrote, or the one that the recipe describes."""
        from honewise.models.policy import load_policy, open_policy

        if self.policy_folder(name).is_dir():
            return open_policy(self.policy_folder(name), device=self.device)
        if name != BASE:
            raise UserError(f"{self.run.path}: stage {name!r} has no finished policy")
        spec = self.recipe.policy
        policy = load_policy(spec, texts=self._texts(), device=self.device, seed=stage_seed(self.recipe.seed, BASE))
        if spec.tiny is not None:
            # Drawn at random: kept, so that what every stage starts from can be looked at and loaded again.
            self.keep_policy(policy, BASE)
            policy = open_policy(self.policy_folder(BASE), device=self.device)
        return policy

    def keep_policy(self, policy: Policy, name: str) -> None:
        """Save a finished policy, whole or not at all."""
        from honewise.engine.checkpoints import publish
        from honewise.models.policy import save_policy

        folder = self.policy_folder(name)
        draft = folder.with_name(f".{folder.name}")
        shutil.rmtree(draft, ignore_errors=True)  # what a killed process left half done
        save_policy(policy, draft)
        publish(draft, folder)

    def note_stage(self, ctx: StageContext, **facts: str | int | None) -> None:
        """Put into the manifest where a stage's policy came from."""
        known = manifest.read(self.run.path).get("stages", {})
        here = {"from": self.source_of(ctx.stage), "seed": ctx.seed, **facts}
        manifest.add(self.run.path, {"stages": {**known, ctx.stage: here}})

    def _texts(self) -> Iterator[str]:
        """What a tiny policy's tokenizer learns from: all training prompts and the completions that are shown."""
        for task in self.materials.train:
            yield from (message["content"] for message in task.prompt if isinstance(message["content"], str))
        shown = [stage.demonstrations for stage in self.recipe.stages.values() if isinstance(stage, SftStage)]
        most = None if not shown or None in shown else max(count for count in shown if count is not None)
        yield from (gold for _, gold in demonstrations(self.materials, most))

    def measured(self, stage: str) -> Sequence[str]:
        """The policies that an ``evaluate`` stage measures, in order."""
        spec = self.recipe.stages[stage]
        assert isinstance(spec, EvaluateStage)
        names: Iterable[str] = self.recipe.stages
        before = [name for name in names if self.trains(name)]
        position = list(self.recipe.stages).index(stage)
        return spec.of or [name for name in before if list(self.recipe.stages).index(name) < position]
