"""A run's folder: made whole or not at all, never overwritten, resumed only as what it was.

::

    runs/<name>/
        recipe.yaml      the resolved recipe: every default said
        manifest.json    versions, seeds, hashes, hardware
        run.sqlite       metrics, rollouts, scores, spans, evaluations
        stages/<stage>/  checkpoint-<step>/ ..., policy/
        report.html  card.md
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from honewise.errors import RunError
from honewise.progress import Progress, Silent
from honewise.recipes.load import dump_recipe, read_recipe, resolved
from honewise.recipes.schema import Recipe

from . import manifest
from .processes import Place
from .store import Store

__all__ = ["Run", "StageContext", "stage_seed"]

_MAY_CHANGE = (
    re.compile(r"rubric\.max_unscored"),
    re.compile(r"stages\.[^.]+\.keep"),
    re.compile(r"runs_dir"),
    re.compile(
        r"judge\.(panel\.[^.]+\.)?"
        r"(url|api_key_env|timeout|deadline|attempts|backoff|concurrency|cache|(budget|prices)(\..+)?)"
    ),
)
"""What a resumed run may say otherwise than when it began: nothing that moves a weight or a number."""


@dataclass(slots=True)
class Run:
    """One run. ``recipe`` is what the run was started with, changed only in what a resume may change."""

    path: Path
    recipe: Recipe
    store: Store
    _lock: int | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def finished(self) -> bool:
        return self.store.fact("state") == "finished"

    @property
    def policy_of(self) -> Mapping[str, Path]:
        """Folder of the final policy of every stage that has written one."""
        found = {state.stage: self.stage_folder(state.stage) / "policy" for state in self.store.stages()}
        return {stage: folder for stage, folder in found.items() if folder.is_dir()}

    def stage_folder(self, stage: str) -> Path:
        return self.path / "stages" / stage

    @classmethod
    def create(
        cls, recipe: Recipe, *, command: str = "honewise run RECIPE", facts: Mapping[str, Any] | None = None
    ) -> Run:
        """A new folder ``runs_dir/name``; where that name is finished, ``name-2`` and so on.

        ``command`` is what the user typed, for the line that says how to go on; ``facts`` go into the manifest.
        Raises ``RunError`` where an unfinished run has the name.
        """
        runs = Path(recipe.runs_dir)
        taken = _taken(runs, recipe.name)
        if taken and not _is_finished(taken[-1]):
            raise RunError(
                f"{taken[-1]} is not finished. To go on with it:\n  {command} --resume\n"
                "To begin another beside it, give it a name: add name=OTHER"
            )
        path = runs / (f"{recipe.name}-{_number(taken[-1], recipe.name) + 1}" if taken else recipe.name)
        try:
            runs.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=runs))
        except OSError as error:
            raise RunError(f"{runs}: cannot make a run folder there ({error.strerror})") from error
        try:
            draft.chmod(0o777 & ~_umask())
            (draft / "stages").mkdir()
            (draft / "recipe.yaml").write_text(dump_recipe(recipe), "utf-8")
            manifest.write(draft, {**manifest.describe(recipe), **(facts or {})})
            with Store(draft / "run.sqlite") as store:
                store.set_fact("state", "running")
            os.rename(draft, path)
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if isinstance(error, OSError):
                raise RunError(f"{path}: cannot make the run folder ({error.strerror})") from error
            raise
        run = cls._writable(path)
        run.recipe = recipe
        return run

    @classmethod
    def resume(cls, recipe: Recipe) -> Run:
        """The unfinished run of that name, with the same recipe. Raises ``RunError`` where there is none."""
        taken = _taken(Path(recipe.runs_dir), recipe.name)
        if not taken:
            raise RunError(f"{Path(recipe.runs_dir) / recipe.name}: nothing to resume; start it without --resume")
        path = taken[-1]
        if _is_finished(path):
            raise RunError(f"{path} is finished; without --resume a new run begins beside it")
        run = cls._writable(path)
        try:
            run._adopt(recipe)
        except BaseException:
            run.close()
            raise
        run.store.set_fact("state", "running")
        return run

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """An existing run, to be read; it may be running. Raises ``RunError`` where there is none."""
        folder = Path(path)
        if not (folder / "recipe.yaml").is_file():
            raise RunError(f"{folder}: not a run folder (no recipe.yaml in it)")
        return cls(folder, read_recipe(folder / "recipe.yaml"), Store(folder / "run.sqlite", readonly=True))

    @classmethod
    def _writable(cls, path: Path) -> Run:
        lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise RunError(f"{path}: another process is at work on this run") from error
        return cls(path, read_recipe(path / "recipe.yaml"), Store(path / "run.sqlite"), lock)

    def _adopt(self, recipe: Recipe) -> None:
        """Take over what a resume may change; refuse the rest, naming it."""
        before, after = _flat(self.recipe), _flat(recipe)
        changed = [path for path in {**before, **after} if before.get(path) != after.get(path)]
        refused = [path for path in changed if not any(rule.fullmatch(path) for rule in _MAY_CHANGE)]
        if refused:
            lines = "\n".join(
                f"  {path}: {before.get(path, 'not set')} there, {after.get(path, 'not set')} now" for path in refused
            )
            raise RunError(f"{self.path} was started with another recipe, and cannot go on with this one:\n{lines}")
        if changed:
            manifest.add(self.path, {"resumed_with": {path: after.get(path) for path in changed}})
        self.recipe = recipe  # what is hidden on disk is known here

    def finish(self, state: str = "finished") -> None:
        """Record how the run ended: ``finished``, or ``stopped`` where it can be resumed."""
        self.store.set_fact("state", state)

    @property
    def worth_keeping(self) -> bool:
        """Whether a step or a measurement is stored."""
        return any(state.steps for state in self.store.stages()) or bool(self.store.evaluations())

    def discard(self) -> None:
        """Close the run and remove its folder. Only for one that this process made and that is not worth keeping."""
        self.close()
        shutil.rmtree(self.path, ignore_errors=True)

    def close(self) -> None:
        """Close the store and let others at the folder."""
        self.store.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage works with."""

    run: Run | None
    """None where the stage is looked at and not done."""
    stage: str
    folder: Path
    """``runs/<name>/stages/<stage>``: its checkpoints and, at the end, ``policy/``."""
    seed: int
    """The stage's own seed, derived from the run's."""
    device: str
    """``cpu``, ``cuda`` or ``mps``; ``auto`` is resolved."""
    progress: Progress = field(default_factory=Silent)
    resume: bool = False
    """True where the stage was begun before and goes on from its newest checkpoint, if any."""
    place: Place = field(default_factory=Place)
    """Which process this is of those that do the stage together."""

    @property
    def store(self) -> Store:
        assert self.run is not None, "a stage that is only looked at stores nothing"
        return self.run.store


