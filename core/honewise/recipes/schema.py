"""What a recipe may say, as pydantic models: every key, its type, its default and its meaning.

The models only check shapes. Names that plugins register (domains, rewards, estimators) and the arguments that
TRL takes are checked by whoever holds those tables, when the recipe is read; see ``honewise.recipes.load``.
All models are frozen: a run stores exactly what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from .domains import DataSection, DataSpec, DomainSpec, PartRubricSpec, PartSpec, RewardSpec, RubricSpec, Work
from .judging import JudgeSpec
from .personas import PersonasStage
from .policy_gradient import (
    ConstraintSpec,
    CriticSpec,
    DynamicSpec,
    InvarianceSpec,
    KlSpec,
    OrderSpec,
    ShapingSpec,
    StopSpec,
    with_estimator,
)
from .preference import DpoStage, PairsStage, RewardModelStage
from .revising import ReviseStage
from .sections import BASE, Count, LoraSpec, Name, Positive, QuantizeSpec, Section, TrainingStage, as_seconds

__all__ = [
    "BASE",
    "FORMAT",
    "KINDS",
    "Control",
    "DataSection",
    "DataSpec",
    "DomainSpec",
    "DpoStage",
    "EvaluateStage",
    "LoraSpec",
    "PairsStage",
    "PartRubricSpec",
    "PartSpec",
    "PersonasStage",
    "PolicySpec",
    "QuantizeSpec",
    "Recipe",
    "ReviseStage",
    "RewardModelStage",
    "RewardSpec",
    "RlStage",
    "RubricSpec",
    "SftStage",
    "Stage",
    "TinySpec",
]

FORMAT = 1
"""The recipe format this version reads."""


class TinySpec(Section):
    """A small Llama-type model built from nothing, with a tokenizer trained on the domain's own texts."""

    layers: Positive = 4
    """Transformer blocks."""
    width: Positive = 192
    """Hidden size; a multiple of twice `heads`."""
    heads: Positive = 6
    """Attention heads."""
    kv_heads: Positive | None = None
    """Key and value heads; a divisor of `heads`. Left out: as `heads`."""
    vocabulary: Annotated[int, Field(ge=280)] = 600
    """Size of the byte-level BPE vocabulary, special tokens included; at least the 256 bytes and some room."""
    context: Positive = 512
    """Tokens of prompt and completion together."""


class PolicySpec(Section):
    """The model to train. Exactly one of `tiny`, `hub` and `path`."""

    tiny: TinySpec | None = None
    """A small model built from nothing; downloads nothing."""
    hub: str | None = None
    """A model id on the Hugging Face hub."""
    path: str | None = None
    """A folder with a saved model and tokenizer (looked up beside the recipe, then in the working directory)."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; `auto` is float32 on a CPU, else the model's own."""
    lora: LoraSpec | None = None
    """Adapters to train in place of all weights; `{}` takes the defaults."""
    quantize: QuantizeSpec | None = None
    """The weights below the adapters, in few bits; `{}` takes the defaults."""


def _rising(value: float | list[float] | None) -> float | list[float] | None:
    if isinstance(value, list) and any(not low < high for low, high in pairwise(value)):
        raise ValueError("must rise from each to the next")
    return value


class SftStage(TrainingStage):
    """Supervised learning: from gold completions, or from what a model wrote."""

    stage: Literal["sft"] = "sft"
    """The kind of stage; left out, the stage's own name."""
    demonstrations: Positive | None = None
    """Number of training tasks whose gold completion is shown; left out, all those marked as demonstrations, or all."""
    steps: Positive | None = None
    """Optimizer steps; with `seconds`, an upper limit."""
    seconds: Annotated[Annotated[float, Field(gt=0)] | str | None, BeforeValidator(as_seconds)] = None
    """Train for this long, or `as STAGE`: for as long as that earlier stage took."""
    batch: Positive = 32
    """Demonstrations a step."""
    on: Literal["gold", "answers", "best", "above"] = "gold"
    """What is shown: gold completions; `answers` of another model, such as the one that judges; the `best` of `n`
    completions of each task, by the rubric's total; or every completion whose total is `least` or `above`."""
    of: str | None = None
    """Who wrote the answers, where they are not gold: an earlier stage that trains, `base`, a folder or hub id of a
    model, a file of completions, or an earlier `pairs`, `revise` or `personas` stage, whose texts are taken as they
    are. Left out: the policy that the stage starts from."""
    n: Positive | None = None
    """Completions sampled of each task; left out, 8 for `best` and `above`, the likeliest one for `answers`."""
    temperature: Annotated[float, Field(ge=0)] | None = None
    """Of sampling them; left out, 1 for `best` and `above`, 0 for `answers`."""
    max_new_tokens: Positive | None = None
    """Longest of them in tokens; left out, that of the last stage before it that says one, else 256."""
    least: Annotated[float | Annotated[list[float], Field(min_length=1)] | None, AfterValidator(_rising)] = None
    """For `best`: tasks whose best total is below this are left out. For `above`: the total from which on a completion
    is shown, or several that rise; then each has the stage's `steps`, one after the other (ReST)."""
    per_task: Positive | None = None
    """For `above`: at most so many completions of one task, the best first; left out, all."""


