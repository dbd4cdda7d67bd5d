"""Sample tasks of our own making: requests for small functions, and small programs over lists.

``train`` and ``held-out`` have no question in common. The first calls of ``train``, which serve as demonstrations, are
worded in one manner, all others in every manner; held-out programs are worded as no program of ``train`` is.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from honewise import Task, UserError

__all__ = ["call_tasks", "program_tasks"]

_COUNT = {"train": 1000, "held-out": 200}
_DEMONSTRATIONS = 120
_TRAIN_PHRASINGS = 2


@dataclass(frozen=True, slots=True)
class _Function:
    """A function, the values of its arguments, and ways to ask for it, the first of them that of demonstrations."""

    name: str
    arguments: dict[str, tuple[str, Sequence[Any]]]
    asked: Sequence[str]

    def described(self) -> dict[str, Any]:
        properties = {name: {"type": kind} for name, (kind, _) in self.arguments.items()}
        return {
            "name": self.name,
            "parameters": {"type": "dict", "properties": properties, "required": list(properties)},
        }


_CITIES = ("Oslo", "Rome", "Lima", "Cairo", "Quito", "Delhi", "Turin", "Kyoto", "Accra", "Perth")
_NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "June")
_SMALL = tuple(range(2, 30))
_FUNCTIONS = (
    _Function(
        "weather",
        {"city": ("string", _CITIES), "days": ("integer", _SMALL)},
        (
            "weather in {city} for {days} days",
            "what will {city} be like over {days} days",
            "{days} day outlook, {city}",
        ),
    ),
    _Function(
        "timer",
        {"minutes": ("integer", _SMALL), "name": ("string", ("tea", "rice", "bread", "eggs", "nap"))},
        ("set {minutes} minutes for {name}", "a {name} timer of {minutes} minutes", "{name} needs {minutes} minutes"),
    ),
    _Function(
        "send",
        {"to": ("string", _NAMES), "amount": ("integer", _SMALL)},
        ("send {amount} to {to}", "pay {to} the sum of {amount}", "{to} should get {amount} from me"),
    ),
    _Function(
        "book",
        {"city": ("string", _CITIES), "people": ("integer", _SMALL)},
        ("a table in {city} for {people} people", "book {people} seats in {city}", "{people} of us dine in {city}"),
    ),
    _Function(
        "area",
        {"width": ("integer", _SMALL), "height": ("integer", _SMALL)},
        ("area of {width} by {height}", "how large is {width} wide and {height} high", "a {width} x {height} field"),
    ),
    _Function(
        "remind",
        {"name": ("string", _NAMES), "hour": ("integer", tuple(range(1, 24)))},
        ("remind {name} at {hour}", "at {hour} tell {name}", "{name} wants a note at {hour}"),
    ),
)


def call_tasks(split: str) -> Iterator[Task]:
    """One task in eight asks for what no function serves, one in eight for two calls; each shows three functions."""
    count, chance = _count(split), random.Random(f"calls {split}")
    taken = set[str]() if split == "train" else {task.inputs["question"] for task in call_tasks("train")}
    number = 0
    while number < count:
        shown = chance.sample(_FUNCTIONS, 3)
        kind = chance.randrange(8)
        others = [each for each in _FUNCTIONS if each not in shown]
        wanted = [chance.choice(others)] if kind == 0 else [chance.choice(shown) for _ in range(2 if kind == 1 else 1)]
        asks, calls = [], []
        for function in wanted:
            values = {name: chance.choice(options) for name, (_, options) in function.arguments.items()}
            first = split == "train" and number < _DEMONSTRATIONS
            asks.append((function.asked[0] if first else chance.choice(function.asked)).format(**values))
            calls.append({function.name: {name: [value] for name, value in values.items()}})
        question = " and ".join(asks)
        if question in taken or (len(calls) == 2 and calls[0] == calls[1]):
            continue
        taken.add(question)
        inputs = {"question": question, "functions": [each.described() for each in shown]}
        category = "irrelevance" if kind == 0 else "parallel" if kind == 1 else "simple"
        reference = {"calls": [] if kind == 0 else calls}
        yield Task(f"{split}-{number}", inputs, reference, meta={"category": category})
        number += 1


_Numbers = list[int]
_FILTERS: Sequence[tuple[str, str, Callable[[int], bool]]] = (
    ("even numbers", "x % 2 == 0", lambda x: x % 2 == 0),
    ("odd numbers", "x % 2 == 1", lambda x: x % 2 == 1),
    ("positive numbers", "x > 0", lambda x: x > 0),
    ("negative numbers", "x < 0", lambda x: x < 0),
    ("numbers above 5", "x > 5", lambda x: x > 5),
    ("numbers below 5", "x < 5", lambda x: x < 5),
)
_MAPS: Sequence[tuple[str, str, Callable[[int], int]]] = (
    ("", "x", lambda x: x),
    ("doubled", "2 * x", lambda x: 2 * x),
    ("squared", "x * x", lambda x: x * x),
    ("negated", "-x", lambda x: -x),
    ("plus one", "x + 1", lambda x: x + 1),
)
_ENDS: Sequence[tuple[str, str, Callable[[_Numbers], Any]]] = (
    ("list", "[{each}]", lambda xs: xs),
    ("sum", "sum({each})", sum),
    ("largest, or None", "max(({each}), default=None)", lambda xs: max(xs, default=None)),
    ("smallest, or None", "min(({each}), default=None)", lambda xs: min(xs, default=None)),
    ("sorted list", "sorted({each})", sorted),
    ("number", "len([{each}])", len),
)
_PROGRAM_PHRASINGS = (
    "f(xs) returns the {end} of the {which}{how}",
    "write f(xs): take the {which}{how}, return their {end}",
    "from a list xs, f must give the {end} of its {which}{how}",
)


def program_tasks(split: str) -> Iterator[Task]:
    """A filter, a change and an end, in that order; a third of the combinations are held out."""
    _count(split)
    chance, number = random.Random(f"programs {split}"), 0
    for at, (which, condition, keep) in enumerate(_FILTERS):
        for how_at, (how, changed, change) in enumerate(_MAPS):
            for end_at, (end, shape, finish) in enumerate(_ENDS):
                if ((at + how_at + end_at) % 3 == 0) != (split == "held-out"):
                    continue
                lists = [[], *([chance.randint(-9, 12) for _ in range(chance.randint(1, 8))] for _ in range(5))]
                results = [finish([change(x) for x in xs if keep(x)]) for xs in lists]
                each = f"{changed} for x in xs if {condition}"
                phrasing = chance.choice(_phrasings(_PROGRAM_PHRASINGS, split))
                question = phrasing.format(which=which, how=f", {how}" if how else "", end=end)
                reference = {
                    "solution": f"def f(xs):\n    return {shape.format(each=each)}",
                    "setup": "",
                    "tests": [f"assert f({xs}) == {result}" for xs, result in zip(lists, results, strict=True)],
                    "entry_point": "f",
                }
                yield Task(f"{split}-{number}", {"question": question}, reference)
                number += 1


def _phrasings(asked: Sequence[str], split: str) -> Sequence[str]:
    return asked[:_TRAIN_PHRASINGS] if split == "train" else asked[_TRAIN_PHRASINGS:]


def _count(split: str) -> int:
    if split not in _COUNT:
        raise UserError(f"split is {split!r}; allowed are 'train' and 'held-out'")
    return _COUNT[split]
