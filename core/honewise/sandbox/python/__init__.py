"""Run Python that a model wrote, and check it against tests that it can neither see nor touch.

Whatever the program does, the answer is a result with a ``kind``; ``SandboxError`` is raised only where the sandbox,
the tests or the arguments are at fault. Each program runs in a process of its own, forked in milliseconds from a clean
server that has Python's usual modules loaded, and killed at its deadline. On Linux it can read the standard library
and its own empty folder, and nothing else; it has no network, starts no process, sends no signal and sees no variable
of this process's environment. ``protections()`` says what of this is in force.

Tests run in a second such process. They know the program's functions by proxies: arguments and results travel as plain
data, and are compared by Python's own code on the side of the tests. So a program can answer wrongly but not patch the
checker, read the expected value, or claim to have passed.

The server of these functions starts at the first call, is shared by threads, is not inherited by forks, and ends with
this process.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .codec import Opaque
from .results import Call, Called, Protection, PythonLimits, PythonResult, TestResult, TestsResult
from .run import PythonSandbox, is_strict

__all__ = [
    "Call",
    "Called",
    "Opaque",
    "Protection",
    "PythonLimits",
    "PythonResult",
    "PythonSandbox",
    "TestResult",
    "TestsResult",
    "check_python",
    "close",
    "is_strict",
    "protections",
    "run_python",
]

_DEFAULT = PythonLimits()


def run_python(
    source: str,
    *,
    calls: Sequence[Call] = (),
    prelude: str = "",
    stdin: str = "",
    limits: PythonLimits = _DEFAULT,
    seed: int = 0,
) -> PythonResult:
    """Run ``source`` as a script or, with ``calls``, as a module whose functions are then called in that order.

    ``prelude`` runs before, under names of its own: it can put stand-ins into ``sys.modules``. What a program prints
    and what its functions return is its own word. ``seed`` is that of the module ``random``.

    >>> run_python("print(sum(range(4)))").stdout  # doctest: +SKIP
    '6\\n'
    >>> run_python("def double(x): return 2 * x", calls=[Call("double", [21])]).value  # doctest: +SKIP
    42
    """
    return _shared.run(source, calls=calls, prelude=prelude, stdin=stdin, limits=limits, seed=seed)


def check_python(
    source: str,
    tests: Sequence[str],
    *,
    setup: str = "",
    entry_point: str | None = None,
    prelude: str = "",
    limits: PythonLimits = _DEFAULT,
    seed: int = 0,
) -> TestsResult:
    """Try the program ``source`` against ``tests``: statements, each of which passes where it raises nothing.

    ``setup`` runs once before the tests, in their process. With ``entry_point``, that function is all that the tests
    have of the program; else each name that the tests read and that nothing on their side defines is the program's.
    Modules of the standard library need no import. A container that the program changes in place is changed for the
    tests too; what is no plain data (see ``Opaque``) can be called, iterated and asked for attributes, and is equal to
    itself alone. ``limits.seconds`` are for all tests together.

    >>> check_python("def double(x): return x + x", ["assert double(2) == 4", "assert double(3) == 5"]).share
    ... # doctest: +SKIP
    0.5
    """
    return _shared.check(source, tests, setup=setup, entry_point=entry_point, prelude=prelude, limits=limits, seed=seed)


def protections() -> list[Protection]:
    """What keeps programs in on this system, as tried. Raises ``SandboxError`` where nothing can run at all."""
    return _shared.protections()


def close() -> None:
    """End the server of these functions, if there is one; the next call starts another."""
    _shared.close()


_shared = PythonSandbox()


def _after_fork() -> None:
    global _shared
    _shared = PythonSandbox()


os.register_at_fork(after_in_child=_after_fork)
