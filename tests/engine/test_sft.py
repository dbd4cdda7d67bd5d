"""Demonstrations: encoded as the policy will see prompts, learnt as completions alone, within their time."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_world as world
import torch

from honewise.contracts import Task
from honewise.engine.sft import IGNORED, EpochOrder, RisingOrder, encode_demonstration, train_sft
from honewise.errors import UserError
from honewise.models.sampling import sample
from honewise.models.text import decode_text, prompt_ids
from honewise.recipes.schema import SftStage


def pairs() -> list[tuple[Task, str]]:
    return [(task, f"{task.inputs['word']} it is") for task in world.tasks()]


def test_a_demonstration_begins_as_a_prompt_and_ends_as_a_completion() -> None:
    tokenizer = world.policy().tokenizer
    task, gold = pairs()[0]
    row = encode_demonstration(tokenizer, task.prompt, gold)
    prompt = prompt_ids(tokenizer, task.prompt)
    assert row["input_ids"][: len(prompt)] == prompt
    assert row["labels"][: len(prompt)] == [IGNORED] * len(prompt)
    said = row["labels"][len(prompt) :]
    assert row["input_ids"][len(prompt) :] == said
    assert said[-1] == tokenizer.eos_token_id
    assert decode_text(tokenizer, said) == gold


def test_a_template_that_writes_more_after_the_end_or_another_prompt() -> None:
    tokenizer = world.policy().tokenizer
    plain = encode_demonstration(tokenizer, pairs()[0][0].prompt, "yes")
    template = tokenizer.chat_template
    tokenizer.chat_template = template.replace("'<|end|>'", "'<|end|>' + '\\n'")
    tail = encode_demonstration(tokenizer, pairs()[0][0].prompt, "yes")
    assert tail["input_ids"][-1] == tokenizer.eos_token_id
    tokenizer.chat_template = template + "{{- '' if add_generation_prompt else '!' -}}"
    assert encode_demonstration(tokenizer, pairs()[0][0].prompt, "yes") == plain
    tokenizer.chat_template = "{{- '' if add_generation_prompt else '!' -}}" + template
    assert encode_demonstration(tokenizer, pairs()[0][0].prompt, "yes") == plain


def test_it_learns_what_it_is_shown(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    policy, ctx = world.policy(), world.context(tmp_path, "sft")
    stage = SftStage(steps=120, batch=8, trainer={"learning_rate": 1e-2})
    trained = train_sft(ctx, stage, policy, pairs())
    said = sample(policy, [task.prompt for task in world.tasks()], temperature=0, max_new_tokens=16)
    right = sum(one[0].text == gold for one, (_, gold) in zip(said, pairs(), strict=True))
    assert right >= 7
    numbers = ctx.store.metrics("sft")
    assert sorted(numbers) == list(range(1, 121))
    assert numbers[120]["loss"] < 0.2 < numbers[1]["loss"]
    assert trained.steps == 120
    assert trained.metrics == numbers[120]


def test_seconds_end_it(tmp_path: Path) -> None:
    ctx = world.context(tmp_path, "sft")
    trained = train_sft(ctx, SftStage(batch=8, seconds="as rl"), world.policy(), pairs(), seconds=0.3)
    assert 1 <= trained.steps < 500
    assert (ctx.folder / f"checkpoint-{trained.steps}").is_dir()
    again = train_sft(
        world.context(tmp_path, "sft", resume=True), SftStage(batch=8), world.policy(), pairs(), seconds=0.3
    )
    assert again.steps == trained.steps, "a budget that is spent is spent"


def test_what_cannot_be_learnt_is_refused(tmp_path: Path) -> None:
    ctx, policy = world.context(tmp_path, "sft"), world.policy()
    with pytest.raises(UserError, match="say how long"):
        train_sft(ctx, SftStage(), policy, pairs())
    with pytest.raises(UserError, match="nothing to show"):
        train_sft(ctx, SftStage(steps=1), policy, [])
    with pytest.raises(UserError, match="must be resolved"):
        train_sft(ctx, SftStage(seconds="as rl"), policy, pairs())
    with pytest.raises(UserError, match="longer than 128 tokens"):
        train_sft(ctx, SftStage(steps=1), policy, [(world.tasks()[0], "x9" * 100)])
    with pytest.raises(UserError, match="does not divide the batch of 4"):
        train_sft(ctx, SftStage(steps=1, batch=4, trainer={"per_device_train_batch_size": 3}), policy, pairs())


def test_long_demonstrations_are_left_out_and_said(tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(world.Silent):
        def note(self, line: str) -> None:
            notes.append(line)

    ctx = world.context(tmp_path, "sft", progress=Notes())
    train_sft(ctx, SftStage(steps=1, batch=2), world.policy(), [*pairs(), (world.tasks()[0], "x9" * 100)])
    assert notes == ["1 of 9 demonstrations are longer than 128 tokens and left out"]


def test_the_order_of_an_epoch() -> None:
    order = EpochOrder(7, seed=3)
    first = list(order)
    assert sorted(first) == list(range(7))
    assert list(order) == first
    order.set_epoch(1)
    assert list(order) != first
    assert len(order) == 7


def test_the_order_of_rising_thresholds() -> None:
    """Rows 0 to 3 reach one, two, two and three thresholds; each phase has five draws."""
    order = RisingOrder([1, 2, 2, 3], draws=5, seed=3)
    drawn = list(order)
    assert len(order) == len(drawn) == 15
    assert list(order) == drawn
    first, second, third = drawn[:5], drawn[5:10], drawn[10:]
    assert sorted(first[:4]) == [0, 1, 2, 3], "each once before any again"
    assert sorted(second[:3]) == [1, 2, 3]
    assert set(second) <= {1, 2, 3}
    assert third == [3] * 5
    assert list(RisingOrder([1, 2, 2, 3], draws=5, seed=4)) != drawn
