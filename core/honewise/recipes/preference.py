"""Stages of a recipe that learn from preferences: ``pairs``, ``dpo`` and ``reward-model``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from .sections import LoraSpec, Name, Positive, Section, Share, TrainingStage, as_seconds

__all__ = [
    "DpoStage",
    "Drawing",
    "PairsStage",
    "RewardModelStage",
    "RoundsSpec",
    "Rules",
    "SegmentSpec",
    "SourceSpec",
    "TrunkSpec",
]

Amount = Annotated[float, Field(ge=0)]


class Rules(Section):
    """Which completions of a task become a pair."""

    rule: Literal["best-worst", "max-min", "all"] = "best-worst"
    """`best-worst`: the highest score against the lowest, of equal ones the first; `max-min`: of equal ones a random
    one; `all`: every two completions, the widest difference first."""
    by: str = "total"
    """What decides: `total`, or a reward of the rubric."""
    margin: Amount = 0.0
    """Scores must differ by at least this."""
    ties: Literal["skip", "keep"] = "skip"
    """Two completions of equal score are no pair; or `keep` them as one with a probability of one half, which only soft
    targets can use."""
    length_ratio: Annotated[float, Field(ge=1)] | None = None
    """The longer completion has at most so many times the characters of the shorter."""
    length_penalty: Amount = 0.0
    """Taken from the score for each character when completions are compared."""
    per_task: Positive | None = None
    """With `all`: at most so many pairs of one task."""
    safe: str | None = None
    """Condition on a reward, such as `harmless >= 1`, under which a completion is safe; for cost models."""


class Drawing(Rules):
    """How completions to be paired are sampled."""

    samples: Annotated[int, Field(ge=2)] = 8
    """Completions of each task."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Sampling temperature."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus of sampling."""
    max_new_tokens: Positive | None = None
    """Longest completion in tokens; left out, that of the last stage before it that says one, else 256."""
    sampled_at_once: Positive = 64
    """Completions generated, scored and stored at once; what a killed run has to do again at most."""


class SourceSpec(Section):
    """Where completions or preferences come from. Exactly one of `policy`, `stage` and `file`."""

    policy: str | None = None
    """An earlier stage that trains, or `base`: its policy is sampled on the training tasks."""
    stage: str | None = None
    """An earlier stage whose stored completions and scores are taken as they are."""
    file: str | None = None
    """A file of completions or preferences, one JSON object a line (looked up beside the recipe, then in the working
    directory)."""


class PairsStage(Drawing):
    """Preference pairs by the rubric's scores, kept in the run's folder as `pairs.jsonl`."""

    stage: Literal["pairs"] = "pairs"
    """The kind of stage; left out, the stage's own name."""
    sources: dict[Name, SourceSpec] = Field(default_factory=dict)
    """Name to source; the name becomes the pairs' `source` where a file's lines say no other. Left out: the policy of
    the last stage that wrote one."""
    weights: dict[str, Amount] = Field(default_factory=dict)
    """Weight of all pairs of a source, by the pairs' `source`; 1 where nothing is said."""
    limit: Positive | None = None
    """At most so many training tasks are sampled."""


def _as_losses(value: Any) -> Any:
    if isinstance(value, str):
        return {value: 1.0}
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return dict.fromkeys(value, 1.0)
    return value


def _as_rounds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"count": value}
    return value


class RoundsSpec(Drawing):
    """Pairs of the policy's own making, again and again: sample, score, pair, train. A bare number is `count`."""

    count: Positive
    """Rounds; each has the stage's `steps`."""
    prompts: Positive | None = None
    """Training tasks sampled in a round, others in each until all were; left out, all in each."""
    reference: Literal["fixed", "moved"] = "fixed"
    """The policy that the stage began with; or, in each round, the policy that sampled its pairs."""


