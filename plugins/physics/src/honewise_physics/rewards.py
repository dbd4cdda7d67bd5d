"""The rewards: what is right about the answer, the steps, the dimensions, the expression, the form and the wording."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

from honewise import Completion, Piece, Reward, Score, Span, Task, Unscored, UserError, reward
from honewise.rewards import pay_tags

from .answers import letters_in
from .check import Outcome, check
from .consistency import consistent
from .judging import ranking, reasoning_score
from .official import jee_marks, scibench_right
from .progress import symbolic
from .prompts import Form, plain_text
from .steps import Step, find_steps, gold_values, near
from .tasks import RULES, make_task
from .wording import meteor, rouge_l

__all__ = ["all_rewards", "outcome"]

_UNREADABLE = "no answer could be read from the reply"
_NO_GOLD = "the data has no answer for this task"
_DEADLINE = 5.0


@lru_cache(maxsize=4096)
def _checked(answers: str, unit: str, several: bool, rule: str, tolerance: float, text: str) -> Outcome | None:
    task = make_task("", "", json.loads(answers), unit=unit, several=several, rule=rule, tolerance=tolerance)  # type: ignore[arg-type]
    return check(task, text)


def outcome(task: Task, text: str, *, rule: str = "task", tolerance: float | None = None) -> Outcome | None:
    """The comparison of an answer with the task's; kept, so that all rewards share one. None: the task has no
    answer.
    """
    reference = task.reference
    return _checked(
        json.dumps(reference.get("answers") or []),
        str(task.inputs.get("unit") or ""),
        bool(task.inputs.get("several")),
        str(reference.get("rule") or "units") if rule == "task" else rule,
        float(reference.get("tolerance") or 0.05) if tolerance is None else tolerance,
        text,
    )


@reward(cost="process", deadline=_DEADLINE)
def answer(
    task: Task, completion: Completion, *, rule: str = "task", tolerance: float | None = None
) -> Score | Unscored:
    """1 where the final answer is right, else 0; decides ``correct``.

    ``rule``: ``task`` is that of the data set; ``units`` converts units and compares dimensions; ``scibench`` and
    ``jee`` are those benchmarks' own. ``tolerance``: how far a number may be off, as a share; None: the task's.
    """
    if rule not in ("task", *RULES):
        raise UserError(f"answer: rule is {rule!r}; allowed are task, {', '.join(RULES)}")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise UserError(f"answer: tolerance is {tolerance}; it must lie in [0, 1)")
    if not task.reference.get("answers"):
        return Unscored(_NO_GOLD)
    found = None if completion.answer is None else outcome(task, completion.answer, rule=rule, tolerance=tolerance)
    if found is None:
        return Score(correct=False, parts=_parts(Outcome()), feedback=_UNREADABLE)
    return Score(float(found.correct), correct=found.correct, parts=_parts(found), feedback=found.said)


def _parts(found: Outcome) -> dict[str, float]:
    return {
        "number_ok": float(found.number_ok),
        "unit_ok": float(found.unit_ok),
        "scale_ok": float(found.scale_ok),
        "figures_ok": float(found.figures_ok),
        "share": found.share,
    }


def _dense(
    task: Task,
    completion: Completion,
    worth: Callable[[Outcome, str], tuple[float, tuple[int, int] | None]],
    label: str,
) -> Score | Unscored:
    """What the answer is worth, paid where it stands: ``worth`` gives the value and the place in the answer."""
    if not task.reference.get("answers"):
        return Unscored(_NO_GOLD)
    found = None if completion.answer is None else outcome(task, completion.answer)
    if found is None or completion.answer is None:
        return Score(feedback=_UNREADABLE)
    value, where = worth(found, completion.answer)
    piece = completion.pieces.get("answer")
    if piece is None:
        return Score(value)
    return Score(spans=[(piece if where is None else piece.slice(*where)).pays(value, label)] * bool(value))


@reward(cost="process", deadline=_DEADLINE)
def number(task: Task, completion: Completion) -> Score | Unscored:
    """1 where the number is right once units are converted; without the right dimension, where the bare number is."""
    return _dense(
        task, completion, lambda found, _: (float(found.number_ok or found.correct), found.number_at), "number"
    )


@reward(cost="process", deadline=_DEADLINE)
def unit(task: Task, completion: Completion, *, partial: float = 0.5) -> Score | Unscored:
    """1 where the unit is right, or the number is once it is converted; ``partial`` for the right dimension at another
    scale; else 0. An answer that needs no unit earns it by being right."""
    if not 0 <= partial <= 1:
        raise UserError(f"unit: partial is {partial}; it must lie in [0, 1]")

    def worth(found: Outcome, _: str) -> tuple[float, tuple[int, int] | None]:
        if found.number_at is None:
            return float(found.correct), found.unit_at
        return 1.0 if found.scale_ok else partial if found.unit_ok else 0.0, found.unit_at

    return _dense(task, completion, worth, "unit")


@reward(cost="process", deadline=_DEADLINE)
def magnitude(task: Task, completion: Completion, *, decades: float = 2.0) -> Score | Unscored:
    """How near the order of magnitude is: 1 - |log10(number / right number)| / ``decades``, at least 0.

    The numbers are compared in one unit; a wrong dimension, or a wrong sign, earns nothing.
    """
    if not decades > 0:
        raise UserError(f"magnitude: decades is {decades}; it must be above 0")

    def worth(found: Outcome, _: str) -> tuple[float, tuple[int, int] | None]:
        if found.correct:
            return 1.0, found.number_at
        if found.ratio is None or found.ratio <= 0 or not found.unit_ok:
            return 0.0, found.number_at
        return max(0.0, 1.0 - abs(math.log10(found.ratio)) / decades), found.number_at

    return _dense(task, completion, worth, "magnitude")


@reward(cost="process", deadline=_DEADLINE)
def marks(task: Task, completion: Completion) -> Score | Unscored:
    """Partial marks: JEE's for options, the share of right ones among several answers, else as ``answer``."""
    golds = task.reference.get("answers") or []
    choice = letters_in(str(golds[0].get("text"))) if len(golds) == 1 and golds[0].get("kind") == "choice" else None

    def worth(found: Outcome, said: str) -> tuple[float, tuple[int, int] | None]:
        value = found.share if choice is None else jee_marks(letters_in(said), choice, several=len(choice) > 1)
        return max(value, float(found.correct)), None

    return _dense(task, completion, worth, "marks")


