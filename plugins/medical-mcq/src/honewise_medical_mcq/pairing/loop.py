"""One question, one student, one teacher: the two ways to a pair."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from honewise import Judge, JudgeError, JudgeTemplate, Message, Task, UserError
from honewise.judges import free_text, template_hash
from honewise.scoring.pairs import Pair
from honewise_medical_mcq.judging import reference_text
from honewise_medical_mcq.language import letters_by_script, scripts_of_language
from honewise_medical_mcq.parse import parse
from honewise_medical_mcq.prompts import listed_options
from honewise_medical_mcq.tasks import gold_label

from .filters import leaked, reveals

__all__ = ["HINT", "TEACH", "Outcome", "Writer", "corrected_pair", "retried_pair", "writer_of"]

TEACH = JudgeTemplate("judges/teach.md", parse=free_text, package="honewise_medical_mcq")
HINT = JudgeTemplate("judges/hint.md", parse=free_text, package="honewise_medical_mcq")

Writer = Callable[[Sequence[Message], int], Awaitable[str]]
"""The student: a conversation and the number of the sample to a reply."""

_AGAIN = """\
The option you chose is not right. Here is a critique of your reasoning:

{hint}

Think it through again from the beginning and choose another option. Reply in the same form as before, with the \
reasoning and the answer alone; do not mention the critique or that you answered before."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    why: str
    """``paired``; else ``right`` (the student was), ``unreadable``, ``no gold``, ``failed``, ``teacher wrong``,
    ``teacher tells``, ``script``, ``leaked``, ``unsolved``."""
    pair: Pair | None = None
    hints: tuple[str, ...] = ()
    """What the student was shown, by round."""
    notes: tuple[str, ...] = field(default=())


def writer_of(judge: Any, *, temperature: float = 1.0, max_tokens: int | None = None) -> Writer:
    """A student from what ``honewise.load_judge`` gives: the conversation as it is, nothing around it.

    Raises ``UserError`` for a panel: there is no mean of texts.
    """
    if not hasattr(judge, "base"):
        raise UserError("a student is one model; this is a panel. Take one of its members")
    base = replace(judge.base, temperature=temperature, max_tokens=max_tokens or judge.base.max_tokens)

    async def write(messages: Sequence[Message], sample: int) -> str:
        reply, _ = await judge.client.complete(replace(base, messages=tuple(messages), sample=sample))
        return str(reply.text)

    return write


async def corrected_pair(
    task: Task,
    student: Writer,
    teacher: Judge,
    *,
    tries: int = 2,
    unreadable: Literal["skip", "rejected"] = "skip",
    names: Mapping[str, str] | None = None,
) -> Outcome:
    """The teacher rewrites a wrong answer (method A): rewritten against wrong.

    Args:
        task: with its prompt filled in.
        student: answers the prompt once.
        teacher: knows the right option.
        tries: how often the teacher is asked, until its text reaches the right option, in the language's script, and
            has no word that tells of a correction.
        unreadable: an answer without a readable option is no wrong answer; ``rejected`` takes it as one.
        names: who the two are, for the record.

    The teacher's text is kept as it is, its case included.
    """
    first = await _first_answer(task, student, unreadable)
    if isinstance(first, Outcome):
        return first
    slots = _slots(task, first)
    why = "failed"
    for attempt in range(tries):
        try:
            text = await _say(teacher, TEACH, slots, attempt)
        except JudgeError as error:
            return Outcome("failed", notes=(str(error),))
        why = _unfit(text, task)
        if not why:
            told = {"method": "teacher", "attempt": attempt, "template": template_hash(TEACH), **(names or {})}
            return Outcome("paired", _pair(task, text, first, told))
    return Outcome(why)