def stage_seed(seed: int, stage: str) -> int:
    """A seed of 31 bits for one stage, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stage}".encode()).digest()[:4], "big") & 0x7FFF_FFFF


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _number(path: Path, name: str) -> int:
    return 1 if path.name == name else int(path.name[len(name) + 1 :])


def _taken(runs: Path, name: str) -> list[Path]:
    """Folders of ``name``, ``name-2``, ``name-3`` ... that exist, by number."""
    if not runs.is_dir():
        return []
    wanted = re.compile(rf"{re.escape(name)}(-([2-9]|[1-9][0-9]+))?")
    return sorted((p for p in runs.iterdir() if wanted.fullmatch(p.name)), key=lambda p: _number(p, name))


def _is_finished(path: Path) -> bool:
    if not (path / "run.sqlite").is_file():
        raise RunError(f"{path} is in the way: it is not a run of honewise; give the new run a name: name=OTHER")
    with Store(path / "run.sqlite", readonly=True) as store:
        return store.fact("state") == "finished"


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Dotted path to value, of every leaf of the resolved recipe."""
    leaves: dict[str, Any] = {}

    def walk(value: Any, path: str) -> None:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                walk(item, f"{path}.{key}" if path else str(key))
        else:
            leaves[path] = value

    walk(resolved(recipe), "")
    return leaves


def resume_command(command: str) -> str:
    """``command`` with ``--resume``, once."""
    words = shlex.split(command)
    return shlex.join(words if "--resume" in words else [*words, "--resume"])
