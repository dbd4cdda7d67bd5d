"""Pairs and trainers of preferences for the tiny world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tiny_world as world
import torch

from honewise.engine.collecting import Draw
from honewise.engine.dpo import LossSpec, PreferenceTrainer, dpo_arguments
from honewise.engine.pairs import encode_pairs
from honewise.engine.references import fix_reference
from honewise.engine.rounds import Rounds
from honewise.models.policy import Policy, quiet
from honewise.recipes.schema import DpoStage, LoraSpec
from honewise.runs.run import StageContext
from honewise.scoring import Scorer
from honewise.scoring.pairs import Pair, PairRule


def pairs(count: int = 8, **changes: Any) -> list[Pair]:
    """What is asked for against what is not, of unequal lengths."""
    made = [
        Pair(
            task.id,
            task.prompt,
            f"{task.inputs['word']} it is" + "!" * (i % 2),
            "no " * (1 + i % 3),
            scores=(1.0, 0.25 * (i % 4)),
            margin=1.0 - 0.25 * (i % 4),
            prob=0.6 + 0.05 * (i % 4),
            source="made",
        )
        for i, task in enumerate(world.tasks(count))
    ]
    return [replace(pair, **changes) for pair in made]


def stage(**changes: Any) -> DpoStage:
    trainer = {"learning_rate": 1e-3, **changes.pop("trainer", {})}
    return DpoStage(**{"steps": 3, "batch": 8, "save_every": 1000, **changes, "trainer": trainer})


def rounds(ctx: StageContext, judge: Scorer, **changes: Any) -> Rounds:
    """Three rounds over the tiny world's tasks, by its own rewards."""
    how = stage(**{"batch": 4, "steps": 2, **changes})
    assert how.rounds is not None
    draw = Draw(how.rounds.samples, max_new_tokens=12, at_once=how.rounds.sampled_at_once, seed=ctx.seed)
    return Rounds(ctx, how, world.tasks(), judge, draw, PairRule(rule=how.rounds.rule), {})


def preference_trainer(
    folder: Path,
    over: Sequence[Pair],
    *,
    of: Policy | None = None,
    lora: LoraSpec | None = None,
    moved: float = 0.02,
    **changes: Any,
) -> tuple[PreferenceTrainer, dict[str, Any]]:
    """A trainer that has not begun, whose policy was moved away from its reference, and its only batch."""
    how = stage(**{"batch": len(over), **changes})
    ctx = world.context(folder, "dpo")
    start = of or world.policy(lora=lora)
    rows = encode_pairs(over, how, start.tokenizer, None, ctx.progress)
    fix_reference(ctx, start)
    with quiet():
        args = dpo_arguments(ctx, how, how.steps, rows=len(rows))
        trainer = PreferenceTrainer(start.model, rows, args, start.tokenizer, LossSpec.of(how, rows))
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in trainer.model.named_parameters():
            if value.requires_grad and ".ref." not in name:
                value.add_(moved * torch.randn(value.shape, generator=noise))
    trainer.model.train()
    return trainer, trainer.data_collator(rows)
