"""How the policy is asked and how its reply is read. The wording is our own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from honewise import Completion, Message, Piece, Task
from honewise.rewards import tagged

from .functions import gold_call

__all__ = ["CallForm", "ProgramForm", "parse"]

_FENCE = re.compile(r"```[ \t]*(\w*)[ \t]*\r?\n?")

_CALLS = """\
Answer with calls of the functions below, and nothing else: Python calls with keyword arguments, each to a line. Where \
no function can serve the request, answer with [] alone."""
_API = """\
Answer with one call, in Python, of a pretrained model that does what is asked: the call that loads the model from its \
hub, with the model's name as an argument."""
_PROGRAM = """\
Write the Python program that is asked for. It must be complete: imports, helpers and the function itself."""
_FORM = """\
Put it inside <answer></answer>, in this form:

<answer>
```python
{what}
```
</answer>"""


def parse(text: str, _task: Task) -> Completion:
    """The code of a reply: the last fenced block of the last ``<answer>``, else all of it; without tags the last block.

    ``answer`` is None where there is neither. Pieces: ``answer`` (inside the tags) and ``code``, where they are there.
    """
    pieces: dict[str, Piece] = {}
    inside = tagged(text, "answer")
    if inside is not None:
        pieces["answer"] = inside
    code = _fenced(inside if inside is not None else Piece(text))
    if code is None and inside is not None:
        code = _stripped(inside)
    if code is None or not code.text:
        return Completion(text, None, pieces)
    pieces["code"] = code
    return Completion(text, code.text, pieces)


def _fenced(piece: Piece) -> Piece | None:
    fences = list(_FENCE.finditer(piece.text))
    last: Piece | None = None
    for at in range(0, len(fences), 2):
        end = fences[at + 1].start() if at + 1 < len(fences) else len(piece.text)
        block = _stripped(piece.slice(fences[at].end(), end))
        last = block if block.text else last
    return last


def _stripped(piece: Piece) -> Piece:
    """Without blank lines around it; the first line keeps its indentation."""
    text = piece.text
    start = len(text) - len(text.lstrip())
    start = text.rfind("\n", 0, start) + 1 if "\n" in text[:start] else 0
    return piece.slice(start, max(start, len(text.rstrip())))


@dataclass(frozen=True, slots=True)
class CallForm:
    """For calls. ``compact``, for tiny models, shows signatures and the request only, and wants no fence."""

    style: Literal["full", "compact"] = "full"

    def prompt(self, task: Task) -> Sequence[Message]:
        functions, question = task.inputs.get("functions"), str(task.inputs["question"])
        if self.style == "compact":
            shown = [_signature(each) for each in functions or ()]
            return [{"role": "user", "content": "\n".join([*shown, question])}]
        rules = _API if functions is None else _CALLS
        parts = [rules]
        if functions is not None:
            parts.append("Functions:\n" + "\n".join(json.dumps(each, ensure_ascii=False) for each in functions))
        parts += [f"Request: {question}", _FORM.format(what="the call" if functions is None else "the calls")]
        return [{"role": "user", "content": "\n\n".join(parts)}]

    def gold(self, task: Task) -> str | None:
        reference = task.reference
        if reference.get("calls") is not None:
            code = "\n".join(gold_call(each) for each in reference["calls"]) or "[]"
        elif reference.get("api_call"):
            code = str(reference["api_call"])
        else:
            return None
        return _answer(code, self.style)


@dataclass(frozen=True, slots=True)
class ProgramForm:
    """For programs."""

    style: Literal["full", "compact"] = "full"

    def prompt(self, task: Task) -> Sequence[Message]:
        question = str(task.inputs["question"])
        start = str(task.inputs.get("start") or "")
        if self.style == "compact":
            return [{"role": "user", "content": "\n".join(part for part in (question, start) if part)}]
        parts = [_PROGRAM, question]
        if start:
            parts.append(f"It begins like this; repeat the beginning:\n\n```python\n{start}\n```")
        if task.inputs.get("examples"):
            parts.append("It must pass tests like these:\n\n```python\n" + "\n".join(task.inputs["examples"]) + "\n```")
        parts.append(_FORM.format(what="the program"))
        return [{"role": "user", "content": "\n\n".join(parts)}]

    def gold(self, task: Task) -> str | None:
        code = task.reference.get("solution")
        return _answer(str(code), self.style) if code else None


def _answer(code: str, style: str) -> str:
    return f"<answer>{code}</answer>" if style == "compact" else f"<answer>\n```python\n{code}\n```\n</answer>"


def _signature(function: Mapping[str, Any]) -> str:
    parameters = function.get("parameters") or {}
    required = parameters.get("required") or ()
    shown = [name if name in required else f"{name}?" for name in parameters.get("properties") or {}]
    return f"{function.get('name')}({', '.join(shown)})"
