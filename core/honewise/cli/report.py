"""``honewise report``: one page that shows what a run did."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from honewise.errors import RunError, UserError, near

from . import terminal

__all__ = ["attach", "find_run"]


def attach(app: typer.Typer) -> None:
    app.command()(report)


def report(
    run: Annotated[str, typer.Argument(help="A run: its name below runs/, or its folder.")],
    out: Annotated[Path | None, typer.Option(help="Where to write the page; left out: RUN/report.html.")] = None,
    completions: Annotated[
        int, typer.Option(min=0, help="Completions in the page, whole groups spread over the run; 0: all.")
    ] = 10_000,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write report.html of a run, which may still be going on.

    The page holds everything it shows, from run.sqlite alone: held-out tasks before and after with intervals, curves
    of every reward, why something is unscored, how long each reward took, and the completions, coloured by the credit
    that each character earned.
    """
    from honewise import report as pages
    from honewise.runs.run import Run

    folder = find_run(run)
    if out is not None and out.is_file() and out.suffix != ".html" and folder.resolve() in out.resolve().parents:
        raise UserError(f"--out {out}: is a file of the run itself, which would be lost; give another name")
    with Run.open(folder) as opened:
        page = pages.write(opened, out, rollouts=completions)
    terminal.show(str(page))
    if show:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def find_run(name: str, runs: Path = Path("runs")) -> Path:
    """The folder of a run, by path or by its name below ``runs``."""
    for folder in (Path(name), runs / name):
        if (folder / "recipe.yaml").is_file():
            return folder
    known = [path.parent.name for path in runs.glob("*/recipe.yaml")]
    raise RunError(f"no run {name!r}{near(name, known)}; give the name of one below {runs}/, or its folder")
