"""What commands say to a person or a pipe: tables, JSON, notes and progress.

Results go to standard output; progress and notes go to standard error, so that a pipe gets results only. While a
command runs, ``print`` goes to standard error, too: what a plugin or a library prints is no result. Text that a model
or a data set brought is cleaned of control characters before it is shown.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

__all__ = [
    "TerminalProgress",
    "clean",
    "json_line",
    "note",
    "number",
    "print_json",
    "print_table",
    "results_apart",
    "show",
]

# Cursor movements, colours and bidirectional overrides would let shown text rewrite the screen around it.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_BREAKS = {ord(each): f"\\u{ord(each):04x}" for each in "\x85\u2028\u2029"}
_PLAIN_EVERY = 20.0
"""Seconds between two lines of progress where there is no terminal."""

_calm = contextlib.suppress(OSError, ValueError, RuntimeError)
"""Where the terminal is gone, or a signal came in the middle of a line, the work goes on."""

_results: TextIO | None = None
"""Where results go while ``results_apart`` holds; None: to standard output, whatever that is."""


@contextlib.contextmanager
def results_apart() -> Iterator[None]:
    """Keep standard output for results: within, whatever else writes to ``sys.stdout`` writes to standard error."""
    global _results
    before, _results = _results, out()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _results = before


def out() -> TextIO:
    """The stream of results."""
    return sys.stdout if _results is None else _results


def show(text: str = "", end: str = "\n") -> None:
    """Text as it is, on the stream of results."""
    print(text, end=end, file=out())


def clean(text: str) -> str:
    """``text`` with control characters made visible; tabs and line breaks stay."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}" if ord(match[0]) < 256 else "\ufffd", text)


def number(value: float | None) -> str:
    """A metric as people read it: three to four digits, ``-`` where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return str(int(value))
    if abs(value) >= 1e5 or abs(value) < 1e-3:
        return f"{value:.2e}"
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def json_line(value: Any) -> str:
    """One line of strict JSON: no NaN (null instead), any text (unpaired surrogates are escaped, and so is every
    character that some reader takes for the end of a line)."""
    return _dump(value, None).translate(_BREAKS)


def print_json(value: Any) -> None:
    """Indented JSON on standard output."""
    show(_dump(value, 2))


def _dump(value: Any, indent: int | None) -> str:
    plain = _finite(value)
    text = json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=indent)
    try:
        text.encode(out().encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        text = json.dumps(plain, allow_nan=False, indent=indent)
    return text


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(item) for item in value]
    return value


def note(line: str) -> None:
    """One line to a person, on standard error."""
    print(clean(line), file=sys.stderr)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str = "") -> None:
    """A table on standard output; where that is no terminal, aligned text that is never cut."""
    cells = [["" if cell is None else clean(str(cell)) for cell in row] for row in rows]
    if not out().isatty():
        _plain_table(columns, cells, title)
        return
    table = Table(
        title=Text(title) if title else None, title_justify="left", header_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=out()).print(table)


def _plain_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    flat = [[" ".join(cell.split()) for cell in row] for row in [list(columns), *rows]]
    widths = [max(len(row[i]) for row in flat) for i in range(len(columns))]
    if title:
        show(title)
    for row in flat:
        show("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Fall silent, where rich would end the program: the reader has gone, the work has not."""
        self.quiet = True


class TerminalProgress:
    """``honewise.progress.Progress`` on standard error: a bar with time left, or lines now and then where there is
    no terminal. Nothing it does can raise into the work it shows."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._console = _Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._what = ""
        self._total: int | None = None
        self._count = 0
        self._numbers: dict[str, float] = {}
        self._begun = self._said = 0.0

    def start(self, what: str, total: int | None = None) -> None:
        self.done()
        self._what, self._total, self._count, self._numbers = clean(what), total, 0, {}
        self._begun = self._said = time.monotonic()
        if self._console.is_terminal:
            bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeRemainingColumn(compact=True, elapsed_when_finished=True),
                TextColumn("{task.fields[numbers]}", markup=False, style="dim"),
                console=self._console,
                transient=True,
            )
            self._task = bar.add_task(self._what, total=total, numbers="")
            with _calm:
                bar.start()
            self._bar = bar
        else:
            self._line(f"{self._what} ..." if total is None else f"{self._what}: {total} to do")

    def advance(self, count: int = 1, **numbers: float) -> None:
        self._count += count
        self._numbers.update(numbers)
        if self._bar is not None:
            with _calm:
                self._bar.update(self._task, advance=count, numbers=self._latest())
        elif self._what and time.monotonic() - self._said >= _PLAIN_EVERY:
            self._said = time.monotonic()
            self._line(f"{self._what}: {self._share()}{self._left()}  {self._latest()}".rstrip())

    def note(self, line: str) -> None:
        self._line(clean(line))

    def done(self) -> None:
        if not self._what:
            return
        if self._bar is not None:
            with _calm:
                self._bar.stop()
            self._bar = None
        seconds = time.monotonic() - self._begun
        self._line(f"{self._what}: {self._share()} in {_duration(seconds)}  {self._latest()}".rstrip())
        self._what = ""

    def _share(self) -> str:
        return f"{self._count}" if self._total is None else f"{self._count}/{self._total}"

    def _left(self) -> str:
        if not self._total or not self._count:
            return ""
        left = (time.monotonic() - self._begun) / self._count * max(self._total - self._count, 0)
        return f", about {_duration(left)} left"

    def _latest(self) -> str:
        return "  ".join(f"{clean(name)} {number(value)}" for name, value in self._numbers.items())

    def _line(self, text: str) -> None:
        with _calm:
            self._console.print(Text(text))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
