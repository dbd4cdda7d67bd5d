"""The arguments that every command with tasks shares: the domain, its options, and where tasks come from."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from honewise.api import LoadedDomain, load_domain
from honewise.data import TaskSet
from honewise.errors import UserError
from honewise.recipes import yaml12

from .terminal import note

__all__ = [
    "DataPath",
    "DomainName",
    "Format",
    "Limit",
    "Options",
    "Split",
    "can_be_written",
    "open_domain",
    "open_tasks",
]

DomainName = Annotated[str, typer.Argument(help="A domain, as `honewise domains` lists it.", show_default=False)]
DataPath = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A file, the folder of a data set in its published layout, or org/name:split on Hugging Face. "
        "Left out: the domain's own sample tasks.",
        show_default=False,
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", help="The data set's format. Left out: recognised.", show_default=False)
]
Split = Annotated[str, typer.Option("--split", help="Of the domain's own samples: train or held-out.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="At most this many tasks.", show_default=False)]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="An option of the domain, key=value; repeatable.", show_default=False),
]


def can_be_written(out: str | Path) -> None:
    """Raise ``UserError`` where no file ``out`` can be written: said before the work, not after it."""
    target = Path(out)
    if target.is_dir():
        raise UserError(f"--out {out}: is a folder; a file is needed")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error


def open_domain(name: str, options: Sequence[str] | None) -> LoadedDomain:
    """The domain with its options. Raises ``UserError`` on an option that is not ``key=value``."""
    values: dict[str, Any] = {}
    for option in options or ():
        key, sign, text = option.partition("=")
        if not sign or not key:
            raise UserError(f"--option {option!r} must be written as key=value")
        values[key.replace("-", "_")] = yaml12.parse(text, option)
    return load_domain(name, **values)


def open_tasks(
    domain: LoadedDomain, data: str | None, format: str | None, split: str, limit: int | None = None
) -> TaskSet:
    """The tasks; a recognised format is said on standard error."""
    tasks = domain.tasks(Path(data) if data and Path(data).exists() else data, format=format, split=split, limit=limit)
    if data is not None and format is None:
        note(f"{data}: read as {tasks.format}, {len(tasks)} tasks")
    return tasks