class RlStage(TrainingStage):
    """Reinforcement learning on the training tasks with the rubric's rewards."""

    stage: Literal["rl"] = "rl"
    """The kind of stage; left out, the stage's own name."""
    algorithm: Literal["grpo", "ppo", "gspo", "rloo", "dr-grpo", "remax", "reinforce++"] = "grpo"
    """How rewards become updates: with a critic (`ppo`), against the group (`grpo`, `rloo`, `dr-grpo`), a greedy
    completion (`remax`) or the batch (`reinforce++`); `gspo` is `grpo` with the ratio of whole completions."""
    estimator: str = "dense-return"
    """How rewards become advantages; left out, the algorithm's: `gae` for `ppo`, `dense-return` for `grpo` and `gspo`,
    for the others the one of their name. `honewise plugins` lists who registers estimators."""
    estimator_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the estimator."""
    placement: Literal["span_end", "spread", "terminal"] = "span_end"
    """Where a span's credit lands: on its last token, evenly over its tokens, or at the end of the completion."""
    scale: Literal["none", "group", "batch", "domain"] = "none"
    """Divide advantages by the standard deviation of the totals of the group, of the batch, or of the batch's
    part of the same domain (all biased), or not."""
    steps: Positive = 100
    """Optimizer steps; with `minibatches` or `trainer.num_iterations`, several for each batch that is sampled."""
    prompts: Positive = 16
    """Tasks for which completions are sampled at once."""
    samples: Annotated[int, Field(ge=2)] = 8
    """Completions of each task."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus of sampling; 1 samples from the whole distribution, which the gradient assumes."""
    minibatches: Positive = 1
    """Parts of a step's completions, each of which is an update; `trainer.num_iterations` goes through all of them
    again."""
    critic: CriticSpec | None = None
    """For `ppo`; left out, a head on the policy's trunk."""
    kl: KlSpec | None = None
    """Keep near the policy that the stage began with; in place of `trainer.beta`."""
    shaping: ShapingSpec | None = None
    """Changes to what the learner is paid, beside the rubric."""
    constraints: dict[str, ConstraintSpec] = Field(default_factory=dict)
    """Costs by the rubric's name for them."""
    invariance: InvarianceSpec | None = None
    """Train groups of tasks to fare alike."""
    order: OrderSpec | None = None
    """Which tasks a step may meet; left out, every task once an epoch, in a random order."""
    dynamic: DynamicSpec | None = None
    """Replace groups that teach nothing by those of other tasks."""
    chunks: Positive = 1
    """Parts in which a step's completions are sampled, by whole tasks; each is scored while the next is sampled, which
    pays where a judge is slow."""
    stop: StopSpec | None = None
    """End early, by held-out tasks; left out, all `steps` are done and the last policy is kept."""
    shared_prefix: Literal["auto", "off"] = "auto"
    """In training, compute a prompt once for all of its completions, as sampling does: where the model allows it and
    the numbers of its first batch agree (`auto`), or never (`off`)."""

    _estimator = model_validator(mode="before")(with_estimator)


class Control(Section):
    """One more way to use a policy, measured beside the others."""

    of: str
    """The stage whose policy is used, or `base`."""
    temperature: Annotated[float, Field(ge=0)]
    """Its sampling temperature; 0 is greedy."""
    samples: Positive | None = None
    """Completions of each task; left out, as the stage's `samples`."""
    best_of: Annotated[int, Field(ge=2)] | None = None
    """Sample so many of each task and keep the best one by `by`."""
    by: str = "total"
    """What the best one is best in: `total`, or a reward of the rubric, such as a reward model."""


