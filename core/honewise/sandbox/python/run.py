"""Running a program, and checking one against tests: requests out, results read. See ``honewise.sandbox.python``."""

from __future__ import annotations

import os
import socket
import threading
import time
import warnings
from collections.abc import Collection, Sequence
from typing import Any

from honewise.errors import SandboxError
from honewise.sandbox.worker import running_model_text

from .codec import TooLarge, pack
from .confine import LANDLOCK, SECCOMP, Limits
from .forks import Forks, Job
from .results import (
    Call,
    Called,
    Kind,
    Lines,
    Protection,
    PythonLimits,
    PythonResult,
    TestKind,
    TestResult,
    TestsResult,
)
from .running import FAILURES

__all__ = ["PythonSandbox", "is_strict"]

_WHAT = {
    LANDLOCK: "no file but an empty folder and the standard library (Landlock)",
    SECCOMP: "no socket, no process, no signal (seccomp)",
    "namespaces": "no network, and a folder in memory of limited size (namespaces)",
    "user": "a user of its own, whose threads are counted",
    "privileges": "no privileges, and no way to any",
}
_FRAME_BYTES = 1 << 20
_VARIABLE = "HONEWISE_SANDBOX"
_DEFAULT = PythonLimits()


def is_strict() -> bool:
    """Whether the environment asks for a strict sandbox, by ``HONEWISE_SANDBOX=strict``."""
    return os.environ.get(_VARIABLE) == "strict"


class PythonSandbox:
    """A fork server and what it is asked. Starts at the first call, is shared by threads, one program at a time.

    ``strict``: refuse to run anything where files, the network or processes are not closed to programs; left out, the
    environment variable ``HONEWISE_SANDBOX=strict`` decides. ``without`` leaves protections out, for tests.
    """

    def __init__(self, *, strict: bool | None = None, without: Collection[str] = ()) -> None:
        self._strict, self._without = strict, without
        self._lock = threading.Lock()
        self._forks: Forks | None = None

    def run(
        self,
        source: str,
        *,
        calls: Sequence[Call] = (),
        prelude: str = "",
        stdin: str = "",
        limits: PythonLimits = _DEFAULT,
        seed: int = 0,
    ) -> PythonResult:
        if len(source) > limits.source_bytes:
            return PythonResult("syntax", error=f"the program is longer than {limits.source_bytes} characters")
        role = "program" if calls else "script"
        asked = [[call.function, list(call.args), dict(call.kwargs)] for call in calls]
        request = self._request(limits, role=role, source=source, prelude=prelude, seed=seed, calls=asked)
        job = _program_job(request, limits, stdin=stdin.encode("utf-8", "surrogatepass"))
        with self._lock:
            forks = self._ready()
            with _tidy(forks, limits):
                forks.start(job)
                forks.wait(lambda: job.ended, limits.seconds)
                forks.finish()
        return _run_result(job, len(calls))

    def check(
        self,
        source: str,
        tests: Sequence[str],
        *,
        setup: str = "",
        entry_point: str | None = None,
        prelude: str = "",
        limits: PythonLimits = _DEFAULT,
        seed: int = 0,
    ) -> TestsResult:
        if len(source) > limits.source_bytes:
            error = f"the program is longer than {limits.source_bytes} characters"
            return TestsResult("syntax", (TestResult("syntax", error),) * len(tests), error=error)
        request = self._request(limits, role="program", source=source, prelude=prelude, seed=seed, calls=[])
        job = _program_job(request, limits)
        asked = {"setup": setup, "tests": list(tests), "entry_point": entry_point, "seed": seed}
        tests_request = self._request(limits, role="tests", **asked)
        near, far = socket.socketpair()
        began = time.monotonic()
        with near, far, self._lock:
            forks = self._ready()
            with _tidy(forks, limits):
                job.link = near
                forks.start(job)
                allowed = len(tests) * 8192 + _FRAME_BYTES
                checks = forks.check(tests_request, allowed, job.limits, far)  # both set out at once
                if not forks.wait(lambda: _checked(checks), limits.seconds + 1.0, patient=False):
                    checks.fault = "late"
                forks.wait(lambda: job.ended or bool(job.frames), limits.seconds)
                if _loaded(job).kind == "ok" and _all_told(checks, len(tests)):
                    forks.kill(job)  # its end is not waited for: the next program runs in the other box
                else:
                    forks.finish()
        seconds = time.monotonic() - began
        return _tests_result(job, checks, len(tests), seconds)

    def protections(self) -> list[Protection]:
        """What keeps programs in on this system, as tried. Raises ``SandboxError`` where nothing can run at all."""
        with self._lock:
            forks = self._forks
            if forks is None or not forks.alive:
                forks = self._forks = Forks(self._without)
        needed = (LANDLOCK, SECCOMP)
        return [Protection(name, _WHAT[name], there, why, name in needed) for name, there, why in forks.protections]

    def close(self) -> None:
        """End the fork server, if there is one; the next call starts another."""
        with self._lock:
            if self._forks is not None:
                self._forks.close()
            self._forks = None

    def _request(self, limits: PythonLimits, **request: Any) -> bytes:
        try:
            return pack(request | {"limit": limits.result_bytes}, 1 << 27)
        except TooLarge:
            raise SandboxError("the arguments or tests are too large, or no plain data") from None

    def _ready(self) -> Forks:
        forks = self._forks
        if forks is None or not forks.alive:
            forks = self._forks = Forks(self._without)
            missing = [(n, why) for n, there, why in forks.protections if not there and n in (LANDLOCK, SECCOMP)]
            if missing:
                told = "; ".join(f"{name}: {why}" for name, why in missing)
                if is_strict() if self._strict is None else self._strict:
                    self._forks = None
                    forks.close()
                    raise SandboxError(f"this system does not keep programs in, and the sandbox is strict ({told})")
                warnings.warn(f"model-written Python runs with less protection here ({told})", stacklevel=4)
        return forks


