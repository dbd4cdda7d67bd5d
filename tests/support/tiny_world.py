"""A world small enough to train in a second: a domain of vowels, a policy of two layers, a stage without a recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch

from honewise.algorithms import DENSE_RETURN, Estimator
from honewise.contracts import Completion, Domain, Reward, Rubric, Score, Span, Task, Unscored
from honewise.engine.rl import Trained, rl_arguments, train_rl
from honewise.engine.trainer import CreditTrainer, Setup
from honewise.models.policy import Policy, load_policy, quiet
from honewise.progress import Progress, Silent
from honewise.recipes.schema import LoraSpec, PolicySpec, RlStage, TinySpec
from honewise.runs.run import Run, StageContext
from honewise.runs.store import Store
from honewise.scoring import Scorer

SPEC = TinySpec(layers=2, width=32, heads=2, vocabulary=300, context=128)
WORDS = ["heap", "stack", "queue", "tree", "graph", "list", "array", "map"]


def tasks(count: int = 8) -> list[Task]:
    """Prompts of unequal length."""
    return [
        Task(str(i), {"word": (word := WORDS[i % len(WORDS)])},
             prompt=({"role": "user", "content": f"Say {word}" + " again" * (i % 3)},))
        for i in range(count)
    ]  # fmt: skip


def vowels(completion: Completion) -> Score:
    """Dense: pays each vowel where it stands, charges each digit."""
    spans = [Span(i, i + 1, 0.01, char) for i, char in enumerate(completion.text) if char in "aeiou"]
    spans += [Span(i, i + 1, -0.01, char) for i, char in enumerate(completion.text) if char.isdigit()]
    return Score(spans=spans, correct=len(spans) > 2)


def brief(completion: Completion) -> float:
    """Sparse: the fewer characters the better."""
    return 1 / (1 + len(completion.text))


def domain(
    rewards: Mapping[str, Callable[..., Any]] | None = None, terms: Mapping[str, Any] | None = None, **rubric: Any
) -> Domain:
    if rewards is None:
        rubric.setdefault("correct", "vowels")
    functions = dict(rewards or {"vowels": vowels, "brief": brief})
    return Domain(
        prompt=lambda task: task.prompt,
        parse=lambda text, task: Completion(text, text),
        gold=lambda task: f"{task.inputs['word']} it is",
        samples=lambda split: tasks(),
        rewards=[Reward(fn=fn, name=name, bounds=(-5.0, 5.0)) for name, fn in functions.items()],
        rubrics={"x": Rubric(dict(terms or dict.fromkeys(functions, 1.0)), **rubric)},
    )


def scorer(of: Domain | None = None) -> Scorer:
    """In this process: workers would cost more than all the rest."""
    return Scorer(of or domain(), workers=0)


def policy(*, lora: LoraSpec | None = None, seed: int = 0) -> Policy:
    texts = [str(message["content"]) for task in tasks() for message in task.prompt] + [
        f"{word} it is" for word in WORDS
    ]
    return load_policy(PolicySpec(tiny=SPEC, lora=lora), texts=texts, device="cpu", seed=seed)


def context(folder: Path, stage: str = "rl", *, resume: bool = False, progress: Progress | None = None) -> StageContext:
    """A stage of a run that has a store and no recipe."""
    (folder / stage).mkdir(parents=True, exist_ok=True)
    store = Store(folder / "run.sqlite")
    store.start_stage(stage, stage, 0)
    run = Run(folder, cast(Any, None), store)
    return StageContext(run, stage, folder / stage, 11, "cpu", progress or Silent(), resume)


def rl_stage(**changes: Any) -> RlStage:
    trainer = {"learning_rate": 1e-3, "max_completion_length": 12, **changes.pop("trainer", {})}
    return RlStage(**{"prompts": 2, "samples": 4, "steps": 3, "save_every": 1000, **changes, "trainer": trainer})


def train(ctx: StageContext, stage: RlStage, of: Policy | None = None, **settings: Any) -> tuple[Trained, Policy]:
    start = of or policy()
    with scorer(settings.pop("domain", None)) as judge:
        trained = train_rl(ctx, stage, start, tasks(), judge, settings.pop("estimator", DENSE_RETURN), **settings)
    return trained, start


def trainer(
    folder: Path,
    stage: RlStage,
    judge: Scorer,
    *,
    estimator: Estimator = DENSE_RETURN,
    options: Mapping[str, Any] | None = None,
    of: Policy | None = None,
    over: Sequence[Task] | None = None,
) -> CreditTrainer:
    """A trainer that has not begun, ready for single calls of its methods."""
    start = of or policy()
    setup = Setup(over or tasks(), judge, estimator, options or {}, stage.placement)
    with quiet():
        made = CreditTrainer(start.model, setup, rl_arguments(context(folder), stage), start.tokenizer)
    made.current_gradient_accumulation_steps = 1
    made.model.train()
    return made


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def always_unscored(completion: Completion) -> Unscored:
    return Unscored("the judge is out")
