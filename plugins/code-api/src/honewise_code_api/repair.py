"""Repair of a vulnerable function with an explanation, after SecRepair; rewards and samples are our own.

SecRepair's reward compares the meaning of the explanation by embeddings. That is ``comment_similarity``, an extra; what
needs no model is the overlap of words, under its own name (``comment_overlap``).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from honewise import Completion, Message, Reward, Score, Span, Task, Unscored, UserError, reward
from honewise.rewards import tagged

from .findings import findings as found_in
from .program_rewards import ProgramRewards
from .replies import parse as parse_code
from .textual import lcs_f1, words

__all__ = ["all_rewards", "gold", "parse", "prompt", "samples"]

_ASK = """\
The function below has a weakness. Repair it, change nothing else, and explain the weakness in one or two sentences. \
Reply in this form:

<explanation>
what was wrong
</explanation>
<answer>
```python
the whole repaired code
```
</answer>"""


def prompt(task: Task) -> Sequence[Message]:
    return [{"role": "user", "content": f"{_ASK}\n\n```python\n{task.inputs['code']}\n```"}]


def parse(text: str, task: Task) -> Completion:
    """As for programs, with the piece ``explanation`` where it is there."""
    completion = parse_code(text, task)
    explanation = tagged(text, "explanation")
    if explanation is None:
        return completion
    return replace(completion, pieces={**completion.pieces, "explanation": explanation})


def gold(task: Task) -> str | None:
    fixed, comment = task.reference.get("solution"), task.reference.get("comment")
    if not fixed or not comment:
        return None
    return f"<explanation>\n{comment}\n</explanation>\n<answer>\n```python\n{fixed}\n```\n</answer>"


@reward
def findings(task: Task, completion: Completion) -> Score | Unscored:
    """1 where nothing is found by reading (bandit); each finding, left or new, charges its line.

    A finding costs 1 over those of the given code; the value is at least 0. Code that is no Python has 0: nothing can
    be found in it, nor is it repaired.
    """
    before = found_in(str(task.inputs.get("code") or ""))
    if not before:
        return Unscored("nothing is found in the code that the task gives")
    after = None if completion.answer is None else found_in(completion.answer)
    if after is None:
        return Score(feedback="no Python could be read from the reply")
    spans = [span for each in after if (span := _line(completion, each.line, -1 / len(before), each.test)) is not None]
    floor = max(0.0, -1.0 - sum(span.value for span in spans))
    said = "; ".join(f"line {each.line}: {each.said}" for each in after)
    return Score(1.0 + floor, spans, feedback=said[:500])


def _line(completion: Completion, number: int, value: float, label: str) -> Span | None:
    code = completion.pieces["code"]
    lines = code.text.splitlines(keepends=True)
    if not 1 <= number <= len(lines):
        return None
    start = sum(map(len, lines[: number - 1]))
    return code.slice(start, start + len(lines[number - 1].rstrip("\r\n"))).pays(value, label)


@reward
def minimal(task: Task, completion: Completion) -> Score | Unscored:
    """Lines that the reference repair changes over lines that this one does, at most 1; 0 where nothing is changed."""
    given, fixed = task.inputs.get("code"), task.reference.get("solution")
    if not given or not fixed:
        return Unscored("the task has no reference repair")
    if completion.answer is None:
        return Score()
    changed = _changed(str(given), completion.answer)
    return Score(min(1.0, _changed(str(given), str(fixed)) / changed) if changed else 0.0)


def _changed(one: str, other: str) -> int:
    return sum(line[:2] in ("- ", "+ ") for line in difflib.ndiff(_lines(one), _lines(other)))


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip("\n").splitlines()[:400]]


@reward
def comment_overlap(task: Task, completion: Completion) -> Score | Unscored:
    """Likeness of the explanation to the reference's: ROUGE-L F1 over words, in [0, 1]. Not a judgement of meaning."""
    wanted = task.reference.get("comment")
    if not wanted:
        return Unscored("the task has no reference explanation")
    said = completion.pieces.get("explanation")
    return Score(lcs_f1(words(str(wanted)), words(said.text)) if said is not None else 0.0)


class Repaired:
    """The reward that decides ``correct``."""

    def __init__(self, programs: ProgramRewards, deadline: float) -> None:
        self._programs = programs
        self.reward = Reward(fn=self.repaired, name="repaired", cost="process", deadline=deadline)

    def repaired(self, task: Task, completion: Completion) -> Score | Unscored:
        """1 where all tests pass and nothing is found any more, else 0."""
        passed, clean = self._programs.passes(task, completion), findings(task=task, completion=completion)
        for each in (passed, clean):
            if isinstance(each, Unscored):
                return each
        assert isinstance(passed, Score)
        right = passed.value == 1.0 and not clean.spans and clean.value == 1.0
        return Score(float(right), correct=right, feedback=passed.feedback or clean.feedback)


