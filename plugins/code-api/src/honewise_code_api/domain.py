"""The domains: options in, prompt, parser, rewards, presets, readers, samples and metrics out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from honewise import Completion, Domain, Rubric, Score, Scored, Term, UserError, reward
from honewise.rewards import pay_tags
from honewise.sandbox.python import PythonLimits

from . import preferences, repair
from .call_rewards import call, match, syntax
from .checklist import checklist, sheet_of
from .executability import RunReward
from .program_rewards import CLASSES, ProgramRewards
from .readers import PROGRAM_READERS, call_readers
from .replies import CallForm, ProgramForm, parse
from .samples import call_tasks, program_tasks
from .similarity import comment_similarity
from .textual import bleu_of_code, rouge_l, undefined

__all__ = ["code_api", "code_preferences", "code_repair", "code_tests"]

Style = Literal["full", "compact"]


@reward(name="format")
def form(completion: Completion) -> Score:
    """The tags of the answer, each once and in order: half for each."""
    return pay_tags(completion, ["answer"])


def code_api(*, style: Style = "full", seconds: float = 3.0, table: str | None = None) -> Domain:
    """Requests to calls: of functions that the prompt describes, or of a pretrained model in a hub.

    Args:
        style: ``full`` asks in words and wants a fenced block; ``compact``, for tiny models, shows signatures and the
            request only and wants ``<answer>calls</answer>``.
        seconds: time limit of running the code (the reward ``runs``).
        table: a file of the APIs that there are, one JSON object with ``domain`` and ``api_call`` a line, for rows of
            APIBench; left out, ``<hub>_api.jsonl`` beside them, else the rows' own APIs.

    Raises:
        UserError: an option has a value that is not allowed.
    """
    shape = CallForm(_style(style))
    return Domain(
        prompt=shape.prompt,
        parse=parse,
        gold=shape.gold,
        samples=call_tasks,
        rewards=[
            call,
            match,
            syntax,
            undefined,
            form,
            rouge_l,
            bleu_of_code,
            RunReward(_limits(seconds)).reward,
            checklist,
        ],
        rubrics=CALL_PRESETS,
        readers=call_readers(_table(table)),
        judges=list(sheet_of().templates),
        metrics={"calls": call_metrics},
    )


def code_tests(*, style: Style = "full", seconds: float = 3.0) -> Domain:
    """Descriptions to Python programs, tried with unit tests in a sandbox.

    Args:
        style: ``full`` asks in words and wants a fenced block; ``compact``, for tiny models, shows the description
            only and wants ``<answer>program</answer>``.
        seconds: time limit of a program with all of its tests.

    Raises:
        UserError: an option has a value that is not allowed.
    """
    shape = ProgramForm(_style(style))
    return Domain(
        prompt=shape.prompt,
        parse=parse,
        gold=shape.gold,
        samples=program_tasks,
        rewards=[*ProgramRewards(_limits(seconds)).all(), syntax, undefined, form, rouge_l, bleu_of_code],
        rubrics=PROGRAM_PRESETS,
        readers=PROGRAM_READERS,
        metrics={"tests": test_metrics},
    )


@reward(name="format")
def repair_form(completion: Completion) -> Score:
    """The tags of explanation and answer, each once and in order: a quarter for each."""
    return pay_tags(completion, ["explanation", "answer"])


REPAIR_PRESETS: Mapping[str, Rubric] = {
    "repair": Rubric(
        {
            "tests": 1,
            "findings": Term(1, when="tests >= 1"),  # code that does nothing has no findings, either
            "minimal": Term(0.2, when="tests >= 1"),
            "comment_overlap": 0.3,
            "format": 0.1,
            "repaired": 0,
        },
        correct="repaired",
    ),
    "sparse": Rubric({"repaired": 1}, correct="repaired"),
}
CALL_PRESETS: Mapping[str, Rubric] = {
    "dense": Rubric({"call": 1, "format": 0.1, "match": 0}, correct="match"),
    "sparse": Rubric({"match": 1}, correct="match"),
    "judged": Rubric({"checklist": 1, "format": 0.1, "match": 0}, correct="match"),
}
PROGRAM_PRESETS: Mapping[str, Rubric] = {
    "dense": Rubric({"tests": 1, "faulty_line": 0.2, "syntax": 0.1, "format": 0.1}, correct="tests"),
    "sparse": Rubric({"passes": 1}, correct="passes"),
}


def call_metrics(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``accuracy``, and for APIs of a table the shares ``hallucinated`` and ``wrong``; needs the reward ``match``."""
    cells = [row.rewards["match"] for row in rows if "match" in row.rewards]
    return _means([(cell.value, cell.parts) for cell in cells], "accuracy", ("hallucinated", "wrong", "unreadable"))


def test_metrics(rows: Sequence[Scored]) -> Mapping[str, float]:
    """``tests``: mean share of tests passed; beside it the share of programs in each class of how they ran."""
    cells = [row.rewards["tests"] for row in rows if "tests" in row.rewards]
    return _means([(cell.value, cell.parts) for cell in cells], "tests", CLASSES)


test_metrics.__test__ = False  # type: ignore[attr-defined]


def _means(
    cells: Sequence[tuple[float | None, Mapping[str, float]]], name: str, parts: Sequence[str]
) -> Mapping[str, float]:
    scored = [(value, each) for value, each in cells if value is not None]
    if not scored:
        return {}
    found = {name: sum(value for value, _ in scored) / len(scored)}
    for part in parts:
        values = [each[part] for _, each in scored if part in each]
        if values:
            found[part] = sum(values) / len(values)
    return found


def code_preferences() -> Domain:
    """Requests for code, with replies rated by a judge for one of five preferences. It has no options."""
    return Domain(
        prompt=preferences.prompt,
        parse=preferences.parse,
        gold=preferences.gold,
        samples=preferences.samples,
        rewards=[preferences.preference, preferences.code_block],
        rubrics={"judged": Rubric({"preference": 1, "code_block": 0.1})},
        readers={"codeultrafeedback": preferences.CODEULTRAFEEDBACK},
        judges=list(preferences.JUDGES.values()),
    )


def code_repair(*, seconds: float = 3.0) -> Domain:
    """Vulnerable functions to repaired ones, with an explanation.

    Args:
        seconds: time limit of a program with all of its tests.

    Raises:
        UserError: an option has a value that is not allowed.
    """
    programs = ProgramRewards(_limits(seconds))
    return Domain(
        prompt=repair.prompt,
        parse=repair.parse,
        gold=repair.gold,
        samples=repair.samples,
        rewards=[
            *repair.all_rewards(programs, 2 * seconds + 15.0),
            comment_similarity,
            syntax,
            repair_form,
            bleu_of_code,
        ],
        rubrics=REPAIR_PRESETS,
        metrics={"tests": test_metrics},
    )


def _style(style: str) -> Style:
    if style == "full" or style == "compact":
        return style  # type: ignore[return-value]
    raise UserError(f"style is {style!r}; allowed are 'full' and 'compact'")


def _table(table: str | None) -> Path | None:
    if table is None:
        return None
    place = Path(table).expanduser().absolute()
    if not place.is_file():
        raise UserError(f"table is {table!r}: there is no such file; it is a JSON lines file of APIs (<hub>_api.jsonl)")
    return place


def _limits(seconds: float) -> PythonLimits:
    if not seconds > 0:
        raise UserError(f"seconds is {seconds}; it must be above 0")
    return PythonLimits(seconds=seconds)