async def retried_pair(
    task: Task,
    student: Writer,
    teacher: Judge,
    *,
    rounds: int = 10,
    tries: int = 2,
    unreadable: Literal["skip", "rejected"] = "skip",
    names: Mapping[str, str] | None = None,
) -> Outcome:
    """The teacher criticises, the student tries again (method B): the first right retry against the first answer.

    At most ``rounds`` retries; the loop ends with the first right one. A critique that gives the right option away is
    never shown to the student: the teacher is asked for another, ``tries`` times, and then the question is given up.
    See ``corrected_pair`` for the rest.
    """
    first = await _first_answer(task, student, unreadable)
    if isinstance(first, Outcome):
        return first
    answer = first
    hints: list[str] = []
    for round in range(rounds):
        try:
            hint, caught = await _hint(task, teacher, answer, round, tries)
            if hint is None:
                return Outcome("leaked", hints=tuple(hints), notes=tuple(caught))
            hints.append(hint)
            again: tuple[Message, ...] = (
                *task.prompt,
                {"role": "assistant", "content": answer},
                {"role": "user", "content": _AGAIN.replace("{hint}", hint)},
            )
            answer = await student(again, round + 1)
        except JudgeError as error:
            return Outcome("failed", hints=tuple(hints), notes=(str(error),))
        if parse(answer, task).answer == gold_label(task):
            why = _unfit(answer, task)
            if why:
                return Outcome(why, hints=tuple(hints))
            told = {
                "method": "retry",
                "round": round + 1,
                "hints": [hashlib.sha256(each.encode("utf-8", "replace")).hexdigest()[:16] for each in hints],
                "template": template_hash(HINT),
                **(names or {}),
            }
            return Outcome("paired", _pair(task, answer, first, told), tuple(hints))
    return Outcome("unsolved", hints=tuple(hints))


async def _first_answer(task: Task, student: Writer, unreadable: str) -> str | Outcome:
    right = gold_label(task)
    if right is None:
        return Outcome("no gold")
    try:
        text = await student(task.prompt, 0)
    except JudgeError as error:
        return Outcome("failed", notes=(str(error),))
    chosen = parse(text, task).answer
    if chosen == right:
        return Outcome("right")
    if not text.strip() or (chosen is None and unreadable == "skip"):
        return Outcome("unreadable")
    return text


async def _hint(task: Task, teacher: Judge, answer: str, round: int, tries: int) -> tuple[str | None, list[str]]:
    """A critique that gives nothing away; None with what was caught, where there is none."""
    caught: list[str] = []
    for attempt in range(tries):
        hint = await _say(teacher, HINT, _slots(task, answer), round * tries + attempt)
        found = leaked(hint, task)
        if not found:
            return hint, caught
        caught.append(found)
    return None, caught


async def _say(teacher: Judge, template: JudgeTemplate, slots: Mapping[str, str], sample: int) -> str:
    """The teacher's text, without the tags of the prompt, which models like to repeat."""
    ask: Any = getattr(teacher, "ask", None)
    if ask is None:
        return (await teacher(template, **slots)).rationale
    answer = await ask(template, slots, sample=sample)
    text = str(answer.verdict.rationale)
    for tag, code in (answer.prompt.codes if answer.prompt else {}).items():
        text = text.replace(f"<{tag}-{code}>", "").replace(f"</{tag}-{code}>", "")
    return text.strip()


def _slots(task: Task, answer: str) -> dict[str, str]:
    return {
        "question": "\n".join(part for part in (task.inputs.get("context", ""), task.inputs["question"]) if part),
        "options": listed_options(task),
        "reference": reference_text(task),
        "answer": answer,
    }


def _unfit(text: str, task: Task) -> str:
    """Why a text cannot be the chosen one; empty where it can."""
    if parse(text, task).answer != gold_label(task):
        return "teacher wrong"
    if reveals(text):
        return "teacher tells"
    reasoning = parse(text, task).pieces.get("reasoning")
    letters = letters_by_script(reasoning.text if reasoning is not None else "")
    wanted = scripts_of_language(str(task.inputs["language"] or "en"))
    if letters and sum(letters[script] for script in wanted) * 2 < sum(letters.values()):
        return "script"
    return ""


def _pair(task: Task, chosen: str, rejected: str, told: Mapping[str, Any]) -> Pair:
    subject = str(task.meta.get("subject") or "")
    return Pair(
        task_id=task.id,
        prompt=task.prompt,
        chosen=chosen,
        rejected=rejected,
        source=str(told["method"]),
        provenance={**told, "subject": subject, "language": task.inputs["language"]},
    )
