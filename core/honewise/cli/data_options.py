"""The arguments that every command with tasks shares: the domain, its options, and where tasks come from."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from honewise.api import LoadedDomain, load_domain, load_judge
from honewise.data import TaskSet
from honewise.errors import UserError
from honewise.progress import Silent
from honewise.recipes import yaml12

from .terminal import note

if TYPE_CHECKING:
    from honewise.clients import CallRecord
    from honewise.judges import Panel, TemplateJudge

__all__ = [
    "DataPath",
    "DomainName",
    "Format",
    "JudgeFile",
    "Limit",
    "Options",
    "Split",
    "can_be_written",
    "judging",
    "note_judge",
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
JudgeFile = Annotated[
    Path | None,
    typer.Option(
        "--judge",
        help="A YAML file that describes a judge: a recipe, or its section `judge:` alone. Left out: rewards that need "
        "a judge are left out.",
        show_default=False,
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="An option of the domain, key=value; repeatable.", show_default=False),
]


def can_be_written(out: str | Path, **read: str | Path | None) -> None:
    """Raise ``UserError`` where no file ``out`` can be written: said before the work, not after it.

    ``read`` are the files that the command reads, by option: none of them is written over, however it is spelt.
    """
    target = Path(out)
    if target.is_dir():
        raise UserError(f"--out {out}: is a folder; a file is needed")
    for option, file in read.items():
        if file is not None and _is_same(target, Path(file)):
            raise UserError(f"--out {out}: is the file that --{option} reads, which would be lost; give another name")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror or error})") from error


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except (OSError, ValueError):  # one of them is not there, or is an id of Hugging Face
        return False


@contextlib.contextmanager
def judging(file: Path | None) -> Iterator[TemplateJudge | Panel | None]:
    """The judge that a file describes, open; None without a file."""
    if file is None:
        yield None
        return
    with load_judge(file, progress=Notes()) as judge:
        yield judge


def note_judge(calls: Sequence[CallRecord]) -> dict[str, float]:
    """Say on standard error what a judge was asked and what it cost; returns the numbers."""
    from honewise.clients import judge_numbers

    numbers = judge_numbers(calls)
    if numbers:
        cached = round(numbers["judge/asked"] * numbers["judge/cached"])
        failed = round(numbers["judge/asked"] * numbers["judge/failed"])
        cost = f", cost {numbers['judge/cost']:.4g}" if numbers["judge/cost"] else ""
        note(
            f"judge: {numbers['judge/asked']:.0f} questions, {numbers['judge/calls']:.0f} calls, {cached} from the"
            f" cache or shared, {failed} without an answer; {numbers['judge/tokens']:.0f} tokens{cost}"
        )
    return numbers


class Notes(Silent):
    """Passes on what a person should know, and nothing else."""

    def note(self, line: str) -> None:
        note(line)


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
