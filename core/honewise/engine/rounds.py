"""Rounds of a ``dpo`` stage: sample from the policy as it is now, score, pair, train; and again.

One trainer with one optimizer and one schedule goes through all rounds, so that rounds may be as short as one step. A
batch names places only; what stands there is made when the first of its round is asked for. A checkpoint is written at
the end of each round, and completions are stored chunk by chunk, so that a killed run samples nothing twice.

Steps in the store: each round has first its chunks of completions, then its steps of training.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import TrainerCallback, TrainerControl, TrainerState

from honewise.contracts import Task
from honewise.errors import UserError
from honewise.models.policy import Policy
from honewise.models.sampling import derive_seed
from honewise.recipes.preference import DpoStage, RoundsSpec
from honewise.runs.run import StageContext
from honewise.scoring.pairs import Pair, PairRule, candidate, make_pairs
from honewise.scoring.preferences import read_pairs, write_pairs

from .arguments import convert
from .callbacks import Interrupt, StepWriter
from .carrying_out import carry_out
from .checkpoints import checkpoint_step, newest_checkpoint
from .collecting import Draw, chunks_of, collect, fitting
from .dpo import LossSpec, PreferenceTrainer, dpo_arguments
from .pairs import encode_pairs
from .processes import share, wait
from .references import fix_reference
from .rl import Trained
from .trainer import Scores

__all__ = ["Rounds", "RoundsTrainer", "train_rounds"]

PAIRS_FILE = "pairs.jsonl"
REFERENCE_FILE = "reference.pt"


class NothingToPair(Exception):
    """A round after the first made no pair; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """How the pairs of each round are made."""

    ctx: StageContext
    stage: DpoStage
    tasks: Sequence[Task]
    scorer: Scores
    draw: Draw
    rule: PairRule
    provenance: Mapping[str, Any]
    max_unscored: float = 1.0

    @property
    def spec(self) -> RoundsSpec:
        assert self.stage.rounds is not None
        return self.stage.rounds

    @property
    def steps(self) -> int:
        """Optimizer steps of one round."""
        assert self.stage.steps is not None
        return self.stage.steps

    @property
    def prompts(self) -> int:
        return min(self.spec.prompts or len(self.tasks), len(self.tasks))

    @property
    def chunks(self) -> int:
        """Steps in the store that one round's completions take."""
        return chunks_of(self.prompts, self.draw)

    def folder(self, number: int) -> Path:
        """Of a round, counted from 0."""
        return self.ctx.folder / f"round-{number + 1}"

    def stored_step(self, step: int) -> int:
        """Where an optimizer step (from 1) stands in the store."""
        number = (step - 1) // self.steps
        return step + (number + 1) * self.chunks

    def kept_after(self, step: int) -> int:
        """The last step in the store that belongs to a checkpoint of this optimizer step: where it ends a round, the
        completions of the next do, since the same weights wrote them."""
        return step + (step // self.steps + 1) * self.chunks

    def tasks_of(self, number: int) -> list[Task]:
        """Those of a round: every task once before any comes again, in an order that follows from the seed."""
        return [self._task(number * self.prompts + place) for place in range(self.prompts)]

    def _task(self, place: int) -> Task:
        epoch, index = divmod(place, len(self.tasks))
        return self.tasks[_order(len(self.tasks), self.ctx.seed, "tasks", epoch)[index]]

    def pairs(self, number: int, policy: Policy, stop: Callable[[], bool]) -> list[Pair]:
        """The pairs of a round, made once. Raises ``UserError`` or ``NothingToPair`` where there are none."""
        file = self.folder(number) / PAIRS_FILE
        if share(file.is_file()):
            return read_pairs(file)
        tasks = self.tasks_of(number)
        self.ctx.progress.start(f"{self.ctx.stage}: completions of round {number + 1}", len(tasks) * self.draw.samples)
        draw = replace(self.draw, seed=derive_seed(self.ctx.seed, "round", number))
        first = number * (self.chunks + self.steps) + 1
        rows = collect(
            self.ctx, policy, tasks, self.scorer, draw, first_step=first, weights_at=number * self.steps,
            max_unscored=self.max_unscored, stop=stop,
        )  # fmt: skip
        self.ctx.progress.done()
        facts = {**self.provenance, "round": number + 1}
        made = (candidate(row.scored, self.rule) for row in rows)
        found = make_pairs(made, self.rule, seed=draw.seed, source=self.ctx.stage, provenance=facts)
        if not found.pairs:
            why = f"no pair came out of round {number + 1}: {found.why()}"
            raise NothingToPair(why) if number else UserError(why)
        self.ctx.store.add_metrics(self.ctx.stage, first + self.chunks - 1, {
            "round": number + 1, "pairs": len(found.pairs), "tasks/paired": found.counts["tasks/paired"]})  # fmt: skip
        if self.ctx.place.first:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_pairs(file, found.pairs)
        wait()
        return found.pairs


def train_rounds(rounds: Rounds, policy: Policy) -> Trained:
    """Train ``policy`` in place on pairs of its own; with ``ctx.resume``, on from the newest complete checkpoint.

    Ends early, and says so, where a round after the first makes no pair. A Ctrl-C ends the step or the chunk, and is
    raised.
    """
    ctx, stage = rounds.ctx, rounds.stage
    rounds = replace(rounds, tasks=fitting(ctx, policy, rounds.tasks, rounds.draw.max_new_tokens))
    if not rounds.tasks:
        raise UserError("there is no training task whose prompt the policy can read")
    steps = rounds.spec.count * rounds.steps
    args = dpo_arguments(ctx, stage, steps)
    checkpoint = newest_checkpoint(ctx.folder) if ctx.resume else None
    ctx.store.truncate(ctx.stage, rounds.kept_after(checkpoint_step(checkpoint) if checkpoint else 0))
    reference = fix_reference(ctx, policy)
    interrupt, began = Interrupt(), time.perf_counter()
    made: list[RoundsTrainer] = []

    def build() -> RoundsTrainer:
        made.append(RoundsTrainer(policy, args, rounds, interrupt))
        return made[0]

    try:
        carry_out(
            ctx, build, (StepWriter(ctx, step_of=rounds.stored_step), _RoundEnds(rounds.steps)), keep=stage.keep,
            total=steps, checkpoint=checkpoint, done=checkpoint is not None and checkpoint_step(checkpoint) >= steps,
            interrupt=interrupt,
        )  # fmt: skip
    except NothingToPair as nothing:
        ctx.progress.note(f"{ctx.stage}: {nothing}; training ends here")
    policy.path = None
    policy.model.eval()
    done = made[0].state.global_step
    last = ctx.store.metrics(ctx.stage).get(rounds.stored_step(done), {}) if done else {}
    return Trained(done, time.perf_counter() - began, reference, last)


class _RoundEnds(TrainerCallback):
    """A checkpoint at the end of each round."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, _args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step % self.steps == 0:
            control.should_save = True


class RoundsTrainer(PreferenceTrainer):
    """``PreferenceTrainer`` on pairs that are made on the way."""

    def __init__(self, policy: Policy, args: Any, rounds: Rounds, interrupt: Interrupt) -> None:
        self.policy, self.rounds, self.interrupt = policy, rounds, interrupt
        self._number = -1
        self._rows: list[dict[str, Any]] = []
        each = args.per_device_train_batch_size * args.gradient_accumulation_steps
        self._size = each * rounds.ctx.place.count * rounds.steps
        places = [{"place": place} for place in range(rounds.spec.count * self._size)]
        super().__init__(policy.model, places, args, policy.tokenizer, LossSpec.of(rounds.stage, ()))
        self.pair_collator: Any = self.data_collator
        self.data_collator = _places

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        dataset: Dataset = self.train_dataset if train_dataset is None else train_dataset
        return SequentialSampler(dataset)

    def _prepare_inputs(self, inputs: Any) -> Any:
        """The pairs that stand at the places of a batch."""
        rows = [self._row(place) for place in inputs["place"].tolist()]
        return super()._prepare_inputs(self.pair_collator(rows))

    def _row(self, place: int) -> dict[str, Any]:
        number, index = divmod(place, self._size)
        if number != self._number:
            self._begin(number)
        epoch, at = divmod(index, len(self._rows))
        return self._rows[_order(len(self._rows), self.args.seed, f"round {number}", epoch)[at]]

    def _begin(self, number: int) -> None:
        rounds, ctx = self.rounds, self.rounds.ctx
        if rounds.spec.reference == "moved" and number:
            self._move_reference(rounds.folder(number))
        policy = Policy(self.accelerator.unwrap_model(self.model), self.policy.tokenizer)
        pairs = rounds.pairs(number, policy, lambda: self.interrupt.asked)
        limit = convert("dpo", rounds.stage.trainer).get("max_length") or self.policy.context
        self._rows = encode_pairs(pairs, rounds.stage, self.policy.tokenizer, limit, ctx.progress)
        self._number = number
        ctx.progress.start(ctx.stage, total=self.args.max_steps)
        ctx.progress.advance(self.state.global_step)

    def _move_reference(self, folder: Path) -> None:
        """Make the policy as it is at the beginning of the round the reference; on a resume, as it was then."""
        file = folder / REFERENCE_FILE
        if self.rounds.ctx.place.first and not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / f".{REFERENCE_FILE}"
            torch.save(dict(self._trained()), draft)
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            draft.rename(file)
        wait()
        values = torch.load(file, weights_only=True, map_location="cpu")
        with torch.no_grad():
            for name, value in values.items():
                if self.ref_model is None:
                    self.model.get_parameter(name.replace(".default.", ".ref.")).copy_(value)
                else:
                    self.ref_model.get_parameter(name).copy_(value)

    def _trained(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, value in self.model.named_parameters():
            if self.ref_model is not None or ".default." in name:
                yield name, value.detach().cpu()


def _places(examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"place": torch.tensor([example["place"] for example in examples])}


def _order(count: int, seed: int, what: str, epoch: int) -> list[int]:
    generator = torch.Generator().manual_seed(derive_seed(seed, what, epoch))
    return torch.randperm(count, generator=generator).tolist()
