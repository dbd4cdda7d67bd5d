"""TRL's GRPO trainer with honewise's rewards, credit and exact resume; ``overrides`` lists what is overridden."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor
from trl import GRPOTrainer

from honewise.algorithms import Rollouts
from honewise.clients.ledger import CallRecord
from honewise.contracts import Scored, Task
from honewise.models.sampling import derive_seed
from honewise.models.shared_prefix import sharing
from honewise.runs.rows import RolloutRow
from honewise.scoring import Row, domain_of

from .actor_critic import ActorCritic
from .checkpoints import ExactCheckpoints
from .credit import decode
from .losses import Losses, loss_mask
from .objective import Batch, Objective, Targets
from .order import EpochSampler, cut, unit_of
from .phases import Timed
from .processes import together
from .rollouts import (
    RolloutBatch,
    TokenCredit,
    components,
    cost_credits,
    domains_of,
    group_credits,
    token_credit,
    totals_of,
)
from .sampling import Sampling
from .setup import Scores, Setup
from .sharing import SharedPrompts
from .telling import Telling

__all__ = ["CreditTrainer", "EpochSampler", "Scores", "Setup"]

_ROW_AVERAGED = ("grpo", "dr_grpo", "sapo", "luspo")
"""Losses that divide by the number of rows; the others divide by tokens, which masked rows have none of."""


class CreditTrainer(Timed, Telling, Sampling, Losses, ExactCheckpoints, ActorCritic, SharedPrompts, GRPOTrainer):
    """GRPO in which every token has an advantage of its own, and PPO where the setup has a critic.

    The data set is made of ``setup.tasks``: a prompt and the number of its task. ``args`` is a ``GRPOConfig``.
    """

    def __init__(self, model: Any, setup: Setup, args: Any, tokenizer: Any) -> None:
        self.setup = setup
        self.keep = setup.keep
        self.names = components(setup.scorer.rubric)
        self.domains = domains_of(setup.scorer.rubric)
        self.objective = Objective(setup)
        self._batch: RolloutBatch | None = None
        self._buffered_inputs: list[dict[str, Any]] | None = None
        self._told_of_units = False
        self._wants_greedy = "greedy" in setup.estimator.needs
        self._greedy_ids: list[list[int]] = []
        self._rows: list[RolloutRow] = []
        self._sums: dict[str, dict[str, Tensor]] = {"train": {}, "eval": {}}
        self._calls: list[CallRecord] = []
        self._prompt_texts: dict[int, str] = {}
        critic = setup.new_critic() if setup.new_critic is not None else None
        super().__init__(
            model=model,
            reward_funcs=[_named(name) for name in self.names],
            args=args,
            train_dataset=_dataset(setup.tasks),
            processing_class=tokenizer,
        )
        if critic is not None:
            assert setup.critic is not None
            self.take_critic(critic, setup.critic)

    def say(self, line: str) -> None:
        if self.accelerator.is_main_process:
            self.setup.note(line)

    # scoring

    def _calculate_rewards(
        self,
        inputs: Any,
        prompts: Any,  # noqa: ARG002 - the signature is TRL's
        completions: Any,  # noqa: ARG002
        completion_ids_list: Any,
    ) -> Tensor:
        step, samples = self.state.global_step + 1, self._samples()
        first = self.accelerator.process_index * len(inputs)
        groups = [(first + i) // samples for i in range(len(inputs))]
        tasks = [self.setup.tasks[example["task"]] for example in inputs]
        decoded, scored = self._scored_ahead(completion_ids_list) or (
            [decode(self._tokenizer, ids) for ids in completion_ids_list],
            [],
        )
        rows = [self._row(*each) for each in zip(tasks, decoded, completion_ids_list, groups, strict=True)]
        greedy = self._greedy_rows(tasks, groups)
        with self.phases("score"):
            asked = [*([] if scored else rows), *greedy.values()]
            rest = together(lambda: self.setup.scorer.score(asked, step=step))
        scored = scored or rest[: len(rows)]
        best = dict(zip(greedy, rest[len(rest) - len(greedy) :], strict=True))
        everyone = gather_object(scored)
        self._batch = RolloutBatch(decoded, scored, everyone)
        self._batch.greedy = [best[group] for group in groups] if best else []
        self._keep_calls(self._batch)
        counted = [*everyone, *gather_object(list(best.values()))]
        together(lambda: self.setup.scorer.check_budget(counted, self.setup.max_unscored))
        return self._reward_table(everyone)

    def _greedy_rows(self, tasks: Sequence[Task], groups: Sequence[int]) -> dict[int, Row]:
        """Group to its greedy completion, to be scored; empty where nobody needs them."""
        found, self._greedy_ids = self._greedy_ids, []
        rows: dict[int, Row] = {}
        for task, ids, group in zip(tasks, found, groups, strict=False):
            if group not in rows:
                rows[group] = self._row(task, decode(self._tokenizer, ids), ids, group)
        return rows

    def _samples(self) -> int:
        return int(self.num_generations if self.model.training else self.num_generations_eval)

    def _reward_table(self, scored: Sequence[Scored]) -> Tensor:
        """(N, K) values before weights, NaN where missing; the weights of this step are set beside it."""
        table = totals_of(scored, self.names, weighted=False).T.float().to(self.accelerator.device)
        last = {name: cell.weight for one in scored for name, cell in one.rewards.items()}
        self.reward_weights = torch.tensor([last.get(name, 1.0) for name in self.names])
        return table

    # advantages

    def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
        with self.phases("credit"):
            return self._rolled_out(inputs)

    def _rolled_out(self, inputs: Any) -> dict[str, Any]:
        mode = "train" if self.model.training else "eval"
        tried: dict[str, float] = {}
        if self.setup.dynamic is not None and mode == "train":
            inputs = self._filled(inputs, tried)
        self._examples = inputs
        out: dict[str, Any] = super()._generate_and_score_completions(inputs)
        self._examples = ()
        batch = self._batch
        assert batch is not None, "TRL did not ask for rewards"
        self._batch = None
        rows, width = out["completion_ids"].shape
        first = self.accelerator.process_index * rows
        mine = slice(first, first + rows)
        groups = group_credits(batch.everyone, self.setup.scorer.rubric, self._samples())
        wrote = self._policy_tokens(batch, out)
        own = token_credit(groups, first, batch.decoded, wrote, self.names, self.setup.placement, width)
        everyone = self._gather(own)
        if mode == "train":
            targets = self._learn(inputs, batch, everyone, out, wrote)
        else:
            targets = Targets(self.objective.evaluate(self._rollouts(everyone, batch, {})))
        self._leave_out(out, everyone.scored.any(-1), mine)
        out["advantages"] = targets.advantages[mine, :width].to(out["completion_ids"].device, torch.float32)
        if targets.returns is not None:
            self._keep_targets(out, targets, mine)
        self._note(batch, everyone, targets.advantages, mode, {**targets.numbers, **tried})
        if mode == "train":
            self._keep_rows(inputs, batch, own, targets.advantages[mine, :width], self._samples())
        return out

    def _learn(
        self, inputs: Any, batch: RolloutBatch, credit: TokenCredit, out: dict[str, Any], wrote: list[list[bool]]
    ) -> Targets:
        """What the whole batch teaches; every process computes the same from the same."""
        costs = tuple(self.setup.constraints)
        needed = self._needed(out, credit.mask)
        values = needed.pop("values", None)
        greedy = gather_object(batch.greedy)
        if greedy:
            needed["greedy"] = totals_of(greedy, self.names)
        whole = Batch(
            rollouts=self._rollouts(credit, batch, needed),
            truncated=torch.tensor([one.completion.truncated for one in batch.everyone]),
            tasks=gather_object([example["task"] for example in inputs]),
            costs=self._costs(batch, out, wrote) if costs else {},
            values=values,
            greedy_costs=totals_of(greedy, costs, weighted=False) if greedy and costs else None,
            greedy_truncated=torch.tensor([one.completion.truncated for one in greedy]) if greedy else None,
        )
        if whole.values is not None:
            values = self.scaled_values(whole)
            whole = replace(whole, values=values)
            first, width = self.accelerator.process_index * len(inputs), out["completion_ids"].shape[1]
            out["old_values"] = values[first : first + len(inputs), :width].to(out["completion_ids"].device).float()
        return self.objective.learn(whole)

    def _rollouts(self, credit: TokenCredit, batch: RolloutBatch, needed: Mapping[str, Tensor]) -> Rollouts:
        group = torch.arange(len(credit.mask)) // self._samples()
        told = self._told(batch.everyone)
        if self.domains:
            told["domain"] = torch.tensor([self.domains.index(domain_of(one.task)) for one in batch.everyone])
        return Rollouts(credit.rewards.transpose(0, 1), credit.scored.T, credit.mask, group, **needed, **told)

    def _costs(
        self, batch: RolloutBatch, out: Mapping[str, Any], wrote: list[list[bool]]
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Each cost's credit on the tokens of everyone's completions, and who has it."""
        rows, width = out["completion_ids"].shape
        names = tuple(self.setup.constraints)
        groups = cost_credits(batch.everyone, self.setup.scorer.rubric, names, self._samples())
        first = self.accelerator.process_index * rows
        found = self._gather(token_credit(groups, first, batch.decoded, wrote, names, self.setup.placement, width))
        return {name: (found.rewards[:, i], found.scored[:, i]) for i, name in enumerate(names)}

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
        moved = torch.tensor([mine.moved], device=device)
        sent = (rewards, mine.scored.to(device, torch.uint8), mask, moved)
        parts = [self.accelerator.gather(x.contiguous()).cpu() for x in sent]
        return TokenCredit(parts[0], parts[1].bool(), parts[2].bool(), int(parts[3].sum()))

    def _told(self, scored: Sequence[Scored]) -> dict[str, Tensor]:
        """Inputs that the scores hold, where the estimator declares them."""
        needs, found = self.setup.estimator.needs, {}
        if "correct" in needs:
            found["correct"] = torch.tensor([-1 if one.correct is None else int(one.correct) for one in scored])
        if "weights" in needs:
            found["weights"] = self.reward_weights.detach().cpu().double()
        return found

    def _needed(self, out: Mapping[str, Any], mask: Tensor) -> dict[str, Tensor]:
        """Exactly the inputs that the objective declares and a model computes, of everyone."""
        needs = self.objective.needs
        found: dict[str, Tensor] = {}
        if "ref_logps" in needs:
            found["ref_logps"] = out["ref_per_token_logps"]
        if "old_logps" in needs and "old_per_token_logps" in out:
            found["old_logps"] = out["old_per_token_logps"]
        if (needs - set(found)) & {"old_logps", "entropies", "values"}:
            ids = torch.cat([out["prompt_ids"], out["completion_ids"]], 1)
            attention = torch.cat([out["prompt_mask"], out["completion_mask"]], 1)
            with torch.no_grad(), self.values_asked() as values:
                logps, entropies, _ = self._get_per_token_logps_and_entropies(
                    self.model, ids, attention, out["completion_ids"].shape[1], compute_entropy=True,
                    batch_size=self.args.per_device_train_batch_size,
                )  # fmt: skip
            found |= {"old_logps": found.get("old_logps", logps), "entropies": entropies}
            found |= {"values": values[0]} if values else {}
        wanted = sorted(needs & set(found))
        gathered = {name: self.accelerator.pad_across_processes(found[name].detach(), dim=1) for name in wanted}
        return {
            name: self.accelerator.gather(value.contiguous()).cpu().double()[:, : mask.shape[1]]
            for name, value in gathered.items()
        }

    def _leave_out(self, out: dict[str, Any], scored: Tensor, mine: slice) -> None:
        """Rows without any score stay in the batch, whose size is fixed, but leave the loss and its denominators."""
        if scored.all():
            return
        mask = out["completion_mask"]
        out["completion_mask"] = mask * scored[mine].to(mask).unsqueeze(1)
        out["num_items_in_batch"] = self.accelerator.gather(loss_mask(out).sum()).sum()
        if self.loss_type in _ROW_AVERAGED:
            kept = max(int(scored.sum()), 1)
            out["kept_weight"] = torch.tensor(len(scored) / kept, device=mask.device)

    def _keep_targets(self, out: dict[str, Any], targets: Targets, mine: slice) -> None:
        """What the critic is to learn goes into the buffer, beside what it said."""
        assert targets.returns is not None
        assert targets.counted is not None
        device, width = out["completion_ids"].device, out["completion_ids"].shape[1]
        out["returns"] = targets.returns[mine, :width].to(device, torch.float32)
        counted = targets.counted[mine, :width].to(device) & loss_mask(out).bool().unsqueeze(-1)
        out["value_mask"] = counted
        out["value_items"] = self.accelerator.gather(counted.any(-1).sum()).sum()

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
        self.sampler.drawing = self.setup.drawing
        return self.sampler

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        """TRL's; where a generation is cut into parts, completions of one prompt stay together."""
        parts = self.args.steps_per_generation
        if parts == 1 or not self.model.training:
            return super()._prepare_inputs(generation_batch)
        every, unit = parts * self.num_iterations, unit_of(len(generation_batch), parts, self.num_generations)
        if unit < self.num_generations and not self._told_of_units and sharing(self.model):
            self._told_of_units = True
            self.say(
                f"prompts are shared by {unit} of their {self.num_generations} completions at once, as many as fit"
                " into one pass; a multiple as per_device_train_batch_size shares them wholly"
            )
        if self._step % every == 0 or self._buffered_inputs is None:
            batch = self._generate_and_score_completions(generation_batch)
            seed = derive_seed(self.args.seed, "order", self._step // every)
            self._buffered_inputs = cut(batch, parts, self.num_generations, seed)
        return self._buffered_inputs[self._step % parts]

    def exact_state(self) -> dict[str, Any]:
        between = self._step % (self.args.steps_per_generation * self.num_iterations) == 0
        buffer = None if between else self._buffered_inputs
        tried = None if self._queue is None else self._queue.drawn
        return {"step": self._step, "buffer": buffer, "objective": self.objective.state(), "tried": tried}

    def restore_exact_state(self, state: dict[str, Any]) -> None:
        self._step = state["step"]
        self.objective.restore(state["objective"])
        if state["tried"] is not None:
            self._task_queue().drawn = state["tried"]
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
