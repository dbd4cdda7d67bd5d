"""What a trainer tells of each batch: numbers for the log, completions for the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from accelerate.utils import gather_object
from torch import Tensor

from honewise.clients.ledger import CallRecord, judge_numbers
from honewise.contracts import Scored
from honewise.models.text import prompt_text
from honewise.runs.rows import RolloutRow
from honewise.scoring import domain_of

from .processes import everyones_calls
from .rollouts import RolloutBatch, TokenCredit
from .setup import Setup

__all__ = ["Telling", "domain_numbers"]


def domain_numbers(own: Sequence[Scored], count: int) -> dict[str, float]:
    """What a step tells of one domain, whose completions of all ``count`` these are; means are over those that have
    the number."""
    totals = [one.total for one in own if one.total is not None]
    correct = [one.correct for one in own if one.correct is not None]
    numbers = {"share": len(own) / count}
    if own:
        numbers["tokens"] = sum(one.completion.tokens for one in own) / len(own)
        numbers["truncated"] = sum(one.completion.truncated for one in own) / len(own)
        numbers["unscored"] = sum(one.total is None for one in own) / len(own)
    if totals:
        numbers["total"] = math.fsum(totals) / len(totals)
    if correct:
        numbers["correct"] = sum(correct) / len(correct)
    return numbers


class Telling:
    """Mixed into a trainer of TRL."""

    setup: Setup
    names: tuple[str, ...]
    domains: tuple[str, ...]
    accelerator: Any
    _logs: Any
    _metrics: Any
    _tokenizer: Any
    _rows: list[RolloutRow]
    _calls: list[CallRecord]
    _prompt_texts: dict[int, str]

    def take_rows(self) -> list[RolloutRow]:
        """The completions generated since the last call, as the store takes them; those of all processes."""
        rows, self._rows = self._rows, []
        return rows

    def take_calls(self) -> list[CallRecord]:
        """What the judge was asked since the last call, as the store takes it; by all processes."""
        calls, self._calls = self._calls, []
        return calls

    def _keep_calls(self, batch: RolloutBatch) -> None:
        calls = everyones_calls(self.setup.scorer)
        batch.extra |= judge_numbers(calls)
        if self.accelerator.is_main_process:
            self._calls += calls

    def _note(
        self, batch: RolloutBatch, credit: TokenCredit, advantages: Tensor, mode: str, more: Mapping[str, float]
    ) -> None:
        """Numbers for the log, with the advantages that are really used in place of TRL's."""
        used, tokens = advantages[credit.mask], credit.mask.sum(-1).clamp(min=1)
        table, metrics = self._logs["advantages"], self._metrics[mode]
        for _ in range(min(len(advantages), len(table))):
            table.pop()
        table.extend((advantages.sum(-1) / tokens).tolist())
        numbers = {**batch.extra, **more, **self._counted(batch.everyone)}
        numbers["advantages/mean_size"] = float(used.abs().mean()) if used.numel() else 0.0
        numbers["credit/spans_moved"] = float(credit.moved)
        for name, value in numbers.items():
            metrics[name].append(value)

    def _counted(self, everyone: Sequence[Scored]) -> dict[str, float]:
        """Shares of the completions that are scored, and correct."""
        numbers = {"unscored": sum(one.total is None for one in everyone) / len(everyone)}
        judged = [one.correct for one in everyone if one.correct is not None]
        if judged:
            numbers["correct"] = sum(judged) / len(judged)
        for name in self.domains:
            own = [one for one in everyone if domain_of(one.task) == name]
            numbers |= {f"domain/{name}/{key}": value for key, value in domain_numbers(own, len(everyone)).items()}
        for name in self.names:
            missing = sum(name in one.rewards and one.rewards[name].value is None for one in everyone)
            if missing:
                numbers[f"unscored/{name}"] = missing / len(everyone)
        return numbers

    def _keep_rows(
        self, inputs: Any, batch: RolloutBatch, credit: TokenCredit, advantages: Tensor, samples: int
    ) -> None:
        """Each completion as the store takes it; a greedy one stands behind those of its group, without advantage."""
        first = self.accelerator.process_index * len(inputs)
        earned = credit.rewards.sum(1)
        means = (advantages.sum(-1) / credit.mask.sum(-1).clamp(min=1)).tolist()
        rows = []
        for i, (example, text, scored) in enumerate(zip(inputs, batch.decoded, batch.scored, strict=True)):
            marks = [
                (*span, value)
                for span, value in zip(text.spans, earned[i, : len(text.spans)].tolist(), strict=True)
                if value
            ]
            prompt = self._prompt_text(example["task"])
            group, sample = divmod(first + i, samples)
            rows.append(RolloutRow(scored, prompt, group, sample, means[i], marks))
            if batch.greedy and sample == samples - 1:
                rows.append(RolloutRow(batch.greedy[i], prompt, group, samples))
        everyone = gather_object(rows)
        if self.accelerator.is_main_process:
            self._rows += everyone

    def _prompt_text(self, task: int) -> str:
        if task not in self._prompt_texts:
            self._prompt_texts[task] = prompt_text(self._tokenizer, self.setup.tasks[task].prompt)
        return self._prompt_texts[task]