@reward(cost="process", deadline=_DEADLINE)
def scibench(task: Task, completion: Completion) -> Score | Unscored:
    """1 where SciBench's own rule calls the answer right: numbers to 5 %, units not looked at. Other kinds: as
    ``answer``.
    """
    golds = task.reference.get("answers")
    if not golds:
        return Unscored(_NO_GOLD)
    found = None if completion.answer is None else outcome(task, completion.answer)
    if found is None or completion.answer is None:
        return Score(feedback=_UNREADABLE)
    if len(golds) != 1 or golds[0].get("kind", "number") != "number":
        return Score(float(found.correct))
    right = scibench_right(completion.answer, str(golds[0].get("text")), str(golds[0].get("unit") or ""))
    return Score(float(right))


def _steps(completion: Completion) -> list[Step]:
    reasoning = completion.pieces.get("reasoning", Piece(""))
    return find_steps(reasoning.text, reasoning.start)


@reward(bounds=(-1.0, 1.0))
def steps(task: Task, completion: Completion, *, relevant: Literal["auto", "any"] = "auto") -> Score:
    """Each arithmetic step, worked out again with its units: right ones are paid where their result stands, wrong ones
    charged there, and those that are missing at the end.

    With n results in the worked solution, r of them found by right steps, and w wrong steps, the value is
    (r - w - max(0, n - r - w)) / max(n, r + w): -1 for an empty text, 1 for the solution. Each result is paid once.
    Where the data has no worked solution, or with ``relevant="any"``, every different right result is paid, and a text
    without any step is worth -1.
    """
    if relevant not in ("auto", "any"):
        raise UserError(f"steps: relevant is {relevant!r}; allowed are auto, any")
    values = gold_values(str(task.reference.get("solution") or "")) if relevant == "auto" else ()
    right: dict[int, Step] = {}
    wrong: list[Step] = []
    own: list[Any] = []
    for step in _steps(completion):
        if step.mark == "wrong":
            wrong.append(step)
        elif step.mark == "right" and step.result and step.value is not None:
            if values:
                at = near(step, values)
            else:
                at = near(step, own)
                if at is None:
                    own.append(step.value)
                    at = len(own) - 1
            if at is not None:
                right.setdefault(at, step)
    needed = max(1, len(values))
    count = max(needed, len(right) + len(wrong))
    missing = max(0, needed - len(right) - len(wrong))
    spans = [Span(step.start, step.end, 1 / count, "step") for step in right.values()]
    spans += [Span(step.start, step.end, -1 / count, f"wrong: {step.said}") for step in wrong]
    return Score(
        terminal=-missing / count,
        spans=sorted(spans, key=lambda span: span.start),
        parts={"right": float(len(right)), "wrong": float(len(wrong)), "missing": float(missing)},
        feedback=wrong[0].said if wrong else f"{missing} steps are missing" if missing else "",
    )


