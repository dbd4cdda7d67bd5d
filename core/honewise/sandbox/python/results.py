"""What a program may use, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = [
    "Call",
    "Called",
    "Kind",
    "Protection",
    "PythonLimits",
    "PythonResult",
    "TestKind",
    "TestResult",
    "TestsResult",
]

Kind = Literal["ok", "syntax", "import", "name", "type", "error", "timeout", "memory", "output", "denied", "crashed"]
TestKind = Literal[
    "passed", "failed", "syntax", "import", "name", "type", "error", "timeout", "memory", "output", "denied", "crashed"
]
Lines = tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Protection:
    """One of the things that keep a program in, and whether it is in force on this system."""

    name: str
    what: str
    in_force: bool
    reason: str = ""
    """Why it is not."""
    needed: bool = False
    """Whether a strict sandbox refuses to run without it."""


@dataclass(frozen=True, slots=True)
class PythonLimits:
    """What one program may use, all of its calls or tests together."""

    seconds: float = 3.0
    """Wall clock, from the start of its process to the end of its last test or call."""
    memory_bytes: int = 512 << 20
    """Address space on top of that of an idle interpreter."""
    output_bytes: int = 1 << 20
    """Of standard output and errors together."""
    result_bytes: int = 4 << 20
    """Of all returned values together, as they travel."""
    file_bytes: int = 16 << 20
    """Of one file."""
    folder_bytes: int = 32 << 20
    """Of all files together, where the box is a file system of its own."""
    folder_files: int = 1000
    """In its folder at a time, where the box is a file system of its own."""
    open_files: int = 64
    threads: int = 32
    """At least so many; twice as many fail. Counted where programs run as a user of their own."""
    source_bytes: int = 200_000


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one of the program's functions (or ``"Class.method"``), with plain data."""

    function: str
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Called:
    """What came of one call."""

    kind: Kind
    value: Any = None
    """Plain data; what is none is an ``Opaque``. None where it was not ok."""
    error: str = ""
    lines: Lines = ()


@dataclass(frozen=True, slots=True)
class PythonResult:
    """What came of a program. ``kind`` is that of the program itself, else of its first call that was not ok.

    syntax: it cannot be compiled; import, name, type: it raised such an error; error: it raised another, or ended
    itself; timeout, memory, output (of text or of results): a limit; denied: it asked for what the sandbox refuses;
    crashed: its process died or ended before it was done.
    """

    kind: Kind
    stdout: str = ""
    stderr: str = ""
    """Its last 4 KiB."""
    values: tuple[Called, ...] = ()
    """One for each call."""
    error: str = ""
    lines: Lines = ()
    """Lines of the program that led to the error, the innermost last: the number, and where it was or what was said."""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return self.kind == "ok"

    @property
    def value(self) -> Any:
        """What the last call returned; None where there was none or it failed."""
        return self.values[-1].value if self.values else None


@dataclass(frozen=True, slots=True)
class TestResult:
    """The verdict on one test: passed, failed (an assertion), or why it came to none, as in ``PythonResult``."""

    __test__ = False

    kind: TestKind
    error: str = ""
    lines: Lines = ()
    """Lines of the program where it raised, else of the test."""

    @property
    def passed(self) -> bool:
        return self.kind == "passed"


@dataclass(frozen=True, slots=True)
class TestsResult:
    """What came of a program and its tests."""

    __test__ = False

    kind: Kind
    """That of the program before any test; the tests of one that is not ok have its kind too."""
    tests: tuple[TestResult, ...]
    stdout: str = ""
    stderr: str = ""
    error: str = ""
    lines: Lines = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether all passed, and there was one."""
        return bool(self.tests) and all(test.passed for test in self.tests)

    @property
    def share(self) -> float:
        """Of the tests, those that passed."""
        return sum(test.passed for test in self.tests) / len(self.tests) if self.tests else 0.0
