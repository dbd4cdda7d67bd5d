"""The training and the held-out tasks of a recipe, of one domain or of several."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from honewise.contracts import Domain
from honewise.data import TaskSet, load_tasks
from honewise.errors import UserError
from honewise.host import PluginHost
from honewise.progress import Progress
from honewise.recipes.domains import DataSpec
from honewise.recipes.schema import Recipe
from honewise.scoring.mixed import interleaved, joined_task

__all__ = ["read_tasks"]


def read_tasks(
    recipe: Recipe,
    domains: Mapping[str, Domain],
    host: PluginHost,
    part: Literal["train", "held_out"],
    progress: Progress,
) -> TaskSet:
    """All tasks of a part, prompts filled in; says what was recognised.

    Those of several ``domains`` are evenly mixed, so that the first so many of them are of every domain in proportion.
    """
    specs = {name: getattr(work.data, part) for name, work in recipe.works.items()}
    if recipe.domains is None:
        return _tasks(domains[""], specs[""], host, f"data.{part}", progress)
    found = {}
    for name, spec in specs.items():
        try:
            found[name] = _tasks(domains[name], spec, host, f"domains.{name}.data.{part}", progress)
        except UserError as error:
            raise UserError(f"domains.{name}.data.{part}: {error}") from error
    tasks = interleaved([[joined_task(name, task) for task in own] for name, own in found.items()])
    return TaskSet(
        tuple(tasks),
        ", ".join(dict.fromkeys(own.format for own in found.values())),
        ", ".join(f"{name}: {own.source}" for name, own in found.items()),
    )


def _tasks(domain: Domain, spec: DataSpec, host: PluginHost, place: str, progress: Progress) -> TaskSet:
    found = load_tasks(
        domain,
        path=spec.path,
        format=spec.format,
        split=spec.samples or "held-out",
        limit=spec.limit if spec.shuffle is None else None,
        extra_formats={name: host.formats.get(name) for name in host.formats},
    )
    if spec.path is not None and spec.format is None:
        progress.note(f"{place}: {found.source} read as {found.format}")
    if spec.shuffle is None:
        return found
    tasks = list(found.tasks)
    random.Random(spec.shuffle).shuffle(tasks)
    return replace(found, tasks=tuple(tasks[: spec.limit]))
