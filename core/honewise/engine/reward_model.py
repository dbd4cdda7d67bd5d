"""The ``reward-model`` stage: from pairs to a model that gives a completion a number."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedTokenizerBase

from honewise.algorithms import folds
from honewise.contracts import Message
from honewise.errors import UserError, first_sentence
from honewise.models.policy import Policy, load_policy, quiet
from honewise.recipes.preference import RewardModelStage, TrunkSpec
from honewise.recipes.schema import PolicySpec
from honewise.recipes.sections import LoraSpec
from honewise.runs.run import StageContext
from honewise.scoring.pairs import Pair, prompt_key

from .arguments import convert, on_device
from .callbacks import StepWriter
from .carrying_out import carry_out
from .checkpoints import checkpoint_step, newest_checkpoint, publish
from .pairs import encode_pairs, split_batch, steps_of
from .processes import share, wait
from .reward_scoring import FOLDS, SETTINGS, RewardSettings, fold_key, load_reward_model, save_settings
from .reward_trainer import RewardLoss, RewardModelTrainer, judge
from .rl import Trained
from .segments import entropies_of, token_ends

__all__ = ["MODEL_FOLDER", "as_reward_model", "open_trunk", "reward_arguments", "train_reward_model"]

MODEL_FOLDER = "model"
"""Below the stage's folder: the finished model, with its folds in it."""

DRAFT = ".model"

Trunk = Callable[[], tuple[Any, PreTrainedTokenizerBase]]
"""Gives a sequence classifier with one output that nobody has trained on these pairs, and its tokenizer."""


@dataclass(frozen=True, slots=True)
class Fit:
    """One model to be trained."""

    fold: int | None
    """Which fold it does not see; None for the one that is trained on all, or on all but what is held out."""
    rows: Sequence[Mapping[str, Any]]
    """Of all pairs."""
    trained_on: Sequence[int]
    """Places in ``rows``."""
    held_out: Sequence[int]
    steps: int
    first_step: int
    """How many steps of the store stand before its own."""

    @property
    def name(self) -> str:
        return "" if self.fold is None else f"fold-{self.fold + 1}"


def train_reward_model(
    ctx: StageContext, stage: RewardModelStage, trunk: Trunk, pairs: Sequence[Pair], *, entropy_of: Policy | None = None
) -> Trained:
    """Train the models of a stage and publish them as ``MODEL_FOLDER``.

    With folds, first a model for each, without that fold's prompts; its pairs are judged by that model. Then the model
    for use: on all pairs with folds, else on all but the held-out ones. ``entropy_of`` is the policy whose entropy ends
    segments. With ``ctx.resume``, goes on where it was. Raises ``UserError`` where pairs and stage do not fit together.
    """
    began = time.perf_counter()
    model, tokenizer = trunk()
    rows, prompts = _rows(ctx, stage, pairs, model, tokenizer, entropy_of)
    fits = _fits(stage, rows, prompts, ctx.seed)
    settings = RewardSettings(
        stage.loss, segments=stage.segments, policy=None if entropy_of is None else entropy_of.path
    )
    draft = ctx.folder / DRAFT
    draft.mkdir(exist_ok=True)
    for fit in fits:
        if not share(bool(fit.name) and (draft / fit.name / SETTINGS).is_file()):
            started = (model, tokenizer) if model is not None else trunk()
            trainer = _train(ctx, stage, fit, started)
            _finish(ctx, stage, fit, trainer, settings, draft)
            model = None
    last = fits[-1].first_step + fits[-1].steps
    if stage.folds is not None:
        _note_cross_fit(ctx, fits, last)
        where = {fold_key(prompts[i]): fit.fold for fit in fits if fit.fold is not None for i in fit.held_out}
        if ctx.place.first:
            (draft / FOLDS).write_text(json.dumps(where, sort_keys=True) + "\n", encoding="utf-8")
    if ctx.place.first:
        publish(draft, ctx.folder / MODEL_FOLDER)
    wait()
    return Trained(last, time.perf_counter() - began, None, ctx.store.metrics(ctx.stage).get(last, {}))


