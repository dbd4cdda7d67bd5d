"""What a query is worth: the rewards that run it, and the table of all rewards of the domain.

The other rewards, which only read its text, are in ``textual``; the judge's is in ``judging``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from honewise import Completion, Reward, SandboxError, Score, Task, Unscored, UserError
from honewise.sandbox import SqlLimits

from .execution import Outcome, Runner
from .judging import judge_reward
from .prompts import Form
from .textual import concise, ngram, schema_linking, tag_rewards

__all__ = ["all_rewards"]

_UNREADABLE = "no query could be read from the reply"
_MATCHES = ("auto", "bag", "set")


class RunningRewards:
    """The rewards that need the query to run; they share one run of it."""

    def __init__(self, limits: SqlLimits) -> None:
        self._runner = Runner(limits)

    def execution(
        self, task: Task, completion: Completion, *, match: Literal["auto", "bag", "set"] = "auto"
    ) -> Score | Unscored:
        """1 where the query returns what an accepted query returns, else 0.

        ``set`` compares sets of rows (BIRD's EX: no order, no duplicates, columns in place); ``bag`` compares bags
        of rows under any one order of columns, and in order where the accepted query orders its rows (test-suite
        style). ``auto`` is the task's own: ``set`` for BIRD, ``bag`` for everything else.
        """
        if match not in _MATCHES:
            raise UserError(f"execution: match is {match!r}; allowed are {', '.join(_MATCHES)}")
        outcome = self._outcome(task, completion)
        if not isinstance(outcome, Outcome):
            return outcome
        right = outcome.matches(task.reference.get("match", "bag") if match == "auto" else match)
        return Score(float(right), correct=right, parts=_parts(outcome), feedback=_feedback(outcome, right))

    def syntax(self, task: Task, completion: Completion) -> Score | Unscored:
        """1 where the query runs to its end without an error, within its limits, else 0."""
        outcome = self._outcome(task, completion, compare=False)
        if not isinstance(outcome, Outcome):
            return outcome
        return Score(float(outcome.ran), feedback="" if outcome.ran else outcome.error)

    def cells(self, task: Task, completion: Completion) -> Score | Unscored:
        """How far the results agree: the mean of cell precision, cell recall and the ratio of row counts."""
        outcome = self._outcome(task, completion)
        if not isinstance(outcome, Outcome):
            return outcome
        return Score(outcome.cells)

    def signed_execution(
        self, task: Task, completion: Completion, *, match: Literal["auto", "bag", "set"] = "auto"
    ) -> Score | Unscored:
        """``execution`` as +1 or -1."""
        return _signed(self.execution(task, completion, match=match))

    def signed_syntax(self, task: Task, completion: Completion) -> Score | Unscored:
        """``syntax`` as +1 or -1."""
        return _signed(self.syntax(task, completion))

    def _outcome(self, task: Task, completion: Completion, *, compare: bool = True) -> Outcome | Score | Unscored:
        """The faults of the task come first: what nobody could be scored on says nothing about this completion."""
        if completion.answer is None:
            problem = self._runner.problem(task, compare=compare)
            if problem:
                return Unscored(problem)
            return Score(correct=False if compare else None, parts=_parts(_NOTHING), feedback=_UNREADABLE)
        if not task.reference.get("database") or (compare and not task.reference.get("sql")):
            return Unscored(self._runner.problem(task, compare=compare))
        try:
            outcome = self._runner.outcome(task, completion.answer)
        except SandboxError as failure:
            return Unscored(str(failure))
        return Unscored(outcome.gold_problem) if compare and outcome.gold_problem else outcome


_NOTHING = Outcome(False, "unreadable")


def _signed(score: Score | Unscored) -> Score | Unscored:
    if isinstance(score, Unscored):
        return score
    return Score(2 * score.value - 1, correct=score.correct, parts=score.parts, feedback=score.feedback)


def _parts(outcome: Outcome) -> dict[str, float]:
    return {
        "ran": float(outcome.ran),
        "set": float(outcome.set_match),
        "bag": float(outcome.bag_match),
        "soft_f1": outcome.soft_f1,
    }


def _feedback(outcome: Outcome, right: bool) -> str:
    if not outcome.ran:
        return outcome.error
    if right:
        return ""
    return f"runs, but its {outcome.rows} rows are not the right result"


def all_rewards(form: Form, limits: SqlLimits) -> Sequence[Reward]:
    """Every reward of the domain. A completion's deadline leaves room for its query and the gold query."""
    running = RunningRewards(limits)
    deadline = 2 * limits.seconds + 1.0
    return [
        Reward(fn=running.execution, name="execution", cost="process", deadline=deadline),
        Reward(fn=running.syntax, name="syntax", cost="process", deadline=deadline),
        schema_linking,
        ngram,
        *tag_rewards(form),
        judge_reward,
        Reward(fn=running.cells, name="cells", cost="process", deadline=deadline),
        concise,
        Reward(
            fn=running.signed_execution, name="signed_execution", cost="process", deadline=deadline, bounds=(-1.0, 1.0)
        ),
        Reward(fn=running.signed_syntax, name="signed_syntax", cost="process", deadline=deadline, bounds=(-1.0, 1.0)),
    ]
