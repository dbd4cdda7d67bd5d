"""What the stages of one run share: the domain, its tasks, the rubric, one pool of scorers, and the policies."""

from __future__ import annotations

import random
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.contracts import Domain, Scored, Task
from honewise.data import TaskSet, load_tasks
from honewise.errors import Problem, RecipeError, UserError
from honewise.host import PluginHost, get_host
from honewise.judges import Panel, TemplateJudge
from honewise.progress import Progress, Silent
from honewise.recipes.schema import (
    BASE,
    DataSpec,
    DpoStage,
    EvaluateStage,
    PairsStage,
    PersonasStage,
    Recipe,
    ReviseStage,
    RewardModelStage,
    RlStage,
    SftStage,
)
from honewise.recipes.sections import TrainingStage
from honewise.runs import manifest
from honewise.runs.processes import Place
from honewise.runs.run import Run, StageContext, stage_seed
from honewise.scoring import Scorer

from .judging import make_judge, ready
from .model_rewards import MODEL_FOLDER, ModelReward, model_rewards
from .rubric import make_scorer

if TYPE_CHECKING:
    from honewise.models.policy import Policy

__all__ = ["Materials", "Workbench", "demonstrations", "prepare", "rl_tasks"]

DEFAULT_NEW_TOKENS = 256
"""Longest completion where no stage before says another."""


@dataclass(frozen=True, slots=True)
class Materials:
    """All that a recipe names, found and read, before anything runs."""

    recipe: Recipe
    host: PluginHost
    domain: Domain
    scorer: Scorer
    """By the whole rubric; not yet started."""
    train: TaskSet
    held_out: TaskSet
    judge: TemplateJudge | Panel | None = None
    models: Mapping[str, ModelReward] = field(default_factory=dict)
    """The rubric's rewards that are models."""

    def too_early(self, stage: str) -> frozenset[str]:
        """Rewards whose model is not trained yet when ``stage`` is done."""
        names = list(self.recipe.stages)
        before = names[: names.index(stage)]
        return frozenset(
            name for name, model in self.models.items() if model.stage is not None and model.stage not in before
        )

    def make_scorer(self, without: Collection[str], progress: Progress) -> Scorer:
        """A scorer by the rubric without some rewards. Raises ``UserError`` where the rest is no rubric."""
        recipe = self.recipe
        rewards = {name: model.reward for name, model in self.models.items()}
        return make_scorer(
            recipe.domain.use,
            recipe.domain.options,
            recipe.rubric,
            host=self.host,
            judge=self.judge,
            progress=progress,
            seed=recipe.seed,
            models=rewards,
            without=without,
        )


def prepare(recipe: Recipe, progress: Progress, host: PluginHost | None = None) -> Materials:
    """Build the domain and read both task sets; says what was recognised. Needs no torch."""
    host = host or get_host()
    domain = host.domain(recipe.domain.use, **recipe.domain.options)
    use, options = recipe.domain.use, recipe.domain.options
    judge = make_judge(recipe.judge, progress.note) if recipe.judge is not None else None
    models = model_rewards(recipe.rubric.rewards, recipe.stages)
    rewards = {name: model.reward for name, model in models.items()}
    scorer = make_scorer(
        use, options, recipe.rubric, host=host, judge=judge, progress=progress, seed=recipe.seed, models=rewards
    )
    train = _tasks(domain, recipe.data.train, host, "train", progress)
    held_out = _tasks(domain, recipe.data.held_out, host, "held_out", progress)
    seen = {repr(task.prompt) for task in train}
    shared = sum(repr(task.prompt) in seen for task in held_out)
    if shared:
        progress.note(f"data: {shared} of the {len(held_out)} held-out prompts stand in train too")
    materials = Materials(recipe, host, domain, scorer, train, held_out, judge, models)
    _enough(materials)
    return materials


def _enough(materials: Materials) -> None:
    """Raise ``RecipeError`` where a stage asks for more tasks than there are, or has no rubric to score by."""
    problems = []
    for name, stage in materials.recipe.stages.items():
        try:
            if (early := materials.too_early(name)) and scores(stage):
                _check_without(materials, early)
            if isinstance(stage, SftStage) and stage.on == "gold":
                demonstrations(materials, stage.demonstrations)
            elif isinstance(stage, RlStage) and stage.prompts > (count := len(rl_tasks(materials))):
                raise UserError(f"prompts: {stage.prompts} tasks a step, but there are only {count} training tasks")
        except UserError as error:
            problems.append(Problem(f"stages.{name}", str(error)))
    if problems:
        raise RecipeError(materials.recipe.name, problems)


def scores(stage: object) -> bool:
    """Whether a stage has completions scored."""
    match stage:
        case SftStage():
            return stage.on in ("best", "above")
        case DpoStage():
            return stage.rounds is not None
        case PairsStage() | PersonasStage() | RlStage() | EvaluateStage():
            return True
    return False


