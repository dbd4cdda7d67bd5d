"""What the trainer samples, and when it is scored: rewards and judges work while the device goes on sampling.

A generation is sampled in chunks of whole groups; each chunk is sent to be scored at once and its scores are awaited
when TRL asks for rewards, after the last chunk and the reference's log-probabilities. With dynamic sampling (DAPO,
2503.14476) all of it happens before TRL asks, until enough groups have right and wrong completions in them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import torch

from honewise.algorithms import informative, refill
from honewise.contracts import Scored, Task
from honewise.errors import UserError
from honewise.models.sampling import derive_seed, generate
from honewise.models.text import prompt_ids
from honewise.scoring import Row

from .credit import Decoded, decode
from .order import TaskQueue
from .processes import agree, gather
from .setup import Setup

__all__ = ["Chunk", "Sampling"]


@dataclass(slots=True)
class Chunk:
    """Whole groups that were sampled at once and sent to be scored."""

    ids: list[list[int]]
    decoded: list[Decoded]
    rows: list[Row]
    scored: Future[list[Scored]]


@dataclass(slots=True)
class Group:
    """The completions of one task."""

    example: Mapping[str, Any]
    ids: list[list[int]]
    decoded: list[Decoded]
    rows: list[Row]
    scored: list[Scored]


class Sampling:
    """Mixed into a trainer of TRL, before it in the order of bases."""

    setup: Setup
    model: Any
    args: Any
    state: Any
    accelerator: Any
    phases: Any
    eos_token_ids: Any
    _tokenizer: Any
    _is_vlm: bool
    model_wrapped: Any
    temperature: Any
    top_p: Any
    max_completion_length: Any
    num_generations: Any
    num_iterations: Any
    _step: int
    _wants_greedy = False
    _greedy_ids: list[list[int]]
    _examples: Sequence[Mapping[str, Any]] = ()
    """Those of the generation under way; without any, nothing is scored ahead."""
    _chunks: Sequence[Chunk] = ()
    """Sampled and sent to be scored, in order, and not asked for yet."""
    _queue: TaskQueue | None = None

    def _tokenize_prompts(self, prompts: Any) -> tuple[list[list[int]], Any, Mapping[str, Any]]:
        trl: Any = super()
        firsts = [i for i, prompt in enumerate(prompts) if i == 0 or prompt != prompts[i - 1]]
        if len(firsts) < len(prompts) and not self._is_vlm:
            ids, images, fields = trl._tokenize_prompts([prompts[i] for i in firsts])
            if images is None and not fields:
                ends = [*firsts[1:], len(prompts)]
                return [own for own, i, end in zip(ids, firsts, ends, strict=True) for _ in range(i, end)], None, {}
        found: tuple[list[list[int]], Any, Mapping[str, Any]] = trl._tokenize_prompts(prompts)
        return found

    def _generate_single_turn(
        self, prompt_ids: Any, images: Any, multimodal_fields: Any, num_generations: int, has_tool_images: bool = False
    ) -> tuple[list[list[int]], None]:
        if not self._samples_itself(multimodal_fields):
            with self.phases("generate"):
                found: tuple[list[list[int]], None] = super()._generate_single_turn(  # type: ignore[misc]
                    prompt_ids, images, multimodal_fields, num_generations, has_tool_images=has_tool_images
                )
                return found
        if self._wants_greedy and self.model.training:
            self._greedy_ids = self._greedy(prompt_ids)
        if not self._chunks:
            whole = len(prompt_ids) % num_generations == 0 and all(
                prompt_ids[i] == prompt_ids[i - i % num_generations] for i in range(len(prompt_ids))
            )
            samples = num_generations if whole else 1
            seeds = self._seeds(0, range(0, len(prompt_ids), samples), len(prompt_ids))
            if not (whole and self._examples and self.setup.scorer.overlaps):
                groups = self._sampled(prompt_ids[::samples], samples, self.temperature, seeds)
                return [ids for group in groups for ids in group], None
            tasks = [example["task"] for example in self._examples[::samples]]
            self._chunks = list(self._sent(prompt_ids[::samples], tasks, samples, seeds))
        return [ids for chunk in self._chunks for ids in chunk.ids], None

    def _seeds(self, trial: int, places: Sequence[int], rows: int) -> list[int]:
        """One for each group, by its place among this process's ``rows``; the same whatever the number of processes."""
        mode = "train" if self.model.training else "eval"
        first = self.accelerator.process_index * rows
        return [derive_seed(self.args.seed, mode, self._generation(), trial, first + place) for place in places]

    def _generation(self) -> int:
        return int(self._step // (self.args.steps_per_generation * self.num_iterations))

    def _sampled(
        self, prompts: Sequence[Sequence[int]], samples: int, temperature: float, seeds: Sequence[int]
    ) -> list[list[list[int]]]:
        with self.phases("generate"):
            return generate(
                self.accelerator.unwrap_model(self.model_wrapped),
                prompts,
                samples=samples,
                temperature=temperature,
                top_p=self.top_p,
                max_new_tokens=self.max_completion_length,
                stop=frozenset(self.eos_token_ids),
                pad=self._tokenizer.pad_token_id,
                seeds=seeds,
            )

    def _sent(
        self, prompts: Sequence[Sequence[int]], tasks: Sequence[int], samples: int, seeds: Sequence[int]
    ) -> Iterator[Chunk]:
        """Groups, sampled in chunks, each sent to be scored before the next is sampled."""
        step = self.state.global_step + 1
        size = -(-len(prompts) // self.setup.chunks)
        for start in range(0, len(prompts), size):
            some = slice(start, start + size)
            groups = self._sampled(prompts[some], samples, self.temperature, seeds[some])
            ids = [row for group in groups for row in group]
            decoded = [decode(self._tokenizer, row) for row in ids]
            rows = [
                self._row(self.setup.tasks[tasks[start + i // samples]], text, row, None)
                for i, (text, row) in enumerate(zip(decoded, ids, strict=True))
            ]
            yield Chunk(ids, decoded, rows, self.setup.scorer.submit(rows, step=step))

    def _row(self, task: Task, text: Decoded, ids: Sequence[int], group: int | None) -> Row:
        return Row(task, text.text, len(ids), not ids or ids[-1] not in self.eos_token_ids, group)

    def _scored_ahead(self, ids: Sequence[Sequence[int]]) -> tuple[list[Decoded], list[Scored]] | None:
        """What was sent of these completions, once it is scored; None where they were not sent."""
        chunks, self._chunks = self._chunks, ()
        if [list(row) for row in ids] != [row for chunk in chunks for row in chunk.ids]:
            return None
        with self.phases("score"):
            scored = [one for chunk in chunks for one in chunk.scored.result()]
        return [text for chunk in chunks for text in chunk.decoded], scored

    def _greedy(self, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
        """The likeliest completion of each prompt; equal prompts are computed once."""
        distinct = list({tuple(prompt): None for prompt in prompts})
        found = self._sampled(distinct, 1, 0.0, [0] * len(distinct))
        of = {prompt: group[0] for prompt, group in zip(distinct, found, strict=True)}
        return [of[tuple(prompt)] for prompt in prompts]

    def _samples_itself(self, multimodal_fields: Mapping[str, Any]) -> bool:
        """False where TRL's own ways of generating are asked for, or needed to gather sharded weights."""
        trl: Any = self
        asked = trl.use_vllm or trl.use_transformers_continuous_batching or self.args.generation_kwargs
        shaped = trl.top_k or trl.min_p or trl.repetition_penalty != 1.0 or self.args.cache_implementation
        sharded = trl.is_deepspeed_enabled or trl.is_fsdp_enabled
        return not (asked or shaped or sharded or multimodal_fields or trl._is_vlm)

    # dynamic sampling

    def _filled(self, inputs: Sequence[Mapping[str, Any]], numbers: dict[str, float]) -> Sequence[Mapping[str, Any]]:
        """Examples in whose groups there is something to learn, as many as ``inputs``, sampled and scored.

        A group is replaced by one of its own part, such as its domain. Where they stay too few after the last round,
        groups that teach less stand in, in the order in which they were sampled.
        """
        samples = int(self.num_generations)
        if len(inputs) % samples:
            raise UserError(
                f"dynamic: {len(inputs)} completions of each process are no whole groups of {samples}; use fewer"
                " processes, or more prompts"
            )
        places = [self._part(example) for example in inputs[::samples]]
        tried = self._tried(list(inputs[::samples]), samples, 0)
        good, rounds = self._teaching(tried), 0
        while True:
            drawn = self._next_tasks(places, tried, good, rounds)
            if not agree(bool(drawn)):
                break
            rounds += 1
            found = self._tried([{**inputs[0], **example} for example in drawn], samples, rounds)
            tried += found
            good += self._teaching(found)
        others = [group for group in tried if not any(group is one for one in good)]
        left = {part: [group for group in (*good, *others) if self._part(group.example) == part] for part in places}
        chosen = [left[part].pop(0) for part in places]
        numbers |= self._told_of(tried, sum(any(group is one for one in good) for group in chosen), len(places), rounds)
        done: Future[list[Scored]] = Future()
        done.set_result([one for group in chosen for one in group.scored])
        self._chunks = [
            Chunk(
                [row for group in chosen for row in group.ids],
                [text for group in chosen for text in group.decoded],
                [row for group in chosen for row in group.rows],
                done,
            )
        ]
        return [group.example for group in chosen for _ in range(samples)]

    def _tried(self, examples: Sequence[Mapping[str, Any]], samples: int, trial: int) -> list[Group]:
        if not examples:
            return []
        tasks = [example["task"] for example in examples]
        prompts = [prompt_ids(self._tokenizer, self.setup.tasks[task].prompt) for task in tasks]
        seeds = self._seeds(trial, range(0, len(tasks) * samples, samples), len(tasks) * samples)
        chunks = list(self._sent(prompts, tasks, samples, seeds))
        with self.phases("score"):
            scored = [one for chunk in chunks for one in chunk.scored.result()]
        ids = [row for chunk in chunks for row in chunk.ids]
        decoded = [text for chunk in chunks for text in chunk.decoded]
        rows = [row for chunk in chunks for row in chunk.rows]
        cuts = [slice(i * samples, (i + 1) * samples) for i in range(len(tasks))]
        return [
            Group(example, ids[cut], decoded[cut], rows[cut], scored[cut])
            for example, cut in zip(examples, cuts, strict=True)
        ]

    def _teaching(self, groups: Sequence[Group]) -> list[Group]:
        spec = self.setup.dynamic
        assert spec is not None
        if not groups:
            return []
        size = len(groups[0].scored)
        correct = [-1 if one.correct is None else int(one.correct) for group in groups for one in group.scored]
        which = torch.arange(len(correct)) // size
        kept = informative(torch.tensor(correct), which, low=spec.low, high=spec.high).rows[::size].tolist()
        return [group for group, keep in zip(groups, kept, strict=True) if keep]

    def _part(self, example: Mapping[str, Any]) -> int:
        drawing = self.setup.drawing
        return 0 if drawing is None or drawing.parts is None else drawing.parts[example["task"]]

    def _next_tasks(
        self, places: Sequence[int], tried: Sequence[Group], good: Sequence[Group], rounds: int
    ) -> list[dict[str, Any]]:
        """Tasks to try in the next round, for each part as many as its groups are short of; ``places`` has the part of
        each group that is wanted."""
        spec = self.setup.dynamic
        assert spec is not None
        known, found = {group.example["task"] for group in tried}, list[int]()
        kept, seen = ([self._part(group.example) for group in groups] for groups in (good, tried))
        wanted = Counter(places)
        plans = {
            part: refill(
                kept.count(part), number, tried=seen.count(part), rounds=rounds, max_rounds=spec.rounds, limit=spec.most
            ).prompts
            for part, number in sorted(wanted.items())
        }
        for _ in range(0 if spec.most is None else sum(plans.values()) - spec.most):
            plans[max(plans, key=plans.__getitem__)] -= 1
        for part, number in plans.items():
            but = {*known, *found}
            found += self._task_queue().draw(number, but, step=self._generation(), part=part, least=wanted[part])
        return [
            {"task": task, "prompt": [dict(message) for message in self.setup.tasks[task].prompt]} for task in found
        ]

    def _task_queue(self) -> TaskQueue:
        if self._queue is None:
            own = (self.args.seed, "dynamic", self.accelerator.process_index)
            self._queue = TaskQueue(len(self.setup.tasks), *own, drawing=self.setup.drawing)
        return self._queue

    def _told_of(self, tried: Sequence[Group], good: int, wanted: int, rounds: int) -> dict[str, float]:
        """Numbers for the log, over all processes."""
        judged = [one.correct for group in tried for one in group.scored if one.correct is not None]
        mine = (len(tried), good, wanted, sum(judged), len(judged))
        total, kept, needed, right, known = map(sum, zip(*gather([mine]), strict=True))
        found = {
            "dynamic/rounds": float(rounds),
            "dynamic/wasted": 1 - needed / total,
            "dynamic/uninformative": 1 - kept / needed,
        }
        return found | ({"dynamic/correct": right / known} if known else {})
