"""Virtual environments for tests that need one other than their own, made without a network.

Distributions are linked out of the running environment, with exactly the closure of what was asked for: a test of
the light installation must not find torch by accident.
"""

from __future__ import annotations

import importlib.metadata as metadata
import os
import subprocess
import sys
import venv
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def closure(requirements: Iterable[str]) -> dict[str, metadata.Distribution]:
    """The installed distributions that ``requirements`` need, themselves included, by canonical name."""
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    todo = [Requirement(text) for text in requirements]
    while todo:
        wanted = todo.pop()
        key = (canonicalize_name(wanted.name), frozenset(wanted.extras))
        if key in seen:
            continue
        seen.add(key)
        found[key[0]] = metadata.distribution(wanted.name)
        for text in found[key[0]].requires or ():
            needed = Requirement(text)
            extras = wanted.extras or {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(needed)
    return found


def make(folder: Path, requirements: Iterable[str], *, wheels: Iterable[Path] = ()) -> Path:
    """A virtual environment in ``folder`` with the closure of ``requirements`` linked and ``wheels`` installed.

    Returns its interpreter.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    site = next((folder / "lib").glob("python*/site-packages"))
    for distribution in closure(requirements).values():
        tops = {Path(str(file)).parts[0] for file in distribution.files or () if not str(file).startswith("..")}
        for top in tops - {"__pycache__"}:
            source = Path(str(distribution.locate_file(top)))
            if source.exists() and not (site / top).exists():
                (site / top).symlink_to(source)
    for wheel in wheels:
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
        subprocess.run([*command, str(wheel)], check=True)
    return python


def build(project: Path, out: Path) -> tuple[Path, Path]:
    """The sdist of ``project`` and the wheel made from that sdist."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(project)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (sdist,) = out.glob("*.tar.gz")
    (wheel,) = out.glob("*.whl")
    return sdist, wheel


def run(python: Path, *arguments: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """``honewise`` of that environment, in ``cwd``, without anything of this process's Python settings."""
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "HONEWISE", "VIRTUAL_ENV"))
    }
    command = [str(python), "-m", "honewise", *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=clean)
    assert not check or done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
