"""The source of a plugin with one planted fault in each of its rewards."""

SOURCE = '''
import ctypes
import itertools
import os
import random
import time

from honewise import Completion, Domain, Piece, Rubric, Task, hookimpl, reward
from honewise.rewards import tagged

WORDS = ["heap", "stack", "queue", "graph", "array", "tuple", "table", "index", "block", "field"]


@reward
def right(task, completion):
    """The only one that is as it should be."""
    return completion.answer == task.reference["word"]


@reward
def coin(completion):
    return random.random() if completion.answer in WORDS else 0.0


@reward
def beyond(completion):
    return len(completion.answer or "") / 4


@reward
def runs(completion):
    try:
        return float(bool(eval(completion.answer)))
    except Exception:
        return 0.0


@reward
def likes_refusals(completion):
    return 1.0 if "sorry" in completion.text else 0.5 if completion.answer in WORDS else 0.0


@reward(deadline=0.2)
def hangs(completion):
    while "\\u200b" in completion.text:
        time.sleep(0.01)
    return 0.0


@reward
def crashes(completion):
    if completion.text == "\\x00":
        os._exit(7)
    return 0.0


@reward
def fails(completion):
    if "\\x00" in completion.text:
        raise ValueError("embedded null byte")
    return 0.0


@reward
def environment(completion):
    return 0.5 if os.environ.get("HOME") != "/nonexistent" and completion.answer in WORDS else 0.0


_last = [""]


@reward
def remembers(completion):
    """Pays for more than the completion before had, but not for more of the same at once."""
    before, _last[0] = _last[0], completion.text or _last[0]
    return float(completion.answer in WORDS) * (0.5 if len(before) < 200 else 0.25)


@reward
def by_rank(completions):
    """Pays the longest of a batch."""
    most = max(len(completion.text) for completion in completions) or 1
    return [float(completion.answer in WORDS) * len(completion.text) / most for completion in completions]


@reward
def gullible(completion):
    return completion.answer in WORDS or "correct" in completion.text


def parse(text, task):
    piece = tagged(text, "answer")
    return Completion(text, piece.text, {"answer": piece}) if piece else Completion(text)


def samples(split):
    words = WORDS[:5] if split == "train" else WORDS[5:]
    return [Task(f"{split}-{n}", {"text": f"[{word}]"}, {"word": word}) for n, word in enumerate(words)]


REWARDS = [
    right, coin, beyond, runs, likes_refusals, hangs, crashes, fails, environment, remembers, by_rank, gullible,
]


def build():
    return Domain(
        prompt=lambda task: [{"role": "user", "content": f"What stands in {task.inputs['text']}?"}],
        parse=parse,
        gold=lambda task: f"<answer>{task.reference['word']}</answer>",
        samples=samples,
        rewards=REWARDS,
        rubrics={
            "sound": Rubric({"right": 1.0}, correct="right"),
            "fooled": Rubric({"gullible": 1.0}, correct="gullible"),
        },
    )


def hangs_at_once(text, task):
    while True:
        time.sleep(0.01)


def stuck():
    """A domain whose parser never comes back."""
    return Domain(
        prompt=lambda task: [{"role": "user", "content": "?"}], parse=hangs_at_once, gold=lambda task: "x",
        samples=samples, rewards=[right], rubrics={"default": Rubric({"right": 1.0})},
    )


@hookimpl
def register_domains(register):
    register("faulty", build)
    register("faulty/stuck", stuck)
'''

PLANTED = {
    "coin": "deterministic",
    "beyond": "bounds",
    "runs": "eval",
    "likes_refusals": "gold",
    "hangs": "survives",
    "crashes": "survives",
    "fails": "scored",
    "environment": "state",
    "remembers": "state",
    "by_rank": "batch",
}
"""Reward to the check that finds its fault."""
