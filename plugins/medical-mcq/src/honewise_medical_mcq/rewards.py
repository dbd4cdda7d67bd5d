"""What a reply is worth, without asking anybody: right or wrong, exam marking, confidence, eliminations, language."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from honewise import Completion, Piece, Reward, Score, Span, Task, Unscored, UserError, reward
from honewise.rewards import pay_tags

from .language import language_of, script_of, scripts_of_language
from .parse import eliminations, read_confidence
from .prompts import Form
from .tasks import gold_label

__all__ = ["all_rewards", "confidence", "correct", "elimination", "language", "negative_marking"]

_NO_GOLD = "the data does not say which option is right"
_UNREADABLE = "no option could be read from the reply"
_TOLD = 40
"""Letters from which on a language can be told from another of the same script."""


@reward
def correct(task: Task, completion: Completion) -> Score | Unscored:
    """1 where the option chosen is the right one, else 0."""
    right = gold_label(task)
    if right is None:
        return Unscored(_NO_GOLD)
    hit = completion.answer == right
    return Score(float(hit), correct=hit, feedback="" if hit else _wrong(completion))


@reward(bounds=(-1.0, 1.0))
def negative_marking(task: Task, completion: Completion, *, penalty: float = 1 / 3) -> Score | Unscored:
    """An exam's marks: 1 for the right option, 0 for leaving the question open in so many words, else ``-penalty``.

    What cannot be read is marked as wrong: silence is no decision.
    """
    if not 0 <= penalty <= 1:
        raise UserError(f"negative_marking: penalty is {penalty}; it must lie between 0 and 1")
    right = gold_label(task)
    if right is None:
        return Unscored(_NO_GOLD)
    hit = completion.answer == right
    open_ = completion.answer is None and "abstention" in completion.pieces
    parts = {"abstained": float(open_)}
    return Score(
        1.0 if hit else 0.0 if open_ else -penalty, correct=hit, parts=parts, feedback=_wrong(completion) * (not hit)
    )


@reward
def abstention(task: Task, completion: Completion, *, worth: float = 0.25) -> Score | Unscored:
    """1 for the right option, ``worth`` for leaving the question open in so many words, 0 for anything else.

    With ``worth`` w, leaving it open pays where the chance of being right is below w.
    """
    if not 0 <= worth <= 1:
        raise UserError(f"abstention: worth is {worth}; it must lie between 0 and 1")
    right = gold_label(task)
    if right is None:
        return Unscored(_NO_GOLD)
    hit = completion.answer == right
    open_ = completion.answer is None and "abstention" in completion.pieces
    return Score(1.0 if hit else worth * open_, correct=hit, parts={"abstained": float(open_)})


@reward
def confidence(task: Task, completion: Completion, *, rule: Literal["brier", "log"] = "brier") -> Score | Unscored:
    """A proper score of the stated probability p of being right, in [0, 1]: highest in the mean where p is the truth.

    With y = 1 for the right option and 0 for another: ``brier`` is 1 - (p - y)^2; ``log`` is 1 - ln q / ln .01, where q
    is the probability given to what happened, cut to [.01, .99]. Without a readable option or probability it is 0, as
    the worst statement is. Being unsure of a wrong answer is worth as much as being sure of a right one: give
    ``correct`` more weight than this.
    """
    if rule not in ("brier", "log"):
        raise UserError(f"confidence: rule is {rule!r}; allowed are brier, log")
    right = gold_label(task)
    if right is None:
        return Unscored(_NO_GOLD)
    stated = read_confidence(completion.pieces.get("confidence"))
    if completion.answer is None or stated is None:
        return Score(feedback=_UNREADABLE if completion.answer is None else "no probability was stated")
    hit = completion.answer == right
    if rule == "brier":
        value = 1 - (stated - hit) ** 2
    else:
        said = min(max(stated if hit else 1 - stated, 0.01), 0.99)
        value = 1 - math.log(said) / math.log(0.01)
    return Score(value, parts={"stated": stated, "brier": (stated - hit) ** 2}, feedback=f"stated {stated:g}")


@reward(bounds=(-1.0, 1.0))
def elimination(task: Task, completion: Completion, *, charge: float = 1.0) -> Score | Unscored:
    """Reasoning that rules options out, paid and charged where it does so; in [-1, 1].

    Each wrong option is paid 1 / (number of wrong options) where it is first ruled out, the right one is charged
    ``charge``. Ruling out everything earns nothing at a charge of 1. A reply without a readable option gets -1.
    """
    if not 0 <= charge <= 1:
        raise UserError(f"elimination: charge is {charge}; it must lie between 0 and 1")
    right = gold_label(task)
    if right is None:
        return Unscored(_NO_GOLD)
    if completion.answer is None:
        return Score(-1.0, feedback=_UNREADABLE)
    labels = list(task.inputs["labels"])
    spans: list[Span] = []
    seen: set[int] = set()
    for place, piece in eliminations(completion.pieces.get("reasoning", Piece("")), task):
        if place not in seen:
            seen.add(place)
            value = -charge if labels[place] == right else 1 / (len(labels) - 1)
            spans.append(piece.pays(value, f"{labels[place]} ruled out"))
    lost = labels.index(right) in seen
    parts = {"ruled_out": float(len(seen - {labels.index(right)})), "lost": float(lost)}
    return Score(spans=spans, parts=parts, feedback="the right option was ruled out" if lost else "")


@reward
def language(task: Task, completion: Completion, *, expected: str = "", latin: float = 0.3) -> Score:
    """Whether the reasoning keeps to the question's language (or ``expected``, an ISO 639-1 code) and its script.

    The share of its letters that belong to the language's scripts; each foreign run is charged where it stands. In
    languages of other scripts, Latin letters are free up to the share ``latin``: names of drugs, genes, units. Where a
    longer reasoning is in another language of the same script, half is taken. 0 without a readable option; 1 where
    there is no reasoning beside it.
    """
    if not 0 <= latin <= 1:
        raise UserError(f"language: latin is {latin}; it must lie between 0 and 1")
    if completion.answer is None:
        return Score(feedback=_UNREADABLE)
    reasoning = completion.pieces.get("reasoning", Piece(""))
    letters = sum(letter.isalpha() for letter in reasoning.text)
    if not letters:
        return Score(1.0)
    code = expected or str(task.inputs.get("language") or "en")
    wanted = scripts_of_language(code)
    runs = _foreign(reasoning, wanted)
    named = {script for script, _, _ in runs}
    if "LATIN" not in wanted:
        free = latin * letters
        total_latin = sum(count for script, _, count in runs if script == "LATIN")
        if total_latin <= free:
            runs = [run for run in runs if run[0] != "LATIN"]
    spans = [piece.pays(-count / letters, "foreign script") for _, piece, count in runs]
    other = ""
    if letters >= _TOLD and not named - {"LATIN"}:
        found = language_of(reasoning.text)
        other = found if found and found != code and scripts_of_language(found) == wanted else ""
    left = 1 + math.fsum(span.value for span in spans)
    return Score(
        1.0 - (left / 2 if other else 0.0),
        spans=spans,
        parts={"foreign": float(sum(count for _, _, count in runs))},
        feedback=f"reasoned in {other}, not in {code}" if other else "",
    )


def _foreign(reasoning: Piece, wanted: frozenset[str]) -> list[tuple[str, Piece, int]]:
    """(script, text, number of letters) of each run of letters of one unwanted script."""
    runs: list[tuple[str, Piece, int]] = []
    script, start, count, end = "", 0, 0, 0
    for at, character in enumerate(reasoning.text):
        if not character.isalpha():
            continue
        mine = script_of(character)
        if script and (mine != script or at > end + 1):
            runs.append((script, reasoning.slice(start, end), count))
            script = ""
        if mine in wanted:
            continue
        if not script:
            script, start, count = mine, at, 0
        count, end = count + 1, at + 1
    if script:
        runs.append((script, reasoning.slice(start, end), count))
    return runs


def _wrong(completion: Completion) -> str:
    return _UNREADABLE if completion.answer is None else f"{completion.answer} is not the right option"


class FormReward:
    """``format`` for one form of reply."""

    def __init__(self, form: Form) -> None:
        self._tags = form.tags

    def format(self, completion: Completion) -> Score:
        """An equal share of 1 for every tag asked for that stands once and in its place."""
        return pay_tags(completion, self._tags)


def all_rewards(form: Form) -> Sequence[Reward]:
    """Every reward of the domain that asks nobody."""
    return [
        correct,
        Reward(fn=FormReward(form).format, name="format"),
        negative_marking,
        abstention,
        confidence,
        elimination,
        language,
    ]