class FormReward:
    """``format`` for one form of reply."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def format(self, completion: Completion) -> Score:
        """Pays each tag that stands once and in its place; what follows the last one is charged as much."""
        score = pay_tags(completion, self._form.tags)
        last = f"</{self._form.tags[-1]}>"
        spans = list(score.spans)
        if spans and spans[-1].label == last and (rest := completion.text[spans[-1].end :]).strip():
            begins = len(completion.text) - len(rest.lstrip())
            spans.append(Span(begins, begins + 1, -spans[-1].value, "more"))
        return Score(spans=spans, feedback=score.feedback)


class WordingRewards:
    """Likeness to the reference reply, for data that is answered in words."""

    def __init__(self, form: Form) -> None:
        self._form = form

    def meteor(self, task: Task, completion: Completion) -> float | Unscored:
        """METEOR with exact and stem matches against the worked solution and answer; papers give it times 100."""
        gold = self._form.gold(task)
        return Unscored(_NO_GOLD) if gold is None else meteor(plain_text(gold), plain_text(completion.text))

    def rouge_l(self, task: Task, completion: Completion) -> float | Unscored:
        """ROUGE-L (F1) against the worked solution and answer."""
        gold = self._form.gold(task)
        return Unscored(_NO_GOLD) if gold is None else rouge_l(plain_text(gold), plain_text(completion.text))

    def bertscore(
        self, tasks: Sequence[Task], completions: Sequence[Completion], *, model: str = "roberta-large"
    ) -> list[float | Unscored]:
        """BERTScore F1 in [0, 1] against the worked solution and answer. Needs ``honewise-physics[bertscore]`` and the
        model, a name of the Hugging Face hub or a folder."""
        golds = [self._form.gold(task) for task in tasks]
        try:
            from bert_score import score  # type: ignore[import-not-found, import-untyped, unused-ignore]
        except ImportError:
            return [Unscored("bert-score is not installed: pip install 'honewise-physics[bertscore]'")] * len(golds)
        kept = [at for at, gold in enumerate(golds) if gold is not None and completions[at].text.strip()]
        found: list[float | Unscored] = [Unscored(_NO_GOLD) if gold is None else 0.0 for gold in golds]
        if kept:
            said = [plain_text(completions[at].text) for at in kept]
            _, _, f1 = score(said, [plain_text(golds[at] or "") for at in kept], model_type=model)
            for at, value in zip(kept, f1.tolist(), strict=True):
                found[at] = min(1.0, max(0.0, float(value)))
        return found


def all_rewards(form: Form) -> Sequence[Reward]:
    """Every reward of the domain, for one form of reply."""
    wording = WordingRewards(form)
    return [
        answer,
        number,
        unit,
        magnitude,
        steps,
        consistent,
        symbolic,
        marks,
        scibench,
        Reward(fn=FormReward(form).format, name="format"),
        Reward(fn=wording.meteor, name="meteor"),
        Reward(fn=wording.rouge_l, name="rouge_l"),
        Reward(fn=wording.bertscore, name="bertscore", cost="device", deadline=60.0),
        reasoning_score,
        ranking,
    ]
