"""Checks of prompt, gold and parser."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from honewise.contracts import Completion, Piece, Task
from honewise.scoring import evaluate

from .bench import Bench
from .canary import CANARIES, evaluations
from .findings import Finding, describe, run
from .hostile import in_form
from .probes import SIZES, growing, texts, too_slow

__all__ = ["PARSE_SECONDS", "reading"]

PARSE_SECONDS = 1.0
"""CPU time that reading 100 kB may take."""


def reading(bench: Bench) -> Iterator[Finding]:
    """What goes to the policy, and how its text is read."""
    whole = f"domain {bench.name}"
    for check, problems in {
        "prompt": _prompt,
        "leak": _leak,
        "gold-form": _gold,
        "parse": _parse,
        "pieces": _pieces,
        "parse-eval": _parse_eval,
        "parse-time": _parse_time,
    }.items():
        yield run(check, whole, lambda problems=problems: problems(bench))  # type: ignore[misc]


def _prompt(bench: Bench) -> Iterator[str]:
    if not bench.tasks:
        yield "there are no tasks to make prompts of"
    for task in bench.tasks:
        messages = list(bench.domain.prompt(task))
        if not messages:
            yield f"task {task.id!r} has no messages"
        for message in messages:
            if not isinstance(message, Mapping) or message.get("role") not in ("system", "user", "assistant"):
                yield f"task {task.id!r}: a message is {describe(message)}, without a role of system, user or assistant"
            elif not message.get("content"):
                yield f"task {task.id!r}: the {message['role']} message has no content"
        if json.loads(json.dumps(messages)) != [dict(message) for message in messages]:
            yield f"task {task.id!r}: the messages are not JSON"
        if list(bench.domain.prompt(task)) != messages:
            yield f"task {task.id!r}: asked twice, the prompt differs"


def _leak(bench: Bench) -> Iterator[str]:
    for task in bench.tasks:
        shown = _text(bench.domain.prompt(task))
        gold = bench.gold[task.id]
        if gold is not None and len(gold) >= 8 and gold in shown:
            yield f"task {task.id!r}: the prompt contains the gold completion {describe(gold)}"
        if _text(bench.domain.prompt(task)) != shown:
            return  # it changes by itself: reported by `prompt`
        scrambled = replace(task, reference=_scrambled(task.reference))
        try:
            changed = _text(bench.domain.prompt(scrambled)) != shown
        except Exception as error:
            yield f"task {task.id!r}: with another reference no prompt can be made ({describe(error)})"
            continue
        if changed:
            yield f"task {task.id!r}: the prompt changes when only the reference does"


def _text(messages: Any) -> str:
    return json.dumps([dict(message) for message in messages], ensure_ascii=False).replace("\\n", "\n")


def _scrambled(value: Any) -> Any:
    """The same shape with every text and number replaced."""
    if isinstance(value, Mapping):
        return {key: _scrambled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrambled(item) for item in value]
    if isinstance(value, str):
        return f"{value[::-1]} scrambled"
    return value if isinstance(value, bool) or value is None else value + 1


def _gold(bench: Bench) -> Iterator[str]:
    found = 0
    for task in bench.tasks:
        gold = bench.domain.gold(task)
        if gold is None:
            continue
        found += 1
        if not isinstance(gold, str):
            yield f"task {task.id!r}: the gold completion is {describe(gold)}, not text"
        elif bench.domain.parse(gold, task).answer is None:
            yield f"task {task.id!r}: the parser reads no answer from the gold completion {describe(gold)}"
    if not found:
        yield "no sample task has a gold completion"


def _tried(bench: Bench) -> Iterator[tuple[Task, str]]:
    for task in bench.tasks[:4]:
        gold = bench.gold[task.id] or ""
        yield from ((task, text) for text in [gold, *texts(gold, [], f"parse {task.id}")])


def _parse(bench: Bench) -> Iterator[str]:
    for task, text in _tried(bench):
        try:
            completion = bench.domain.parse(text, task)
            again = bench.domain.parse(text, task)
        except (Exception, SystemExit) as error:
            yield f"reading {describe(text)} raised {describe(error)}"
            continue
        if not isinstance(completion, Completion):
            yield f"reading {describe(text)} gave {describe(completion)}, not a Completion"
            continue
        if completion.text != text:
            yield f"reading {describe(text)} changed the text to {describe(completion.text)}"
        if completion != again:
            yield f"reading {describe(text)} twice gave two results"
        if not text and completion.answer is not None:
            yield f"the empty text is read as the answer {describe(completion.answer)}"
        try:
            json.dumps(completion.answer, allow_nan=False)
        except (TypeError, ValueError) as error:
            yield f"the answer read from {describe(text)} is not JSON ({error})"


def _pieces(bench: Bench) -> Iterator[str]:
    for task, text in _tried(bench):
        try:
            completion = bench.domain.parse(text, task)
            pieces = dict(completion.pieces)
        except (Exception, SystemExit):
            continue  # reported by `parse`
        for name, piece in pieces.items():
            if not isinstance(piece, Piece):
                yield f"piece {name!r} of {describe(text)} is {describe(piece)}, not a Piece"
            elif text[piece.start : piece.end] != piece.text or piece.start < 0:
                there = text[max(piece.start, 0) : max(piece.end, 0)]
                yield (
                    f"piece {name!r} says {describe(piece.text)} at {piece.start}, "
                    f"where {describe(text)} has {describe(there)}"
                )


def _parse_eval(bench: Bench) -> Iterator[str]:
    for task in bench.tasks[:2]:
        for canary in CANARIES:
            for text in (canary, in_form(bench.domain, task, bench.gold[task.id], canary)):
                with evaluations() as caught, suppress(Exception, SystemExit):
                    bench.domain.parse(text or canary, task)
                yield from (f"reading {describe(text)} {how}" for how in dict.fromkeys(caught))


def _parse_seconds(bench: Bench, text: str, task: Task) -> float:
    began = time.process_time()
    bench.domain.parse(text, task)
    return time.process_time() - began


def _parse_time(bench: Bench) -> Iterator[str]:
    if not bench.tasks:
        return
    task = bench.tasks[0]
    for unit, sizes in growing(bench.gold[task.id] or "", bench.sizes):
        before = 0.0
        for size, text in zip(bench.sizes, sizes, strict=True):
            limit = PARSE_SECONDS if size <= SIZES[-1] else evaluate.PARSE_SECONDS
            try:
                took = _parse_seconds(bench, text, task)
                if too_slow(took, before, limit, size, bench.sizes[-1]):
                    # A collection of garbage may fall into one reading of a text, hardly into both.
                    took = min(took, _parse_seconds(bench, text, task))
            except (Exception, SystemExit) as error:
                yield f"reading {size:,} characters of {describe(unit)} raised {describe(error)}"
                break
            if too_slow(took, before, limit, size, bench.sizes[-1]):
                bench.longest = size // 10
                yield f"reading {size:,} characters of {describe(unit)} took {took:.2f} s"
                return
            before = took
