"""Installed plugins made of a folder: ``.dist-info`` and a module on a path, as pip would leave them."""

from __future__ import annotations

import importlib.metadata as metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import dedent

GOOD = """
from honewise import Completion, Domain, Rubric, Task, hookimpl, reward

@reward
def said(task, completion):
    return completion.text == task.reference["word"]

def build(*, loud: bool = False, times: int = 1) -> Domain:
    return Domain(
        prompt=lambda task: [{"role": "user", "content": "Say " + task.inputs["word"]}],
        parse=lambda text, task: Completion(text, text or None),
        gold=lambda task: task.reference["word"],
        samples=lambda split: [Task(str(n), {"word": w}, {"word": w}) for n, w in enumerate(["heap", "stack"])],
        rewards=[said],
        rubrics={"default": Rubric({"said": 1.0}, correct="said")},
    )

@hookimpl
def register_domains(register):
    register("NAME", build)
"""
"""A whole plugin; NAME stands for the entry point."""


def install(
    path: Path,
    distribution: str,
    entry_points: Mapping[str, str],
    *,
    version: str = "1.0",
    requires: Iterable[str] = (),
    modules: Mapping[str, str] | None = None,
) -> None:
    """Put a distribution with these entry points (name to module) and modules (name to source) on ``path``."""
    info = path / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {line}" for line in requires)]) + "\n")
    points = "\n".join(f"{name} = {module}" for name, module in entry_points.items())
    (info / "entry_points.txt").write_text(f"[honewise]\n{points}\n")
    for module, source in (modules or {}).items():
        (path / f"{module}.py").write_text(dedent(source))


def entry_points_on(path: Path) -> list[metadata.EntryPoint]:
    """The honewise entry points of what is installed on ``path`` alone."""
    found = metadata.distributions(path=[str(path)])
    return [point for distribution in found for point in distribution.entry_points if point.group == "honewise"]