class _tidy:
    """A hang in the block is the program's; where the block is interrupted, so is everything in it."""

    def __init__(self, forks: Forks, limits: PythonLimits) -> None:
        self._forks = forks
        self._blame = running_model_text(seconds=limits.seconds + 1.0)

    def __enter__(self) -> None:
        self._blame.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._blame.__exit__()
        if kind is not None:
            self._forks.close()  # interrupted in the middle: the next call starts afresh


def _limits(limits: PythonLimits) -> Limits:
    return Limits(*(getattr(limits, name) for name in Limits._fields))


def _program_job(request: bytes, limits: PythonLimits, stdin: bytes = b"") -> Job:
    frames = 2 * limits.result_bytes + _FRAME_BYTES
    return Job(request, _limits(limits), output_bytes=limits.output_bytes, frames_bytes=frames, stdin=stdin)


def _checked(job: Job) -> bool:
    """Whether the tests are done, or their process is."""
    return job.ended or bool(job.fault) or bool(job.took("end") or job.took("broken"))


def _all_told(checks: Job, count: int) -> bool:
    """Whether each test has a verdict that needs no further word, and the process can take more."""
    verdicts = checks.took("test")
    told = len(verdicts) == count and all(kind != "crashed" for _, kind, *_ in verdicts)
    return told and not checks.fault and checks.took("end") == [[True]]


def _loaded(job: Job) -> Called:
    """What the program's process says came of loading it."""
    return _said(next(iter(job.took("program")), None), job)


def _said(frame: Sequence[Any] | None, job: Job) -> Called:
    """One thing that a program's process said; how it ended, where it said nothing that can be read."""
    match frame:
        case ["ok", str(), [*_], *value]:
            return Called("ok", value[0] if value else None)
        case [str(kind), str(error), [*lines], *_] if kind in FAILURES:
            return Called(_kind(kind), error=error, lines=_lines(lines))
    if job.fault == "output":
        return Called("output", error="it wrote more than it may")
    if job.late:
        return Called("timeout", error=f"killed after {job.limits.seconds:g} s")
    return Called("crashed", error="it sent what it should not" if job.fault else job.how)


def _kind(kind: str) -> Any:
    return "error" if kind == "assertion" else kind


def _lines(lines: Sequence[Any]) -> Lines:
    return tuple((line, text) for line, text in _pairs(lines) if isinstance(line, int) and isinstance(text, str))


def _pairs(lines: Sequence[Any]) -> list[Sequence[Any]]:
    return [each for each in lines if isinstance(each, list | tuple) and len(each) == 2]


def _run_result(job: Job, count: int) -> PythonResult:
    program = _loaded(job)
    frames = job.took("call")
    values: tuple[Called, ...] = ()
    if program.kind == "ok":
        values = tuple(_said(frames[index] if index < len(frames) else None, job) for index in range(count))
    worst = next((each for each in (program, *values) if each.kind != "ok"), None)
    if worst is None and (job.fault or not job.took("end")):
        worst = _said(None, job)  # it said so, and then did not come to its end
    kind: Kind = worst.kind if worst else "ok"
    stdout, stderr = _texts(job)
    error, lines = (worst.error, worst.lines) if worst else ("", ())
    return PythonResult(kind, stdout, stderr, values, error, lines, job.seconds)


def _tests_result(job: Job, checks: Job, count: int, seconds: float) -> TestsResult:
    if broken := checks.took("broken"):
        raise SandboxError(f"the tests are broken: {broken[0][0]}")
    if not checks.took("ready"):
        raise SandboxError(f"what stands before the tests did not end well: {_said(None, checks).error}")
    program = _loaded(job)
    verdicts: dict[int, TestResult] = {}
    if program.kind != "ok":
        rest = _unreached(program)
    else:
        for index, kind, error, lines in checks.took("test"):
            name = {"ok": "passed", "assertion": "failed"}.get(kind, kind)
            gone = name == "crashed"  # the program was, and its own process knows why
            verdicts[index] = _unreached(_said(None, job)) if gone else TestResult(name, error, _lines(lines))
        # The first test without a verdict is where it hung or died; the others were not reached.
        rest = _unreached(_said(None, job if job.late or job.fault else checks))
    tests = tuple(verdicts.get(index, rest) for index in range(count))
    stdout, stderr = _texts(job)
    return TestsResult(program.kind, tests, stdout, stderr, program.error, program.lines, seconds)


def _unreached(why: Called) -> TestResult:
    kind: TestKind = "crashed" if why.kind == "ok" else why.kind
    return TestResult(kind, why.error, why.lines)


def _texts(job: Job) -> tuple[str, str]:
    return job.stdout.decode("utf-8", "replace"), job.stderr[-4096:].decode("utf-8", "replace")