class EvaluateStage(Section):
    """Measures policies on the held-out tasks: greedy, and sampled; with paired intervals for the differences."""

    stage: Literal["evaluate"] = "evaluate"
    """The kind of stage; left out, the stage's own name."""
    of: Annotated[list[str], Field(min_length=1)] | None = None
    """Stages whose policies are compared, or `base`; the first is what the others are compared with. Left out: all
    that wrote a policy."""
    samples: Count = 8
    """Completions of each task at `temperature`, beside the greedy one; 0 measures greedy alone."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus of sampling."""
    limit: Positive | None = None
    """At most this many held-out tasks."""
    controls: list[Control] = Field(default_factory=list)
    """Further settings to measure, such as an earlier policy at a lower temperature."""
    differences: list[Annotated[list[str], Field(min_length=2, max_length=2)]] = Field(default_factory=list)
    """Pairs of stages `[one, other]` whose difference (one minus other) is reported beside those to the first."""
    batch: Positive = 64
    """Completions generated at once."""
    max_new_tokens: Positive | None = None
    """Longest completion in tokens; left out, that of the last stage before it that says one, else 256."""


Stage = Annotated[
    SftStage | PairsStage | ReviseStage | PersonasStage | DpoStage | RewardModelStage | RlStage | EvaluateStage,
    Field(discriminator="stage"),
]

KINDS: Mapping[str, type[Section]] = {
    "sft": SftStage,
    "pairs": PairsStage,
    "revise": ReviseStage,
    "personas": PersonasStage,
    "dpo": DpoStage,
    "reward-model": RewardModelStage,
    "rl": RlStage,
    "evaluate": EvaluateStage,
}
"""Every kind of stage."""


class Recipe(Section):
    """A whole run: data, policy, rubric and stages."""

    honewise: Literal[1]
    """The recipe format: 1."""
    name: Name
    """The run's folder below `runs_dir`; left out, the name of the recipe's file. A finished name gets `-2`."""
    seed: Count = 0
    """Everything random follows from it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to compute; `cpu` means float32."""
    plugins: list[str] = Field(default_factory=list)
    """Plugins that must be installed, as requirements: `honewise-text-to-sql>=0.1,<0.2`."""
    runs_dir: str = "runs"
    """Folder of all runs, relative to the working directory."""
    domain: DomainSpec | None = None
    """What is trained for. Exactly one of `domain` and `domains`."""
    domains: Annotated[dict[Name, PartSpec], Field(min_length=1)] | None = None
    """Several domains in one run, by names of your own, each with its own data and rubric."""
    data: DataSection = Field(default_factory=DataSection)
    """Training and held-out tasks; left out, the domain's own samples. With `domains`, each has its own."""
    policy: PolicySpec
    """The model."""
    rubric: RubricSpec = Field(default_factory=RubricSpec)
    """What a completion is worth. With `domains`, each has its own, and `max_unscored` alone stands here."""
    judge: JudgeSpec | None = None
    """Who is asked by rewards that need a judge; left out, these are left out of the rubric."""
    stages: Annotated[dict[Name, Stage], Field(min_length=1)]
    """What is done, in this order. A stage's kind is its name, or its key `stage`."""

    @property
    def uses(self) -> str:
        """The domains' names, for people."""
        if self.domains is None:
            return next(iter(self.works.values())).use
        return ", ".join(name if name == work.use else f"{name} ({work.use})" for name, work in self.works.items())

    @property
    def mixture(self) -> Mapping[str, float] | None:
        """Each domain's weight; None where there is but one domain."""
        return None if self.domains is None else {name: part.weight for name, part in self.domains.items()}

    @property
    def works(self) -> Mapping[str, Work]:
        """Each domain by its name in the recipe; the name of an only one is empty."""
        if self.domains is not None:
            return {
                name: Work(part.use, part.options, part.data, part.rubric, part.weight)
                for name, part in self.domains.items()
            }
        assert self.domain is not None, "the recipe was checked"
        return {"": Work(self.domain.use, self.domain.options, self.data, self.rubric)}
