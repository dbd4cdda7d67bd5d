"""What may not stand in a hint, nor in an answer to be learnt; and pairs that a judge agrees with twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from honewise import Judge, JudgeError, Piece, Task
from honewise.judges import Pairwise
from honewise.scoring.pairs import Pair
from honewise_medical_mcq.judging import reference_text
from honewise_medical_mcq.locales import locale_text
from honewise_medical_mcq.parse import choices_of, eliminations
from honewise_medical_mcq.prompts import listed_options
from honewise_medical_mcq.reading.mentions import mentions
from honewise_medical_mcq.reading.normal import fold, normal

__all__ = ["consistent_pairs", "leaked", "reveals"]

_LEAST = 4
"""Letters of an option's words that are looked for."""
_TOLD = re.compile(
    r"(?<!\w)(?:student(?:'s)?|teacher|critique|the hint|your (?:answer|reasoning|choice|mistake)|previous answer"
    r"|first answer|earlier answer|as corrected|correcting|correct option (?:given|provided)|was told|i was wrong"
    r"|my mistake|دانشجو|شاگرد|نقد|پاسخ قبلی|اشتباه شما|راهنمایی|الطالب|نقدک|الاجابه السابقه|خطاک|छात्र|आलोचना"
    r"|студент|ученик|критик|предыдущий ответ|estudiante|alumno|critica|respuesta anterior|etudiant|schuler"
    r"|kritik)(?!\w)"
    r"|学生|批评|上一个回答"
)


def leaked(hint: str, task: Task) -> str:
    """What of the right option a hint gives away; empty where nothing.

    The option's label or place, its text, a text that holds all of its words, or the denial of every other option.
    """
    right = int(task.reference["answer"])
    choices, text = choices_of(task), normal(hint)
    for mention in mentions(text, choices):
        if right in mention.options and (mention.firm or mention.kind == "text"):
            return text.text[mention.start : mention.end]
    words = [word for word in re.findall(r"\w+", fold(str(task.inputs["options"][right]))) if len(word) >= _LEAST]
    others = {word for at, option in enumerate(task.inputs["options"]) if at != right for word in _words(option)}
    telling = [word for word in words if word not in others]
    said = set(_words(hint))
    if telling and all(word in said for word in telling):
        return " ".join(telling)
    denied = {place for place, _ in eliminations(Piece(hint), task)}
    if len(denied - {right}) >= choices.count - 1:
        return "every other option is ruled out"
    return ""


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", normal(str(text)).text)


def reveals(answer: str) -> str:
    """The words by which an answer shows that it corrects another or was told; empty where there are none."""
    text = normal(answer)
    match = _TOLD.search(text.text)
    return match[0] if match else ""


async def consistent_pairs(
    pairs: Iterable[Pair], tasks: Iterable[Task], judge: Judge, *, locale: str = ""
) -> tuple[list[Pair], Mapping[str, int]]:
    """The pairs whose chosen answer a judge prefers whichever stands first, and how many were dropped and why.

    ``locale``: whom the judge judges for (AceGPT, 2309.12053). A pair that no verdict could be had on is dropped as
    ``unjudged``.
    """
    by_id = {task.id: task for task in tasks}
    protocol = Pairwise("judges/better.md", package="honewise_medical_mcq", orders="agree")
    kept: list[Pair] = []
    dropped = {"inconsistent": 0, "reversed": 0, "unjudged": 0}
    for pair in pairs:
        task = by_id[pair.task_id]
        try:
            preference = await protocol(
                judge,
                task=task,
                first=pair.chosen,
                second=pair.rejected,
                question=str(task.inputs["question"]),
                options=listed_options(task),
                reference=reference_text(task),
                locale=locale_text(locale),
            )
        except JudgeError:
            dropped["unjudged"] += 1
            continue
        if not preference.agrees or preference.winner is None:
            dropped["inconsistent"] += 1
        elif preference.winner == 1:
            dropped["reversed"] += 1
        else:
            told = {**pair.provenance, "judged": preference.value, "locale": locale}
            kept.append(replace(pair, prob=preference.value, provenance=told))
    return kept, dropped
