"""Every error honewise raises on purpose, by who can do something about it.

::

    HonewiseError
    ├── UserError             bad input: shown without a traceback, exit code 2
    │   ├── RecipeError       every fault of a recipe at once, each with its path
    │   ├── DataError         a data set that cannot be read; names file and row
    │   ├── UnknownName       a name that nothing registered; lists near matches
    │   ├── DuplicateName     a name that two owners claim; names both
    │   ├── PluginError       a plugin that is broken, blocked, incompatible or missing
    │   ├── MissingExtra      an optional dependency is needed and absent
    │   └── RunError          a run folder that cannot be made, read or resumed
    ├── BudgetExceeded        what the recipe allows is used up: a run stops, with a checkpoint
    │   ├── UnscoredBudgetExceeded  too much of a step could not be scored
    │   └── JudgeBudgetExceeded     the judge has cost what it may
    ├── JudgeError            a verdict could not be had: becomes ``Unscored``
    └── SandboxError          the sandbox itself failed (not the text in it): becomes ``Unscored``

Plugin authors raise plain Python errors; the caller classifies them.
A message says what was given, what is allowed, and how to fix it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

__all__ = [
    "BudgetExceeded",
    "DataError",
    "DuplicateName",
    "HonewiseError",
    "JudgeBudgetExceeded",
    "JudgeError",
    "MissingExtra",
    "PluginError",
    "Problem",
    "RecipeError",
    "RunError",
    "SandboxError",
    "UnknownName",
    "UnscoredBudgetExceeded",
    "UserError",
    "first_sentence",
    "near",
]


class HonewiseError(Exception):
    """Root of all errors raised on purpose."""


class UserError(HonewiseError):
    """Something the user gave is wrong; printed without a traceback, exit code 2."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a recipe: where it stands, what is wrong with it, and what would be right."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class RecipeError(UserError):
    """All faults of one recipe. ``problems`` lists them in the order of the file."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{source}: {count} problem{'s' if count != 1 else ''}\n{lines}")


class DataError(UserError):
    """A data set cannot be read. The message names the file and, where it has one, the row."""


class DuplicateName(UserError):
    """Two owners claim one name."""


class UnknownName(UserError):
    """Nothing is registered under a name."""

    def __init__(self, kind: str, name: str, allowed: Iterable[str]) -> None:
        self.kind, self.name, self.allowed = kind, name, tuple(sorted(allowed))
        super().__init__(f"no {kind} {name!r}{near(name, self.allowed)}")


class PluginError(UserError):
    """A plugin that was asked for cannot be used; the cause is chained where there is one."""


class MissingExtra(UserError):
    """An optional dependency is needed here and not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs packages that are not installed; run: pip install '{extra}'")


class RunError(UserError):
    """A run folder cannot be made, read or resumed."""


class BudgetExceeded(HonewiseError):
    """What the recipe allows is used up. A run stops with a checkpoint, and goes on with ``--resume``."""


class UnscoredBudgetExceeded(BudgetExceeded):
    """The share of completions without a total passed the budget of the recipe."""


class JudgeBudgetExceeded(BudgetExceeded):
    """The judge has used up its calls, tokens or money."""


class JudgeError(HonewiseError):
    """A judge gave no usable verdict after its retries. Scoring turns it into ``Unscored``."""


class SandboxError(HonewiseError):
    """The sandbox itself failed. Scoring turns it into ``Unscored``; it is never the model's fault."""


def near(name: str, allowed: Iterable[str]) -> str:
    """The tail of an error message: the nearest allowed name, else the whole list.

    >>> near("sqll", ["sql", "chess"])
    "; did you mean 'sql'?"
    """
    options = sorted(allowed)
    close = get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are: {', '.join(options)}" if options else "; there are none"


def first_sentence(error: BaseException) -> str:
    """What a library's error says first, on one line; a sentence that goes on over its lines is not cut.

    >>> first_sentence(ValueError("none of:\\n(1) this,\\n(2) that.\\nSee the manual."))
    'none of: (1) this, (2) that.'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else type(error).__name__
    for line in lines[1:]:
        if said.endswith((".", "!", "?")) or (line[0].isupper() and not said.endswith((":", ","))):
            break
        said = f"{said} {line}"
    return said
