"""A checklist about the use of APIs, answered by a judge, after the API-usage paper (RLAIF for API code, 2406.20060).

The paper asks a language model several yes-or-no questions about a request and the code, and makes its pairs from what
the answers add up to. It publishes neither the questions nor the sum; both are ours. The judge sees the request and
what may be called, as the policy did, and no reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from honewise import Completion, Judge, Score, Task, UserError, reward
from honewise.judges import Checklist, Question

__all__ = ["QUESTIONS", "checklist", "sheet_of"]

QUESTIONS: Mapping[str, Question] = {
    "exists": Question(
        "Is everything that is called either listed in what may be called or, where there is no list, a real function "
        "of a real package?",
        weight=2,
    ),
    "fits": Question("Does what is called do what was asked for, so that nothing else is left to be done?", weight=2),
    "complete": Question("Does each call give every argument that the function cannot do without?"),
    "values": Question("Does the value of each argument follow from the request, in kind and unit?", weight=2),
    "invented": Question("Is any argument given that the function does not take?", good="no"),
    "undefined": Question("Does the code use a name that it neither defines, imports nor was given?", good="no"),
    "placeholder": Question("Must anybody still fill something in before it can run?", good="no"),
    "surplus": Question("Does it do anything that nobody asked for?", good="no"),
}
"""Id to question. Weights: whether it is the right call, with the right values, counts twice."""

_NO_LIST = "any pretrained model of a public hub (Hugging Face, TensorFlow Hub, PyTorch Hub); there is no list"
_NOTHING = "(nothing)"
_KEYS = ("text", "weight", "good")


@reward(cost="judge", deadline=120.0)
async def checklist(
    task: Task,
    completion: Completion,
    judge: Judge,
    *,
    questions: Mapping[str, Any] | None = None,
    each: bool = False,
) -> Score:
    """Weighted share of a checklist's questions about the calls that a language model answers in their favour, 0 to 1.

    n+ / (n+ + n-), where n+ and n- are the weights of the questions with the good and with the other answer; what does
    not apply counts in neither. (The form (n+ - n-) / (n+ + n-) is this times 2, less 1, and orders alike.) Parts: 1 or
    0 for each question. A reply without code has 0, and nobody is asked.

    Options:
        questions: in place of ours: id to a text, or to ``{text, weight, good}`` (``good`` is ``yes`` or ``no``).
        each: a call for each question, so that no answer colours another.
    """
    if completion.answer is None:
        return Score()
    asking = sheet_of(questions, each=each)
    verdict: Any = await asking(
        judge, task=task, question=str(task.inputs["question"]), known=_known(task), answer=completion.answer
    )
    parts = {name: part for name, part in getattr(verdict, "parts", {}).items() if part is not None}
    return Score(verdict.value, parts=parts, feedback=_against(asking, parts))


def sheet_of(questions: Mapping[str, Any] | None = None, *, each: bool = False) -> Checklist:
    """The protocol that asks; ``questions`` as the reward's option.

    Raises:
        UserError: there is no question, or one is not as it must be.
    """
    return _sheet(None if questions is None else json.dumps(questions, sort_keys=False), each)


@lru_cache(maxsize=16)
def _sheet(questions: str | None, each: bool) -> Checklist:
    given = QUESTIONS if questions is None else _read(json.loads(questions))
    return Checklist("judges/api_use.md", package=__name__, questions=given, each=each)


def _read(given: Any) -> dict[str, Question]:
    if not isinstance(given, dict):
        raise UserError(f"checklist: questions is {given!r}; it must be {{id: text}} or {{id: {{text, weight, good}}}}")
    return {name: _question(name, each) for name, each in given.items()}


def _question(name: str, given: Any) -> Question:
    row = {"text": given} if isinstance(given, str) else given
    if not isinstance(row, dict) or not isinstance(row.get("text"), str) or not row["text"].strip():
        raise UserError(f"checklist: question {name!r} is {given!r}; it must be a text, or have the key 'text'")
    unknown = sorted(set(row) - set(_KEYS))
    if unknown:
        raise UserError(f"checklist: question {name!r} has the key {unknown[0]!r}; there are {', '.join(_KEYS)}")
    weight, good = row.get("weight", 1), row.get("good", "yes")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
        raise UserError(f"checklist: question {name!r} has the weight {weight!r}; it must be a number above 0")
    if good not in ("yes", "no"):
        raise UserError(f"checklist: question {name!r} has good: {good!r}; allowed are 'yes' and 'no' (in quotes)")
    return Question(row["text"], float(weight), good)


def _known(task: Task) -> str:
    functions = task.inputs.get("functions")
    if functions is None:
        return _NO_LIST
    return "\n".join(json.dumps(each, ensure_ascii=False) for each in functions) or _NOTHING


def _against(asking: Checklist, parts: Mapping[str, float]) -> str:
    said = [name for name in asking.items if parts.get(name) == 0.0]
    return f"against it: {', '.join(said)}" if said else ""
