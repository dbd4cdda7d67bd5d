"""``manifest.json``: what is needed to know where a number came from. No secrets, no environment variables."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from honewise.contracts import Domain, Task
from honewise.recipes.schema import Recipe

from .rows import task_hash

__all__ = ["add", "describe", "hash_file", "hash_tasks", "hash_templates", "read", "write", "write_whole"]

_LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
    "numpy",
    "pydantic",
    "PyYAML",
    "pluggy",
    "sqlglot",
)


def describe(recipe: Recipe) -> dict[str, Any]:
    """Versions, seeds, machine: all that is known before anything has run. Imports nothing heavy."""
    return {
        "name": recipe.name,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": recipe.seed,
        **(
            {"domain": recipe.works[""].use}
            if recipe.domains is None
            else {"domains": {name: work.use for name, work in recipe.works.items()}}
        ),
        "versions": {
            "python": platform.python_version(),
            "honewise": _version("honewise"),
            **_plugins(),
            **_libraries(),
        },
        "hardware": {
            "platform": platform.platform(),
            "machine": platform.machine(),
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "memory_bytes": _memory(),
        },
    }


def write(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` whole or not at all."""
    text = json.dumps(facts, indent=2, ensure_ascii=False, sort_keys=True, default=str)
    write_whole(folder / "manifest.json", text + "\n")


def read(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return found


def add(folder: Path, facts: Mapping[str, Any]) -> None:
    """Add or replace top-level entries."""
    write(folder, {**read(folder), **facts})


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that a reader, or a kill, never sees half of it."""
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise


def hash_file(path: Path) -> str:
    """SHA-256 of what a file holds."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def hash_tasks(tasks: Iterable[Task]) -> str:
    """SHA-256 over all tasks in their order."""
    digest = hashlib.sha256()
    for task in tasks:
        digest.update(task_hash(task).encode())
    return digest.hexdigest()


def hash_templates(domain: Domain, package: str) -> dict[str, str]:
    """File to SHA-256 of the judge templates that a domain lists, with all the forms in which it asks with them."""
    found: dict[str, Any] = {}
    for template in domain.judges:
        home = template.package.partition(".")[0] or package
        with contextlib.suppress(OSError, ModuleNotFoundError, TypeError):
            if template.file not in found:
                text = resources.files(home).joinpath(template.file).read_bytes()
                found[template.file] = hashlib.sha256(text)
            found[template.file].update(template.form.encode("utf-8", "replace"))
    return {file: digest.hexdigest() for file, digest in found.items()}


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


def _libraries() -> dict[str, str]:
    found = {name: _version(name) for name in _LIBRARIES}
    return {name: version for name, version in found.items() if version != "not installed"}


def _plugins() -> dict[str, str]:
    owners = {point.dist.name: point.dist.version for point in metadata.entry_points(group="honewise") if point.dist}
    return dict(sorted(owners.items()))


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text("utf-8", "replace"))
        if found:
            return found[1]
    return platform.processor() or sys.platform


def _memory() -> int | None:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None
