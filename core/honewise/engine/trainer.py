"""TRL's GRPO trainer with honewise's rewards, credit and exact resume; ``overrides`` lists what is overridden."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from trl import GRPOTrainer
from trl.trainer.utils import RepeatSampler

from honewise.algorithms import Estimator, Rollouts
from honewise.clients.ledger import CallRecord, judge_numbers
from honewise.contracts import Rubric, Scored, Task
from honewise.models.sampling import derive_seed, generate
from honewise.models.text import prompt_text
from honewise.runs.rows import RolloutRow
from honewise.scoring import Row

from .checkpoints import ExactCheckpoints
from .credit import Placement, decode
from .rollouts import RolloutBatch, TokenCredit, components, group_credits, token_credit
from .sharing import SharedPrompts

__all__ = ["CreditTrainer", "EpochSampler", "Scores", "Setup"]

_ROW_AVERAGED = ("grpo", "dr_grpo", "sapo", "luspo")
"""Losses that divide by the number of rows; the others divide by tokens, which masked rows have none of."""


class Scores(Protocol):
    """What the trainer needs of ``honewise.scoring.Scorer``."""

    @property
    def rubric(self) -> Rubric: ...
    def score(self, rows: Sequence[Row], *, step: int = 0) -> list[Scored]: ...
    def take_calls(self) -> list[CallRecord]: ...
    def check_budget(self, scored: Sequence[Scored], max_unscored: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Setup:
    """What honewise adds to TRL's arguments."""

    tasks: Sequence[Task]
    scorer: Scores
    estimator: Estimator
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the estimator."""
    placement: Placement = "span_end"
    max_unscored: float = 1.0
    keep: int = 2
    """Checkpoints kept."""
    note: Callable[[str], None] = print
    """Told what a person should know."""


class EpochSampler(RepeatSampler):
    """TRL's sampler, in which the order of an epoch follows from the seed and the epoch alone, whatever came before.

    The first epoch is that of TRL.
    """

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        if self.shuffle:
            self.generator.manual_seed(self.seed if self.epoch == 0 else derive_seed(self.seed, "epoch", self.epoch))
        return super().__iter__()


class CreditTrainer(ExactCheckpoints, SharedPrompts, GRPOTrainer):
    """GRPO in which every token has an advantage of its own.

    The data set is made of ``setup.tasks``: a prompt and the number of its task. ``args`` is a ``GRPOConfig``.
    """

    def __init__(self, model: Any, setup: Setup, args: Any, tokenizer: Any) -> None:
        self.setup = setup
        self.keep = setup.keep
        self.names = components(setup.scorer.rubric)
        self._batch: RolloutBatch | None = None
        self._rows: list[RolloutRow] = []
        self._calls: list[CallRecord] = []
        self._prompt_texts: dict[int, str] = {}
        super().__init__(
            model=model,
            reward_funcs=[_named(name) for name in self.names],
            args=args,
            train_dataset=_dataset(setup.tasks),
            processing_class=tokenizer,
        )

    def say(self, line: str) -> None:
        self.setup.note(line)

    def take_rows(self) -> list[RolloutRow]:
        """The completions generated since the last call, as the store takes them."""
        rows, self._rows = self._rows, []
        return rows

    def take_calls(self) -> list[CallRecord]:
        """What the judge was asked since the last call, as the store takes it."""
        calls, self._calls = self._calls, []
        return calls

    # sampling

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, has_tool_images: bool = False
    ) -> tuple[list[list[int]], None]:
        if not self._samples_itself(multimodal_fields):
            return super()._generate_single_turn(
                prompt_ids, images, multimodal_fields, num_generations, has_tool_images=has_tool_images
            )
        whole = len(prompt_ids) % num_generations == 0 and all(
            prompt_ids[i] == prompt_ids[i - i % num_generations] for i in range(len(prompt_ids))
        )
        samples = num_generations if whole else 1
        mode = "train" if self.model.training else "eval"
        generation = self._step // (self.args.steps_per_generation * self.num_iterations)
        where = (self.args.seed, mode, generation, self.accelerator.process_index)
        groups = generate(
            self.accelerator.unwrap_model(self.model_wrapped),
            prompt_ids[::samples],
            samples=samples,
            temperature=self.temperature,
            top_p=self.top_p,
            max_new_tokens=self.max_completion_length,
            stop=frozenset(self.eos_token_ids),
            pad=self._tokenizer.pad_token_id,
            seeds=[derive_seed(*where, i) for i in range(0, len(prompt_ids), samples)],
        )
        return [ids for group in groups for ids in group], None

    def _samples_itself(self, multimodal_fields: Mapping[str, Any]) -> bool:
        """False where TRL's own ways of generating are asked for, or needed to gather sharded weights."""
        asked = self.use_vllm or self.use_transformers_continuous_batching or self.args.generation_kwargs
        shaped = self.top_k or self.min_p or self.repetition_penalty != 1.0 or self.args.cache_implementation
        sharded = self.is_deepspeed_enabled or self.is_fsdp_enabled
        return not (asked or shaped or sharded or multimodal_fields or self._is_vlm)

    # scoring

    def _calculate_rewards(
        self,
        inputs: Any,
        prompts: Any,  # noqa: ARG002 - the signature is TRL's
        completions: Any,  # noqa: ARG002
        completion_ids_list: Any,
    ) -> Tensor:
        began = time.perf_counter()
        step = self.state.global_step + 1
        tasks = [self.setup.tasks[example["task"]] for example in inputs]
        decoded = [decode(self._tokenizer, ids) for ids in completion_ids_list]
        first = self.accelerator.process_index * len(inputs)
        rows = [
            Row(task, text.text, len(ids), not ids or ids[-1] not in self.eos_token_ids, (first + i) // self._samples())
            for i, (task, text, ids) in enumerate(zip(tasks, decoded, completion_ids_list, strict=True))
        ]
        scored = self.setup.scorer.score(rows, step=step)
        everyone = gather_object(scored)
        self._batch = RolloutBatch(decoded, scored, everyone)
        self._batch.extra["seconds/scoring"] = time.perf_counter() - began
        calls: list[CallRecord] = gather_object(self.setup.scorer.take_calls())
        self._batch.extra |= judge_numbers(calls)
        self._calls += calls
        self.setup.scorer.check_budget(everyone, self.setup.max_unscored)
        return self._reward_table(everyone)

    def _samples(self) -> int:
        return int(self.num_generations if self.model.training else self.num_generations_eval)

    def _reward_table(self, scored: Sequence[Scored]) -> Tensor:
        """(N, K) values before weights, NaN where missing; the weights of this step are set beside it."""
        table = torch.full((len(scored), len(self.names)), torch.nan, device=self.accelerator.device)
        weights = torch.ones(len(self.names))
        for column, name in enumerate(self.names):
            for row, one in enumerate(scored):
                cell = one.rewards.get(name)
                value = one.cut if cell is None and one.total is not None else cell.value if cell is not None else None
                if value is not None:
                    table[row, column] = value
                if cell is not None:
                    weights[column] = cell.weight
        self.reward_weights = weights
        return table

    # advantages

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        began = time.perf_counter()
        mode = "train" if self.model.training else "eval"
        out: dict[str, Any] = super()._generate_and_score_completions(inputs)
        batch = self._batch
        assert batch is not None, "TRL did not ask for rewards"
        rows, width = out["completion_ids"].shape
        first = self.accelerator.process_index * rows
        groups = group_credits(batch.everyone, self.setup.scorer.rubric, self._samples())
        mine = token_credit(
            groups, first, batch.decoded, self._policy_tokens(batch, out), self.names, self.setup.placement, width
        )
        everyone = self._gather(mine)
        advantages = self._estimate(everyone, out, batch.everyone)
        scored = everyone.scored.any(-1)
        self._leave_out(out, scored, slice(first, first + rows))
        own = advantages[first : first + rows, :width]
        out["advantages"] = own.to(out["completion_ids"].device, torch.float32)
        batch.credit = mine
        self._note(batch, everyone, advantages, mode, time.perf_counter() - began)
        if mode == "train":
            self._rows += self._rollout_rows(inputs, batch, mine, own)
        self._batch = None
        return out

    def _policy_tokens(self, batch: RolloutBatch, out: Mapping[str, Any]) -> list[list[bool]]:
        """For each completion, which of its tokens the policy wrote."""
        lengths = [len(text.spans) for text in batch.decoded]
        tool_mask = out.get("tool_mask")
        if tool_mask is None:
            return [[True] * length for length in lengths]
        return [flags[:length].bool().tolist() for flags, length in zip(tool_mask, lengths, strict=True)]

    def _gather(self, mine: TokenCredit) -> TokenCredit:
        """That of all processes, in order, padded to one width."""
        if self.accelerator.num_processes == 1:
            return mine
        device = self.accelerator.device
        rewards = self.accelerator.pad_across_processes(mine.rewards.to(device), dim=2)
        mask = self.accelerator.pad_across_processes(mine.mask.to(device, torch.uint8), dim=1)
        parts = [self.accelerator.gather(x).cpu() for x in (rewards, mine.scored.to(device, torch.uint8), mask)]
        return TokenCredit(parts[0], parts[1].bool(), parts[2].bool(), mine.moved)

    def _estimate(self, credit: TokenCredit, out: Mapping[str, Any], scored: Sequence[Scored]) -> Tensor:
        """(N, T) advantages, float64."""
        group = torch.arange(len(credit.mask)) // self._samples()
        needed = self._needed(out, credit.mask) | self._told(scored)
        rollouts = Rollouts(credit.rewards.transpose(0, 1), credit.scored.T, credit.mask, group, **needed)
        return self.setup.estimator(rollouts, **self.setup.options)

    def _told(self, scored: Sequence[Scored]) -> dict[str, Tensor]:
        """Inputs that the scores hold, where the estimator declares them."""
        needs, found = self.setup.estimator.needs, {}
        if "correct" in needs:
            found["correct"] = torch.tensor([-1 if one.correct is None else int(one.correct) for one in scored])
        if "weights" in needs:
            found["weights"] = self.reward_weights.detach().cpu().double()
        return found

    def _needed(self, out: Mapping[str, Any], mask: Tensor) -> dict[str, Tensor]:
        """Exactly the inputs that the estimator declares and a model computes."""
        needs = self.setup.estimator.needs
        found: dict[str, Tensor] = {}
        if "ref_logps" in needs:
            found["ref_logps"] = out["ref_per_token_logps"]
        if "old_logps" in needs and "old_per_token_logps" in out:
            found["old_logps"] = out["old_per_token_logps"]
        if (needs - set(found)) & {"old_logps", "entropies"}:
            ids = torch.cat([out["prompt_ids"], out["completion_ids"]], 1)
            attention = torch.cat([out["prompt_mask"], out["completion_mask"]], 1)
            with torch.no_grad():
                logps, entropies, _ = self._get_per_token_logps_and_entropies(
                    self.model, ids, attention, out["completion_ids"].shape[1], compute_entropy=True,
                    batch_size=self.args.per_device_train_batch_size,
                )  # fmt: skip
            found |= {"old_logps": found.get("old_logps", logps), "entropies": entropies}
        wanted = sorted(needs & set(found))
        gathered = {name: self.accelerator.pad_across_processes(found[name].detach(), dim=1) for name in wanted}
        return {
            name: self.accelerator.gather(value).cpu().double()[:, : mask.shape[1]] for name, value in gathered.items()
        }

    def _leave_out(self, out: dict[str, Any], scored: Tensor, mine: slice) -> None:
        """Rows without any score stay in the batch, whose size is fixed, but leave the loss and its denominators."""
        if scored.all():
            return
        mask = out["completion_mask"]
        out["completion_mask"] = mask * scored[mine].to(mask).unsqueeze(1)
        loss_mask = out["completion_mask"] * out["tool_mask"] if "tool_mask" in out else out["completion_mask"]
        out["num_items_in_batch"] = self.accelerator.gather(loss_mask.sum()).sum()
        if self.loss_type in _ROW_AVERAGED:
            kept = max(int(scored.sum()), 1)
            out["kept_weight"] = torch.tensor(len(scored) / kept, device=mask.device)

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        loss = super()._compute_loss(model, inputs)
        weight = inputs.get("kept_weight")
        return loss if weight is None else loss * weight

    # what is told

    def _note(self, batch: RolloutBatch, credit: TokenCredit, advantages: Tensor, mode: str, seconds: float) -> None:
        """Numbers for the log, with the advantages that are really used in place of TRL's."""
        used, tokens = advantages[credit.mask], credit.mask.sum(-1).clamp(min=1)
        table, metrics = self._logs["advantages"], self._metrics[mode]
        for _ in range(min(len(advantages), len(table))):
            table.pop()
        table.extend((advantages.sum(-1) / tokens).tolist())
        everyone = batch.everyone
        numbers = dict(batch.extra)
        numbers["seconds/rollouts"] = seconds
        numbers["advantages/mean_size"] = float(used.abs().mean()) if used.numel() else 0.0
        numbers["credit/spans_moved"] = float(credit.moved)
        numbers["unscored"] = sum(one.total is None for one in everyone) / len(everyone)
        judged = [one.correct for one in everyone if one.correct is not None]
        if judged:
            numbers["correct"] = sum(judged) / len(judged)
        for name in self.names:
            missing = sum(name in one.rewards and one.rewards[name].value is None for one in everyone)
            if missing:
                numbers[f"unscored/{name}"] = missing / len(everyone)
        for name, value in numbers.items():
            metrics[name].append(value)

    def _rollout_rows(
        self, inputs: Any, batch: RolloutBatch, credit: TokenCredit, advantages: Tensor
    ) -> list[RolloutRow]:
        samples, first = self._samples(), self.accelerator.process_index * len(inputs)
        earned = credit.rewards.sum(1)
        means = (advantages.sum(-1) / credit.mask.sum(-1).clamp(min=1)).tolist()
        rows = []
        for i, (example, text, scored) in enumerate(zip(inputs, batch.decoded, batch.scored, strict=True)):
            marks = [
                (*span, value)
                for span, value in zip(text.spans, earned[i, : len(text.spans)].tolist(), strict=True)
                if value
            ]
            group, sample = divmod(first + i, samples)
            rows.append(RolloutRow(scored, self._prompt_text(example["task"]), group, sample, means[i], marks))
        return gather_object(rows)

    def _prompt_text(self, task: int) -> str:
        if task not in self._prompt_texts:
            self._prompt_texts[task] = prompt_text(self._tokenizer, self.setup.tasks[task].prompt)
        return self._prompt_texts[task]

    # order and resume

    def _get_train_sampler(self, dataset: Any = None) -> EpochSampler:
        self.sampler = EpochSampler(
            data_source=self.train_dataset if dataset is None else dataset,
            mini_repeat_count=self.num_generations,
            batch_size=self.args.generation_batch_size // self.num_generations,
            repeat_count=self.num_iterations * self.args.steps_per_generation,
            shuffle=self.shuffle_dataset,
            seed=self.args.seed,
        )
        return self.sampler

    def exact_state(self) -> dict[str, Any]:
        between = self._step % (self.args.steps_per_generation * self.num_iterations) == 0
        return {"step": self._step, "buffer": None if between else self._buffered_inputs}

    def restore_exact_state(self, state: dict[str, Any]) -> None:
        self._step = state["step"]
        device = self.accelerator.device
        self._buffered_inputs = state["buffer"] and [
            {name: value.to(device) if torch.is_tensor(value) else value for name, value in part.items()}
            for part in state["buffer"]
        ]


def _named(name: str) -> Any:
    """A stand-in under a component's name: TRL wants one function for each, and asks ``_calculate_rewards`` instead."""

    def component(**_: Any) -> list[float]:
        raise AssertionError(f"TRL asked {name!r} itself; rewards come from _calculate_rewards")

    component.__name__ = name
    return component


def _dataset(tasks: Sequence[Task]) -> Dataset:
    prompts = [[dict(message) for message in task.prompt] for task in tasks]
    return Dataset.from_dict({"prompt": prompts, "task": list(range(len(tasks)))})
