"""What programs are worth: the share of unit tests that they pass, whether they run, and the line where they fail."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from honewise import Completion, Reward, SandboxError, Score, Span, Task, Unscored
from honewise.sandbox.python import PythonLimits, TestsResult, check_python

__all__ = ["CLASSES", "UNREADABLE", "ProgramRewards", "as_parts", "runs_class"]

CLASSES = ("ok", "import", "name", "type", "runtime", "timeout", "syntax", "unreadable")
UNREADABLE = "no program could be read from the reply"
_KEPT = 512


class ProgramRewards:
    """The rewards that need the program to run; they share one run of it."""

    def __init__(self, limits: PythonLimits) -> None:
        self._limits = limits
        self._checked = lru_cache(maxsize=_KEPT)(self._check)

    def all(self) -> list[Reward]:
        deadline = 2 * self._limits.seconds + 10.0
        return [
            Reward(fn=self.tests, name="tests", cost="process", deadline=deadline),
            Reward(fn=self.passes, name="passes", cost="process", deadline=deadline),
            Reward(fn=self.faulty_line, name="faulty_line", cost="process", deadline=deadline, bounds=(-1.0, 0.0)),
        ]

    def tests(self, task: Task, completion: Completion) -> Score | Unscored:
        """Share of the unit tests that pass, in [0, 1]."""
        found = self._result(task, completion)
        if not isinstance(found, TestsResult):
            return found
        parts = as_parts(runs_class(found.kind))
        return Score(found.share, correct=found.passed, parts=parts, feedback=_feedback(found))

    def passes(self, task: Task, completion: Completion) -> Score | Unscored:
        """1 where all unit tests pass, else 0."""
        found = self._result(task, completion)
        if not isinstance(found, TestsResult):
            return found
        return Score(float(found.passed), correct=found.passed, feedback=_feedback(found))

    def faulty_line(self, task: Task, completion: Completion) -> Score | Unscored:
        """0 where nothing fails; else -1, on the line that the first error names: the innermost of the program's own.

        An assertion that fails, a deadline or a crash names none: then -1 stands at the end.
        """
        found = self._result(task, completion)
        if not isinstance(found, TestsResult):
            return Score(-1.0, feedback=found.feedback) if isinstance(found, Score) else found
        if found.passed:
            return Score(0.0)
        first = next((test for test in found.tests if not test.passed), None)
        lines = found.lines or (first.lines if first is not None and first.kind != "failed" else ())
        span = _line(completion, lines[-1][0]) if lines else None
        return Score(0.0, [span]) if span is not None else Score(-1.0)

    def _result(self, task: Task, completion: Completion) -> TestsResult | Score | Unscored:
        reference = task.reference
        if not reference.get("tests"):
            return Unscored("the task has no tests")
        if completion.answer is None:
            return Score(correct=False, parts=as_parts("unreadable"), feedback=UNREADABLE)
        entry = reference.get("entry_point")
        setup = str(reference.get("setup") or "")
        try:
            return self._checked(completion.answer, tuple(reference["tests"]), setup, entry)
        except SandboxError as failure:
            return Unscored(str(failure))

    def _check(self, source: str, tests: tuple[str, ...], setup: str, entry: str | None) -> TestsResult:
        return check_python(source, tests, setup=setup, entry_point=entry, limits=self._limits)


def runs_class(kind: str) -> str:
    """The sandbox's kind as one of ``CLASSES``."""
    return kind if kind in CLASSES else "runtime"


def as_parts(kind: str) -> dict[str, float]:
    """1 for the class, 0 for the others."""
    return {name: float(name == kind) for name in CLASSES}


def _feedback(found: TestsResult) -> str:
    if found.passed:
        return ""
    first = next((test for test in found.tests if not test.passed), None)
    passed = sum(test.passed for test in found.tests)
    why: Any = first.error if first is not None else found.error
    return f"{passed} of {len(found.tests)} tests pass; the first that does not: {why}"


def _line(completion: Completion, number: int) -> Span | None:
    code = completion.pieces["code"]
    lines = code.text.splitlines(keepends=True)
    if not 1 <= number <= len(lines):
        return None
    start = sum(len(line) for line in lines[: number - 1])
    return code.slice(start, start + len(lines[number - 1].rstrip("\r\n"))).pays(-1.0, "here it fails")