def all_rewards(programs: ProgramRewards, deadline: float) -> list[Reward]:
    return [Repaired(programs, deadline).reward, *programs.all(), findings, minimal, comment_overlap]


_NAMES = {"train": ("read", "run", "work", "make", "find", "build"), "held-out": ("obtain", "handle", "derive")}
_ARGUMENTS = {"train": ("text", "value"), "held-out": ("given",)}
_SAMPLES: Sequence[tuple[str, str, str, Sequence[str]]] = (
    (
        "def {f}({x}):\n    result = eval({x})\n    return result",
        "import ast\n\ndef {f}({x}):\n    result = ast.literal_eval({x})\n    return result",
        "eval runs any code that stands in {x}; literal_eval reads plain values only.",
        ("assert {f}('[1, 2]') == [1, 2]", "assert {f}('(1, \"a\")') == (1, 'a')"),
    ),
    (
        "import hashlib\n\ndef {f}({x}):\n    return hashlib.md5({x}.encode()).hexdigest()",
        "import hashlib\n\ndef {f}({x}):\n    return hashlib.sha256({x}.encode()).hexdigest()",
        "MD5 is broken, two values of {x} with one digest can be made; SHA-256 is not.",
        ("assert isinstance({f}('a'), str)", "assert {f}('a') == {f}('a') != {f}('b')"),
    ),
    (
        "import random\n\ndef {f}({x}):\n    return ''.join(random.choice('0123456789abcdef') for _ in range({x}))",
        "import secrets\n\ndef {f}({x}):\n    return ''.join(secrets.choice('0123456789abcdef') for _ in range({x}))",
        "random can be predicted from earlier output, so a secret must come from secrets.",
        ("assert len({f}(8)) == 8", "assert set({f}(40)) <= set('0123456789abcdef')"),
    ),
    (
        "import tempfile\n\ndef {f}({x}):\n    path = tempfile.mktemp()\n    with open(path, 'w') as file:\n"
        "        file.write({x})\n    return open(path).read()",
        "import tempfile\n\ndef {f}({x}):\n    handle, path = tempfile.mkstemp()\n    with open(handle, 'w') as file:\n"
        "        file.write({x})\n    return open(path).read()",
        "Between mktemp and open somebody else can make the file; mkstemp makes it at once.",
        ("assert {f}('abc') == 'abc'", "assert {f}('') == ''"),
    ),
    (
        "import sqlite3\n\ndef {f}(rows, {x}):\n    db = sqlite3.connect(':memory:')\n"
        "    db.execute('CREATE TABLE t (a TEXT, n INTEGER)')\n"
        "    db.executemany('INSERT INTO t VALUES (?, ?)', rows)\n"
        "    return db.execute(\"SELECT n FROM t WHERE a = '%s'\" % {x}).fetchall()",
        "import sqlite3\n\ndef {f}(rows, {x}):\n    db = sqlite3.connect(':memory:')\n"
        "    db.execute('CREATE TABLE t (a TEXT, n INTEGER)')\n"
        "    db.executemany('INSERT INTO t VALUES (?, ?)', rows)\n"
        '    return db.execute("SELECT n FROM t WHERE a = ?", ({x},)).fetchall()',
        "A quote in {x} ends the text in the query, so {x} can change the query; a parameter cannot.",
        ("assert {f}([('a', 1), ('b', 2)], 'b') == [(2,)]", "assert {f}([('a', 1)], \"' OR '1'='1\") == []"),
    ),
)


def samples(split: str) -> Iterator[Task]:
    """Five weaknesses under different names; held-out tasks have names of their own."""
    if split not in _NAMES:
        raise UserError(f"split is {split!r}; allowed are 'train' and 'held-out'")
    combinations = product(_NAMES[split], _ARGUMENTS[split], _SAMPLES)
    for number, (name, argument, (weak, fixed, comment, tests)) in enumerate(combinations):

        def named(text: str, name: str = name, argument: str = argument) -> str:
            return text.replace("{f}", name).replace("{x}", argument)

        reference = {
            "solution": named(fixed),
            "comment": named(comment),
            "setup": "",
            "tests": [named(test) for test in tests],
            "entry_point": name,
        }
        yield Task(f"{split}-{number}", {"code": named(weak)}, reference)
