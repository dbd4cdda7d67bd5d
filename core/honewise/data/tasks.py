"""From a domain and a source to tasks with their prompts filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from honewise.contracts import Domain, Reader, Task
from honewise.errors import DataError, HonewiseError, MissingExtra, UnknownName

from .formats import readers_of, recognise

__all__ = ["TaskSet", "load_tasks", "read_row"]

_HUB_ID = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:/(?P<config>[\w.-]+))?(?::(?P<split>[\w.\[\]%:+-]+))?"
)


@dataclass(frozen=True, slots=True)
class TaskSet:
    """Tasks, in the order of their source, with unique ids and prompts filled in."""

    tasks: tuple[Task, ...]
    format: str
    """The reader's name; ``samples`` for a domain's own."""
    source: str
    """The path as given, the Hugging Face id, or ``samples: <split>``."""

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)


def load_tasks(
    domain: Domain,
    *,
    path: str | Path | None = None,
    format: str | None = None,
    split: str = "held-out",
    limit: int | None = None,
    extra_formats: Mapping[str, Reader] | None = None,
) -> TaskSet:
    """Read tasks and fill in their prompts.

    Args:
        domain: whose readers, samples and prompt are used.
        path: a file, or the folder that holds the data set in its published layout; what does not exist and looks
            like ``org/name``, ``org/name:split`` or ``org/name/config:split`` is a Hugging Face data set. None: the
            domain's own samples of ``split``.
        format: the reader's name. None: recognised from the content.
        split: ``"train"`` or ``"held-out"``; used without ``path`` only.
        limit: at most this many tasks, from the start.
        extra_formats: readers registered outside the domain, by full name.

    Raises:
        DataError: the source is missing, of no or of several known formats, unreadable, without tasks, or it repeats
            a task id; the message names file and row.
        UnknownName: there is no such format.
        MissingExtra: a Hugging Face data set is asked for and ``datasets`` is not installed.
    """
    if limit is not None and limit < 1:
        raise DataError(f"limit must be at least 1, this is {limit}")
    if path is None:
        if format is not None:
            raise DataError(f"format {format!r} needs a path to read; without one the domain's own samples serve")
        found, name, source = _samples(domain, split)
    else:
        readers = readers_of(domain, extra_formats)
        if format is not None and format not in readers:
            raise UnknownName("format", format, readers)
        found, name, source = _open(path, format, readers)
    tasks = tuple(_prompted(domain, _checked(_boundary(found, source), source, limit), source))
    if not tasks:
        raise DataError(f"{source}: no tasks in it (read as {name})")
    return TaskSet(tasks, name, source)


def read_row(domain: Domain, reader: Reader, row: Mapping[str, Any], identity: str, source: str) -> Task:
    """The one task that a row holds, called ``identity``, with its prompt.

    Raises ``DataError`` where the reader cannot read it, reads another number of tasks, or no prompt can be made.
    """
    rows = reader.rows
    if rows is None:
        raise DataError(f"{source}: its format reads files, not single rows")
    found = list(_prompted(domain, _checked(_boundary(lambda: rows([row]), source), source, 2), source))
    if len(found) != 1:
        raise DataError(f"{source}: {len(found)} tasks in one row")
    return replace(found[0], id=identity)


def _samples(domain: Domain, split: str) -> tuple[Callable[[], Iterable[Task]], str, str]:
    if split not in ("train", "held-out"):
        raise DataError(f"split must be 'train' or 'held-out', this is {split!r}")
    return (lambda: domain.samples(split)), "samples", f"samples: {split}"


def _open(
    path: str | Path, format: str | None, readers: Mapping[str, Reader]
) -> tuple[Callable[[], Iterable[Task]], str, str]:
    place = Path(path).expanduser()
    if place.exists():
        name = format or recognise(place, readers)
        reader = readers[name]
        return (lambda: reader.read(place)), name, str(path)
    hub = _HUB_ID.fullmatch(str(path))
    if hub is None:
        raise DataError(f"{path}: no such file or folder")
    name = format or _only_rows_reader(str(path), readers)
    rows = readers[name].rows
    if rows is None:
        able = sorted(each for each, reader in readers.items() if reader.rows)
        raise DataError(
            f"{path}: no such file or folder, and format {name!r} cannot read a Hugging Face data set"
            f" (formats that can: {', '.join(able)})"
        )
    loaded = _hub_rows(str(path), hub["name"], hub["config"], hub["split"])
    return (lambda: rows(loaded)), name, str(path)


def _only_rows_reader(path: str, readers: Mapping[str, Reader]) -> str:
    able = sorted(name for name, reader in readers.items() if reader.rows)
    own = [name for name in able if name != "jsonl"] or able
    if len(own) == 1:
        return own[0]
    raise DataError(
        f"{path}: no such file or folder; if it is a Hugging Face data set, name its format with --format"
        f" (one of {', '.join(able)})"
    )


def _hub_rows(path: str, name: str, config: str | None, split: str | None) -> Iterable[Mapping[str, Any]]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise MissingExtra(
            f"{path}: no such file or folder here; reading it as a Hugging Face data set", "honewise[train]"
        ) from None
    try:
        loaded = load_dataset(name, config, split=split)
    except Exception as error:
        raise DataError(
            f"{path}: no such file or folder here, and as a Hugging Face data set it cannot be loaded"
            f" ({type(error).__name__}: {error})"
        ) from error
    if not isinstance(loaded, Mapping):
        rows: Iterable[Mapping[str, Any]] = loaded
        return rows
    splits = sorted(loaded)
    if len(splits) != 1:
        raise DataError(f"{path}: has the splits {', '.join(splits)}; say which, as {path}:{(splits or ['train'])[0]}")
    only: Iterable[Mapping[str, Any]] = loaded[splits[0]]
    return only


def _boundary(open_source: Callable[[], Iterable[Task]], source: str) -> Iterator[Any]:
    """The tasks of a reader; whatever plain error it raises becomes a ``DataError`` that says where."""
    count = 0
    try:
        for task in open_source():
            yield task
            count += 1
    except (HonewiseError, GeneratorExit):
        raise
    except Exception as error:
        what = f"missing key {error}" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise DataError(f"{source}: row {count}: cannot be read ({what})") from error


def _checked(tasks: Iterator[Any], source: str, limit: int | None) -> Iterator[tuple[int, Task]]:
    seen: dict[str, int] = {}
    for row, task in enumerate(islice(tasks, limit)):
        if not isinstance(task, Task):
            raise DataError(f"{source}: row {row}: the reader gave {type(task).__name__}, not a Task")
        if not isinstance(task.id, str):
            task = replace(task, id=str(task.id))
        if task.id in seen:
            raise DataError(f"{source}: rows {seen[task.id]} and {row} have one task id, {task.id!r}")
        seen[task.id] = row
        try:
            json.dumps([task.inputs, task.reference, task.meta, task.images], allow_nan=False, default=_plain)
        except (TypeError, ValueError, RecursionError) as error:
            raise DataError(
                f"{source}: row {row} (task {task.id!r}) holds a value that is not JSON: {error}"
            ) from error
        yield row, task


def _plain(value: Any) -> Any:
    """Read-only mappings and sequences count as JSON objects and lists."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray)):
        return list(value)
    raise TypeError(f"{type(value).__name__} {value!r:.80}")


def _prompted(domain: Domain, tasks: Iterable[tuple[int, Task]], source: str) -> Iterator[Task]:
    for row, task in tasks:
        try:
            prompt = tuple(domain.prompt(task))
        except HonewiseError:
            raise
        except Exception as error:
            raise DataError(
                f"{source}: row {row} (task {task.id!r}): no prompt can be made ({type(error).__name__}: {error})"
            ) from error
        yield replace(task, prompt=prompt)