def reward_arguments(ctx: StageContext, stage: RewardModelStage, steps: int, *, rows: int | None = None) -> Any:
    """The ``RewardConfig`` of a stage; what the recipe does not say is TRL's default."""
    given = convert("reward", stage.trainer)
    batch, per_device = split_batch(stage, given.pop("per_device_train_batch_size", None), rows, ctx.place.count)
    ours: dict[str, Any] = {
        "output_dir": str(ctx.folder),
        "max_steps": steps,
        "per_device_train_batch_size": per_device,
        "gradient_accumulation_steps": batch // per_device,
        "seed": ctx.seed,
        "save_steps": stage.save_every or max(1, -(-steps // 10)),
    }
    return on_device(ctx.device, "reward", given, ours)


def as_reward_model(policy: Policy, lora: LoraSpec | None = None, *, seed: int = 0) -> Any:
    """A sequence classifier on the trunk of a policy, its adapters merged; the head is 0, so that all scores are equal
    at first. The policy is used up. With ``lora``, fresh adapters, and a head that is trained whole."""
    causal = policy.model.merge_and_unload() if policy.adapted else policy.model
    known = {name: value for name, value in causal.config.to_dict().items() if name not in ("id2label", "label2id")}
    config = type(causal.config).from_dict({**known, "num_labels": 1, "architectures": None})
    config.get_text_config().pad_token_id = policy.tokenizer.pad_token_id
    with quiet():
        try:
            model = AutoModelForSequenceClassification.from_config(config, dtype=causal.dtype)
        except ValueError as error:
            raise UserError(f"{config.model_type}: transformers has no sequence classifier on this trunk") from error
    if not hasattr(model, "score"):
        raise UserError(f"{type(model).__name__} has no head called 'score'")
    trunk = getattr(causal, causal.base_model_prefix).state_dict()
    getattr(model, model.base_model_prefix).load_state_dict(trunk)
    torch.nn.init.zeros_(model.score.weight)
    model.to(causal.device)
    return model if lora is None else _adapted(model, lora, seed)


def open_trunk(spec: TrunkSpec, device: str, lora: LoraSpec | None = None, *, seed: int = 0) -> tuple[Any, Any]:
    """The sequence classifier that a stage's ``trunk`` describes, and its tokenizer: a reward model is trained further
    with its head, any other model gets a new one. Raises ``UserError`` where it cannot be had."""
    place = str(spec.path or spec.hub)
    with quiet():
        try:
            known = AutoConfig.from_pretrained(place, revision=spec.revision).architectures or []
        except (OSError, ValueError, KeyError) as error:
            raise UserError(f"trunk: {place} cannot be loaded: {first_sentence(error)}") from error
    if any(name.endswith("ForSequenceClassification") for name in known):
        found = load_reward_model(place, device=device)
        return found.model if lora is None else _adapted(found.model, lora, seed), found.tokenizer
    policy = load_policy(PolicySpec(hub=spec.hub, path=spec.path, revision=spec.revision), device=device)
    return as_reward_model(policy, lora, seed=seed), policy.tokenizer


def _adapted(model: Any, spec: LoraSpec, seed: int) -> Any:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=spec.targets if isinstance(spec.targets, str) else list(spec.targets),
        modules_to_save=["score"],
        task_type="SEQ_CLS",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return get_peft_model(model, config)


def _rows(
    ctx: StageContext,
    stage: RewardModelStage,
    pairs: Sequence[Pair],
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    entropy_of: Policy | None,
) -> tuple[list[dict[str, Any]], list[Sequence[Message]]]:
    """Encoded pairs with the places of their segments' ends, and the prompt of each."""
    if stage.loss == "cost":
        lacking = sum(pair.safe is None for pair in pairs)
        if lacking:
            raise UserError(f"loss: cost needs `safe` of every pair; {lacking} of {len(pairs)} have none")
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    limit = convert("reward", stage.trainer).get("max_length") or context
    rows = encode_pairs(pairs, stage, tokenizer, limit, ctx.progress)
    for side in ("chosen", "rejected"):
        starts, said = [row["prompt_ids"] for row in rows], [row[f"{side}_ids"] for row in rows]
        entropies: Sequence[list[float] | None] = [None] * len(rows)
        if entropy_of is not None:
            entropies = entropies_of(entropy_of, starts, said)
        for row, start, ids, own in zip(rows, starts, said, entropies, strict=True):
            row[f"{side}_ends"] = [len(start) + end for end in token_ends(tokenizer, ids, stage.segments, own)]
    kept = [pairs[row["index"]] for row in rows]
    for row, pair in zip(rows, kept, strict=True):
        row["chosen_safe"], row["rejected_safe"] = pair.safe or (True, True)
        longer = len(pair.chosen) - len(pair.rejected)
        row["longer_wins"] = 0.5 if longer == 0 else float(longer > 0)
    return rows, [pair.prompt for pair in kept]


def _fits(
    stage: RewardModelStage, rows: Sequence[Mapping[str, Any]], prompts: Sequence[Sequence[Message]], seed: int
) -> list[Fit]:
    """The models to be trained, those of folds first. No prompt is on both sides of one."""
    keys = [prompt_key(prompt) for prompt in prompts]
    every = range(len(rows))
    parts: list[tuple[int | None, list[int], list[int]]] = []
    if stage.folds is not None:
        where = folds(keys, stage.folds, seed=seed)
        parts += [
            (fold, [i for i in every if where[i] != fold], [i for i in every if where[i] == fold])
            for fold in range(stage.folds)
        ]
    different = len(set(keys))
    count = 0 if stage.folds is not None or stage.held_out == 0 else min(round(1 / stage.held_out), different)
    where = folds(keys, count, seed=seed) if count > 1 else [1] * len(rows)
    parts.append((None, [i for i in every if where[i] != 0], [i for i in every if where[i] == 0]))
    fits: list[Fit] = []
    for fold, inside, outside in parts:
        steps = steps_of(stage, len(inside)) or 1
        before = fits[-1].first_step + fits[-1].steps if fits else 0
        fits.append(Fit(fold, rows, inside, outside, steps, before))
    return fits


def _train(
    ctx: StageContext, stage: RewardModelStage, fit: Fit, started: tuple[Any, PreTrainedTokenizerBase]
) -> RewardModelTrainer:
    """One model, on from its newest checkpoint where there is one."""
    own = replace(ctx, folder=ctx.folder / fit.name if fit.name else ctx.folder)
    own.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = newest_checkpoint(own.folder) if ctx.resume else None
    done = checkpoint_step(checkpoint) if checkpoint else 0
    ctx.store.truncate(ctx.stage, fit.first_step + done)
    args = reward_arguments(own, stage, fit.steps, rows=len(fit.trained_on))
    rows = [fit.rows[i] for i in fit.trained_on]
    prefix = f"{fit.name}/" if fit.name else ""
    return carry_out(
        own,
        lambda: RewardModelTrainer(started[0], rows, args, started[1], RewardLoss(stage)),
        (StepWriter(ctx, step_of=lambda step: fit.first_step + step, prefix=prefix),),
        what=f"{ctx.stage} {fit.name}".strip(),
        keep=stage.keep,
        total=fit.steps,
        checkpoint=checkpoint,
        done=done >= fit.steps,
    )


def _finish(
    ctx: StageContext,
    stage: RewardModelStage,
    fit: Fit,
    trainer: RewardModelTrainer,
    settings: RewardSettings,
    draft: Path,
) -> None:
    """Store what the model makes of held-out pairs, and keep it with the scale of its scores."""
    model, tokenizer, loss = trainer.model, trainer.processing_class, RewardLoss(stage)
    prefix, step = f"{fit.name}/" if fit.name else "", fit.first_step + fit.steps
    if fit.held_out:
        rows = [fit.rows[i] for i in fit.held_out]
        found = judge(model, rows, loss, tokenizer.pad_token_id)
        longer = math.fsum(row["longer_wins"] for row in rows) / len(rows)
        numbers = {"pairs": float(len(rows)), "accuracy": found.accuracy, "loss": found.loss, "longer_wins": longer}
        if found.safe_accuracy is not None:
            numbers["safe_accuracy"] = found.safe_accuracy
        ctx.store.add_metrics(ctx.stage, step, {f"{prefix}held_out/{name}": value for name, value in numbers.items()})
    scores = torch.tensor(judge(model, [fit.rows[i] for i in fit.trained_on], loss, tokenizer.pad_token_id).scores)
    mean = 0.0 if stage.loss == "cost" else scores.mean().item()
    spread = (scores - mean).square().mean().sqrt().item()
    if ctx.place.first:
        _keep(ctx, fit, model, tokenizer, replace(settings, mean=mean, std=spread if spread > 0 else 1.0), draft)
    wait()


def _keep(
    ctx: StageContext, fit: Fit, model: Any, tokenizer: PreTrainedTokenizerBase, settings: RewardSettings, draft: Path
) -> None:
    target = draft / fit.name if fit.name else draft
    unfinished = draft / f".{fit.name}" if fit.name else draft
    with quiet():
        whole = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
        whole.save_pretrained(unfinished)
        tokenizer.save_pretrained(unfinished)
    save_settings(unfinished, settings)
    if unfinished != target:
        publish(unfinished, target)
        shutil.rmtree(ctx.folder / fit.name, ignore_errors=True)  # checkpoints of a fold that is done


def _note_cross_fit(ctx: StageContext, fits: Sequence[Fit], step: int) -> None:
    """Every pair judged by the model that never saw its prompt: the mean over pairs of what the folds' models did."""
    numbers = {name: value for one in ctx.store.metrics(ctx.stage).values() for name, value in one.items()}
    parts = [(len(fit.held_out), fit.name) for fit in fits if fit.fold is not None]
    count = sum(pairs for pairs, _ in parts)
    found = {"held_out/pairs": float(count)}
    for name in ("accuracy", "loss", "longer_wins", "safe_accuracy"):
        values = [(pairs, numbers.get(f"{fold}/held_out/{name}")) for pairs, fold in parts]
        if all(value is not None for _, value in values):
            found[f"held_out/{name}"] = math.fsum(pairs * (value or 0.0) for pairs, value in values) / count
    ctx.store.add_metrics(ctx.stage, step, found)
