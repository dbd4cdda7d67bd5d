"""Where stages and rewards name files, or something else in their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .sections import BASE, works_of

__all__ = ["Place", "stage_places"]


@dataclass(frozen=True, slots=True)
class Place:
    """One value of a recipe that may be the path of a file or folder."""

    node: Any
    """The mapping or list that holds it."""
    key: Any
    path: str
    """Where it stands, dotted."""
    names: tuple[str, ...] = ()
    """What it may be instead: stages."""
    what: str = "file or folder"
    hub: bool = False
    """Whether it may be an id of the hub."""


def stage_places(raw: Mapping[str, Any]) -> Iterator[Place]:
    """Every such value in ``stages`` and in the rubric's ``model`` keys; values of a wrong type are passed over."""
    stages = raw.get("stages") if isinstance(raw.get("stages"), dict) else {}
    assert isinstance(stages, dict)
    kinds = {name: stage.get("stage", name) for name, stage in stages.items() if isinstance(stage, dict)}
    for index, (name, stage) in enumerate(stages.items()):
        if isinstance(stage, dict):
            yield from _of_stage(stage, f"stages.{name}", str(kinds[name]), kinds)
            trained = tuple(str(other) for other in list(stages)[:index] if kinds.get(other) == "reward-model")
            names = ("policy", *trained)
            yield Place(stage.get("critic"), "init", f"stages.{name}.critic.init", names, "earlier stage or folder")
    models = tuple(str(name) for name, kind in kinds.items() if kind == "reward-model")
    for _, at, work in works_of(raw):
        rubric = work.get("rubric")
        rewards = rubric.get("rewards") if isinstance(rubric, dict) else None
        for name, spec in rewards.items() if isinstance(rewards, dict) else ():
            if isinstance(spec, dict) and isinstance(spec.get("model"), str):
                what = "`reward-model` stage, folder or hub id"
                yield Place(spec, "model", f"{at}rubric.rewards.{name}.model", models, what, hub=True)


def _of_stage(stage: dict[str, Any], path: str, kind: str, kinds: Mapping[Any, Any]) -> Iterator[Place]:
    if kind in ("dpo", "reward-model"):
        made = tuple(str(name) for name, other in kinds.items() if other == "pairs")
        pairs = stage.get("pairs")
        if isinstance(pairs, str):
            yield Place(stage, "pairs", f"{path}.pairs", made, "`pairs` stage or file")
        for index, _ in enumerate(pairs if isinstance(pairs, list) else []):
            yield Place(pairs, index, f"{path}.pairs.{index}", made, "`pairs` stage or file")
    if kind == "reward-model":
        yield Place(stage.get("trunk"), "path", f"{path}.trunk.path")
    if kind == "pairs":
        sources = stage.get("sources")
        for name, source in sources.items() if isinstance(sources, dict) else ():
            yield Place(source, "file", f"{path}.sources.{name}.file")
    if kind == "revise":
        yield Place(stage, "constitution", f"{path}.constitution", what="file")
    if kind == "personas":
        yield Place(stage, "personas", f"{path}.personas", what="file")
    if kind == "sft":
        names = (BASE, *map(str, kinds))
        yield Place(stage, "of", f"{path}.of", names, "earlier stage that trains, file, folder or hub id", hub=True)