class PairLoss(TrainingStage):
    """What a loss on pairs has to know."""

    pairs: str | list[str] | None = None
    """Earlier `pairs` stages, or files of pairs; left out, the last `pairs` stage before it."""
    steps: Positive | None = None
    """Optimizer steps."""
    epochs: Annotated[float, Field(gt=0)] | None = None
    """Passes over the pairs; 1 where neither this nor `steps` nor `seconds` is said."""
    batch: Positive = 32
    """Pairs a step."""
    target: Literal["none", "bt_margin", "prob"] = "none"
    """Soft targets: the probability that the chosen one is better, from the pair's margin (MMPO), or as the pair's
    `prob` says."""
    gamma: Amount | None = None
    """For `bt_margin`: logits for each unit of margin."""
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    """Share of labels taken to be wrong."""
    margin: Amount = 0.0
    """So many times the pair's margin is asked for on top; moves an optimum that has no bound."""


class DpoStage(PairLoss):
    """Direct preference optimisation: a policy trained on pairs, near a reference."""

    stage: Literal["dpo"] = "dpo"
    """The kind of stage; left out, the stage's own name."""
    seconds: Annotated[Annotated[float, Field(gt=0)] | str | None, BeforeValidator(as_seconds)] = None
    """Train for this long, or `as STAGE`: for as long as that earlier stage took."""
    rounds: Annotated[RoundsSpec | None, BeforeValidator(_as_rounds)] = None
    """Make the pairs on the way, from the policy itself, in place of `pairs`. Needs `steps`, those of one round."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """How strongly the policy is held to the reference."""
    losses: Annotated[dict[str, float], BeforeValidator(_as_losses), Field(min_length=1)] = Field(
        default_factory=lambda: {"sigmoid": 1.0}
    )
    """TRL's `loss_type` to its weight; a word or a list of words has weights of 1."""
    divergence: Literal["reverse_kl", "forward_kl", "js", "alpha"] = "reverse_kl"
    """What keeps the policy near the reference."""
    alpha: Share = 0.5
    """For `alpha`: from `reverse_kl` (0) to `forward_kl` (1), as in the paper."""
    nll: Amount = 0.0
    """Weight of the negative log-likelihood of chosen completions, each averaged over its tokens."""
    clamp: Annotated[float, Field(gt=0)] | None = None
    """Limit of log-ratios, without gradient beyond."""


class TrunkSpec(Section):
    """A model that a reward model grows on. Exactly one of `hub` and `path`."""

    hub: str | None = None
    """A model id on the Hugging Face hub."""
    path: str | None = None
    """A folder with a saved model and tokenizer (looked up beside the recipe, then in the working directory)."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""


class SegmentSpec(Section):
    """Where a reward model scores within a completion."""

    by: Literal["lines", "sentences", "tokens", "entropy"] = "sentences"
    """Segments end with lines, sentences or tokens, or at tokens of which the policy below was unsure."""
    threshold: Amount | None = None
    """For `entropy`: nats above which a token ends a segment."""
    aggregate: Literal["mean", "sum"] = "mean"
    """What the whole is worth: the mean or the sum of its segments."""


class RewardModelStage(PairLoss):
    """A model trained on pairs that gives a completion a number, for the rubric of later stages."""

    stage: Literal["reward-model"] = "reward-model"
    """The kind of stage; left out, the stage's own name."""
    trunk: TrunkSpec | None = None
    """The model that it grows on; left out, the policy of `from`."""
    lora: LoraSpec | None = None
    """Train adapters and the head, and keep the rest; adapters are merged at the end."""
    loss: Literal["bradley-terry", "cost"] = "bradley-terry"
    """Which of two is better; or which of two is less safe, and whether each is safe (Safe RLHF). A cost is the worse
    the higher, and 0 is where safe turns into unsafe; the chosen one is the safer."""
    centre: Amount = 0.0
    """Weight of (chosen + rejected)^2, which fixes the level of rewards."""
    segments: SegmentSpec | None = None
    """Score segments where they end; left out, the completion as a whole at its last token."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Cross-fitting: so many further models, each without the prompts of one fold, by which its pairs are judged."""
    held_out: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Without `folds`: share of the prompts that is not trained on, by which accuracy is measured."""