def _check_without(materials: Materials, early: Collection[str]) -> None:
    try:
        materials.make_scorer(early, Silent()).close()
    except UserError as error:
        raise UserError(f"scored without {', '.join(sorted(early))}, which is trained later: {error}") from error


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
    place: Place = field(default_factory=Place)
    _without: frozenset[str] = frozenset()
    _scorer: Scorer | None = None
    """In use while some reward has no model yet; else that of the materials."""

    def __enter__(self) -> Workbench:
        if self.judge is not None and self.recipe.judge is not None:
            ready(self.judge, self.recipe.judge, self.progress.note)
            self.judge.charge(self.run.store.judge_spent())
        for model in self.materials.models.values():
            model.settle(self.run, self.device)
        return self

    def __exit__(self, *error: object) -> None:
        self.materials.scorer.close()
        if self._scorer is not None:
            self._scorer.close()
        if self.materials.judge is not None:
            self._note_panel()
            self.materials.judge.close()

    def _note_panel(self) -> None:
        """Put into the manifest how several judges got on with one another, beside what earlier goes said of it."""
        judge = self.materials.judge
        if isinstance(judge, Panel) and self.place.first and (report := judge.report()).questions:
            before = manifest.read(self.run.path).get("panel", [])
            manifest.add(self.run.path, {"panel": [*before, asdict(report)]})

    @property
    def judge(self) -> TemplateJudge | Panel | None:
        return self.materials.judge

    @property
    def recipe(self) -> Recipe:
        return self.materials.recipe

    def begin(self, stage: str) -> None:
        """Let go of what the stage before held, and score with the rewards that there are by now; their models are
        loaded, and raise ``UserError`` where they cannot be had."""
        without = self.materials.too_early(stage)
        for name, model in self.materials.models.items():
            model.release()
            if scores(self.recipe.stages[stage]) and name not in without:
                model.load()
        if without == self._without:
            return
        if self._scorer is not None:
            self._scorer.close()
        self._scorer = self.materials.make_scorer(without, self.progress) if without else None
        self._without = without

    @property
    def scorer(self) -> Scorer:
        """One pool of scoring workers for as long as the rubric stays the same, started on first use."""
        scorer = self._scorer or self.materials.scorer
        scorer.start()
        return scorer

    def check_budget(self, scored: Sequence[Scored]) -> None:
        """Raise ``BudgetExceeded`` where the judge or what is unscored passed its limit, in any of the processes."""
        from honewise.engine import processes

        processes.together(lambda: self.scorer.check_budget(scored, self.recipe.rubric.max_unscored))

    def context(self, stage: str, *, resume: bool) -> StageContext:
        folder = self.run.stage_folder(stage)
        folder.mkdir(parents=True, exist_ok=True)
        seed = stage_seed(self.recipe.seed, stage)
        return StageContext(self.run, stage, folder, seed, self.device, self.progress, resume, self.place)

    def source_of(self, stage: str) -> str:
        """The stage whose policy a training stage starts from, or ``base``."""
        spec = self.recipe.stages[stage]
        if isinstance(spec, TrainingStage) and spec.from_ is not None:
            return spec.from_
        return next((name for name in reversed(self.before(stage)) if self.trains(name)), BASE)

    def before(self, stage: str) -> list[str]:
        """The stages before one, in order."""
        names = list(self.recipe.stages)
        return names[: names.index(stage)]

    def trains(self, stage: str) -> bool:
        """Whether a stage writes a policy."""
        return isinstance(self.recipe.stages[stage], SftStage | DpoStage | RlStage)

    def completion_length(self, stage: str) -> int:
        """Longest completion, of the last stage before ``stage`` that says one."""
        for name in reversed(self.before(stage)):
            spec = self.recipe.stages[name]
            said = spec.trainer.get("max_completion_length") if isinstance(spec, RlStage) else None
            if isinstance(spec, SftStage | PairsStage | ReviseStage | PersonasStage):
                said = spec.max_new_tokens
            if isinstance(spec, DpoStage) and spec.rounds is not None:
                said = spec.rounds.max_new_tokens
            if said:
                return int(said)
        return DEFAULT_NEW_TOKENS

    def policy_folder(self, name: str) -> Path:
        """Where the finished policy of a stage stands; that of ``base`` beside the stages."""
        return self.run.path / BASE if name == BASE else self.run.stage_folder(name) / "policy"

    def kept(self, stage: str) -> bool:
        """Whether what the stage is for stands in its folder, whole."""
        if isinstance(self.recipe.stages[stage], RewardModelStage):
            return (self.run.stage_folder(stage) / MODEL_FOLDER).is_dir()
        return self.trains(stage) and self.policy_folder(stage).is_dir()

    def policy(self, name: str) -> Policy:
        """The policy that a stage wrote, or the one that the recipe describes."""
        from honewise.engine import processes
        from honewise.models.policy import load_policy, open_policy

        if processes.share(self.policy_folder(name).is_dir()):
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
        """Save a finished policy, whole or not at all; of several processes the first does."""
        from honewise.engine import processes
        from honewise.engine.checkpoints import publish
        from honewise.models.policy import save_policy

        folder = self.policy_folder(name)
        draft = folder.with_name(f".{folder.name}")
        if self.place.first:
            shutil.rmtree(draft, ignore_errors=True)  # what a killed process left half done
            save_policy(policy, draft)
            publish(draft, folder)
        processes.wait()

    def note_stage(self, ctx: StageContext, **facts: Any) -> None:
        """Put into the manifest where what a stage wrote came from."""
        if not self.place.first:
            return
        known = manifest.read(self.run.path).get("stages", {})
        start = {"from": self.source_of(ctx.stage)} if isinstance(self.recipe.stages[ctx.stage], TrainingStage) else {}
        here = {**start, "seed": ctx.seed, **facts}
        manifest.add(self.run.path, {"stages": {**known, ctx.stage: here}})

    def _texts(self) -> Iterator[str]:
        """What a tiny policy's tokenizer learns from: all training prompts and the completions that are shown."""
        for task in self.materials.train:
            yield from (message["content"] for message in task.prompt if isinstance(message["content"], str))
        stages = self.recipe.stages.values()
        shown = [stage.demonstrations for stage in stages if isinstance(stage, SftStage) and stage.on == "gold"]
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
