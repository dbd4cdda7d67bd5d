"""What the stages of one run share: the domain, its tasks, the rubric, one pool of scorers, and the policies."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.contracts import Domain, Scored, Task
from honewise.data import TaskSet
from honewise.errors import Problem, RecipeError, UserError
from honewise.host import PluginHost, get_host
from honewise.judges import Panel, TemplateJudge
from honewise.progress import Progress, Silent
from honewise.recipes.schema import (
    BASE,
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
from honewise.scoring import AnyScorer, MixedDomain, domain_of
from honewise.scoring.mixed import mix_domains

from .judging import make_judge, ready
from .model_rewards import MODEL_FOLDER, ModelReward, models_of
from .rubric import recipe_scorer
from .tasks import read_tasks

if TYPE_CHECKING:
    from honewise.models.policy import Policy

__all__ = ["Materials", "Workbench", "demonstrations", "prepare", "rl_tasks", "template_hashes"]

DEFAULT_NEW_TOKENS = 256
"""Longest completion where no stage before says another."""


@dataclass(frozen=True, slots=True)
class Materials:
    """All that a recipe names, found and read, before anything runs."""

    recipe: Recipe
    host: PluginHost
    domain: Domain
    """Of a run of several, all of them as one."""
    scorer: AnyScorer
    """By the whole rubric; not yet started."""
    train: TaskSet
    held_out: TaskSet
    judge: TemplateJudge | Panel | None = None
    models: Mapping[str, ModelReward] = field(default_factory=dict)
    """The rubric's rewards that are models."""

    def left_out(self, stage: str) -> frozenset[str]:
        """Rewards that ``stage`` is scored without: their model is not trained yet, or they are for other stages."""
        names = list(self.recipe.stages)
        before = names[: names.index(stage)]
        early = {name for name, model in self.models.items() if model.stage is not None and model.stage not in before}
        elsewhere = {
            f"{part}/{name}" if part else name
            for part, work in self.recipe.works.items()
            for name, spec in work.rubric.rewards.items()
            if spec is not None and spec.stages is not None and stage not in spec.stages
        }
        return frozenset(early | elsewhere)

    def make_scorer(self, without: Collection[str], progress: Progress) -> AnyScorer:
        """A scorer by the rubric without some rewards. Raises ``UserError`` where the rest is no rubric."""
        rewards = {name: model.reward for name, model in self.models.items()}
        return recipe_scorer(
            self.recipe, host=self.host, judge=self.judge, progress=progress, models=rewards, without=without
        )

    def by_domain(self, tasks: Iterable[Task]) -> list[list[Task]]:
        """The tasks of each domain, in their order."""
        found: dict[str, list[Task]] = {}
        for task in tasks:
            found.setdefault(domain_of(task) if isinstance(self.domain, MixedDomain) else "", []).append(task)
        return list(found.values())


def prepare(recipe: Recipe, progress: Progress, host: PluginHost | None = None) -> Materials:
    """Build the domain and read both task sets; says what was recognised. Needs no torch."""
    host = host or get_host()
    domains = {name: host.domain(work.use, **work.options) for name, work in recipe.works.items()}
    domain = domains[""] if recipe.domains is None else mix_domains(domains)
    judge = make_judge(recipe.judge, progress.note) if recipe.judge is not None else None
    models = models_of(recipe.works, recipe.stages)
    rewards = {name: model.reward for name, model in models.items()}
    scorer = recipe_scorer(recipe, host=host, judge=judge, progress=progress, models=rewards)
    train = read_tasks(recipe, domains, host, "train", progress)
    held_out = read_tasks(recipe, domains, host, "held_out", progress)
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
            if (missing := materials.left_out(name)) and scores(stage):
                _check_without(materials, missing)
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


def _check_without(materials: Materials, missing: Collection[str]) -> None:
    try:
        materials.make_scorer(missing, Silent()).close()
    except UserError as error:
        why = "which is trained later or is for other stages"
        raise UserError(f"scored without {', '.join(sorted(missing))}, {why}: {error}") from error


def demonstrations(materials: Materials, wanted: int | None) -> list[tuple[Task, str]]:
    """Training tasks with their gold completions: those marked ``meta["demonstration"]``, else all that have gold; of
    several domains, each as if it were alone.

    ``wanted`` takes the first so many. Raises ``UserError`` where there are fewer.
    """
    marked = {id(task) for tasks in materials.by_domain(materials.train) for task in _marked(tasks) or tasks}
    shown: list[tuple[Task, str]] = []
    for task in materials.train:
        if wanted is not None and len(shown) == wanted:
            break
        gold = materials.domain.gold(task) if id(task) in marked else None
        if gold is not None:
            shown.append((task, gold))
    if not shown:
        raise UserError(f"{materials.train.source}: no training task has a gold completion to learn from")
    if wanted is not None and len(shown) < wanted:
        raise UserError(f"demonstrations: {wanted} asked for, {materials.train.source} has {len(shown)}")
    return shown


def rl_tasks(materials: Materials) -> list[Task]:
    """Training tasks that are not marked as demonstrations; of a domain all, where none is or every one is."""
    kept: set[int] = set()
    for tasks in materials.by_domain(materials.train):
        marked = {id(task) for task in _marked(tasks)}
        kept |= {id(task) for task in tasks} - (marked if len(marked) < len(tasks) else set())
    return [task for task in materials.train if id(task) in kept]


def _marked(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.meta.get("demonstration")]


def template_hashes(materials: Materials) -> dict[str, str]:
    """Of every judge's template of the run's domains."""
    parts = materials.domain.parts if isinstance(materials.domain, MixedDomain) else {"": materials.domain}
    found: dict[str, str] = {}
    for name, domain in parts.items():
        own = manifest.hash_templates(domain, materials.host.package_of(materials.recipe.works[name].use))
        found |= {f"{name}/{file}" if name else file: digest for file, digest in own.items()}
    return found


@dataclass(slots=True)
class Workbench:
    """The materials, the run and what is made of them on demand. Use it as a context manager."""

    materials: Materials
    run: Run
    device: str
    progress: Progress
    place: Place = field(default_factory=Place)
    _without: frozenset[str] = frozenset()
    _scorer: AnyScorer | None = None
    """In use while some reward is left out; else that of the materials."""

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
        without = self.materials.left_out(stage)
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
    def scorer(self) -> AnyScorer:
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
