"""A domain whose completions say what shall go wrong; importable by workers, as an installed plugin would be."""

from __future__ import annotations

import asyncio
import functools
import math
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from honewise import Completion, Domain, Piece, Rubric, Score, Span, Task, Unscored, hookimpl, reward
from honewise.sandbox.process import running_model_text

SHORT = 0.7


def say(task: Task, what: str) -> None:
    """Leave a line in the task's log, which any process can add to."""
    log = task.reference.get("log")
    if log:
        with open(log, "a", encoding="utf-8") as file:
            file.write(what + "\n")


def once(task: Task, what: str) -> bool:
    """True the first time only, over all processes."""
    try:
        Path(task.reference["log"] + "." + what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def for_ever() -> None:
    while True:
        time.sleep(0.01)


@reward
def right(task: Task, completion: Completion) -> bool:
    say(task, "right")
    return "right" in completion.text


@reward
def letters(completion: Completion) -> Score:
    """Pays each of the first ten letters a where it stands."""
    places = [at for at, letter in enumerate(completion.text) if letter == "a"][:10]
    return Score(spans=[Span(at, at + 1, 0.1, "a") for at in places])


@reward
def pieces(completion: Completion) -> Score:
    """Pays the piece, so that a wrong offset shows."""
    piece = completion.pieces.get("word", Piece(""))
    return Score(spans=[piece.pays(1.0, piece.text)] if piece.text else (), feedback=str(completion.answer))


@reward(deadline=SHORT)
def ours(task: Task, completion: Completion) -> float:
    """Hangs and crashes that no text of a model's caused."""
    say(task, "ours " + completion.text)
    act(task, completion.text)
    return 1.0


@reward(deadline=SHORT, bounds=(-1.0, 1.0))
def theirs(task: Task, completion: Completion) -> Score:
    """Hangs and crashes of the model's own text."""
    say(task, "theirs " + completion.text)
    with running_model_text():
        act(task, completion.text)
    return Score(1.0, correct=True)


@reward(deadline=SHORT, cost="process")
def process(task: Task, completion: Completion) -> float:
    """All of it runs what the model wrote, but for a reference in between."""
    if "reference" in completion.text:
        with running_model_text(False):
            act(task, completion.text)
    act(task, completion.text)
    return 1.0


def act(task: Task, text: str) -> None:
    if "nap" in text:
        time.sleep(0.06)
    if "hang" in text:
        for_ever()
    if "busy" in text:
        while True:
            pass
    if "exit" in text:
        os._exit(3)
    if "quit" in text:
        sys.exit(4)
    if "abort" in text:
        os.abort()
    if "killed once" in text and once(task, "killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    if "memory" in text:
        held = bytearray(64 << 30)
        held[-1] = 1
    if "shout" in text:
        for _ in range(2000):
            print("x" * 10_000)
    if "deep" in text:
        act(task, text)


@reward
def odd(completion: Completion) -> Any:
    """Returns what the text names."""
    results: dict[str, Any] = {
        "none": None,
        "nan": math.nan,
        "infinite": math.inf,
        "text": "1.0",
        "list": [1.0],
        "high": 1.5,
        "low": -0.1,
        "nearly": 1.0 + 1e-12,
        "whole": 1,
        "true": True,
        "unscored": Unscored("no such luck"),
        "span outside": Score(spans=[Span(0, len(completion.text) + 1, 0.5)]),
        "span before": Score(spans=[Span(-1, 2, 0.5)]),
        "span backwards": Score(spans=[Span(3, 2, 0.5)]),
        "span of floats": Score(spans=[Span(0.0, 1.0, 0.5)]),  # type: ignore[arg-type]
        "span nan": Score(spans=[Span(0, 1, math.nan)]),
        "span tuple": Score(spans=[(0, 1, 0.5)]),  # type: ignore[list-item]
        "span none": Score(spans=None),  # type: ignore[arg-type]
        "part nan": Score(0.5, parts={"p": math.nan}),
        "correct text": Score(0.5, correct="yes"),  # type: ignore[arg-type]
        "sum high": Score(0.8, spans=[Span(0, 1, 0.8)]),
        "long feedback": Score(0.5, feedback="f" * 1_000_000),
        "huge": 10**400,
    }
    return results.get(completion.text, 0.5)


@reward
def raising(completion: Completion) -> float:
    raise {"key": KeyError, "memory": MemoryError, "stop": StopIteration}.get(completion.text, ValueError)("é" * 5)


@reward(deadline=SHORT)
def batch(tasks: Sequence[Task], completions: Sequence[Completion]) -> Any:
    say(tasks[0], f"batch {len(completions)}")
    texts = [completion.text for completion in completions]
    if any("hang" in text for text in texts):
        for_ever()
    if any("raise" in text for text in texts):
        raise ValueError("one of them")
    if any("short" in text for text in texts):
        return [1.0] * (len(texts) - 1)
    if any("number" in text for text in texts):
        return 1.0
    return [len(text) / 100 for text in texts]


@reward(deadline=2 * SHORT)
async def slow(completion: Completion) -> float:
    if "async hang" in completion.text:
        await asyncio.sleep(60)
    if "async raise" in completion.text:
        raise ValueError("async")
    if "block" in completion.text:
        time.sleep(60)
    await asyncio.sleep(0.01)
    return min(1.0, len(completion.text) / 100)


@reward
def with_option(completion: Completion, *, wanted: str, bonus: float = 0.0) -> float:
    return float(wanted in completion.text) + bonus


@functools.cache
def gold(log: str) -> int:
    say(Task("", {}, {"log": log}), "gold")
    return 4


@reward
def against_gold(task: Task, completion: Completion) -> float:
    return 1.0 if len(completion.text) == gold(task.reference["log"]) else 0.0


@reward
def chance(completion: Completion) -> float:
    import random

    return random.random()


@reward(cost="device")
def device(tasks: Sequence[Task], completions: Sequence[Completion]) -> list[float]:
    return [float(os.getpid() == int(os.environ.get("TRIAL_PID", "0"))) for _ in completions]


@reward
async def judged(completion: Completion, judge: Any) -> float:
    verdict = await judge("template", text=completion.text)
    return float(verdict.value)


def parse(text: str, task: Task) -> Completion:
    if text == "parse hang":
        for_ever()
    if text == "parse raise":
        raise ValueError("cannot read this")
    if text == "parse changes":
        return Completion("other")
    if text == "parse object":
        return Completion(text, answer=object())
    word, _, _ = text.partition(" ")
    return Completion(text, answer=(word, 1), pieces={"word": Piece(word)}, segments=((0, len(text), "assistant"),))


def build(*, broken: bool = False, prompt: str = "Say") -> Domain:
    if broken:
        raise RuntimeError("not today")
    every = [
        right, letters, pieces, ours, theirs, process, odd, raising, batch, slow, with_option, against_gold, chance,
        device, judged,
    ]  # fmt: skip
    return Domain(
        prompt=lambda task: [{"role": "user", "content": f"{prompt} {task.inputs.get('word', '')}"}],
        parse=parse,
        gold=lambda task: "right aaaaaaaaaa",
        samples=lambda split: [Task(f"{split}-{n}", {"word": word}) for n, word in enumerate(["heap", "stack"])],
        rewards=every,
        rubrics={"default": Rubric({"right": 1.0, "letters": 0.5}, correct="right")},
    )


@hookimpl
def register_domains(register: Any) -> None:
    register("trial", build)
