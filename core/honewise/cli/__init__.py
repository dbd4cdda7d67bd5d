"""The ``honewise`` command. Each module of this package is one command and calls the same Python face as a script."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from honewise.errors import HonewiseError, UserError

__all__ = ["COMMANDS", "build_app", "main"]

COMMANDS = (
    "domains",
    "recipe",
    "run",
    "report",
    "compare",
    "eval",
    "tasks",
    "score",
    "judge",
    "audit",
    "rewards",
    "new",
    "plugins",
    "doctor",
)
"""The modules, in the order of ``--help``; each has ``attach(app)``."""

CHECK_FAILED, USER_ERROR, INTERRUPTED = 1, 2, 130
"""Exit codes. 0 is success; a crash of honewise itself is 1, with its traceback."""

_HELP = """Hone a language model, domain by domain.

A domain is a pip plugin: prompts, rewards, judges and readers of data sets. The usual way through it:

    honewise domains                      what is installed
    honewise run text-to-sql/quickstart   train a small model on a laptop CPU
    honewise report sql-quickstart        see what it wrote and was paid for

Every command explains itself: honewise COMMAND --help
"""


def build_app() -> typer.Typer:
    """The command with all its sub-commands."""
    app = typer.Typer(
        name="honewise",
        help=_HELP,
        rich_markup_mode="markdown",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def honewise(
        version: Annotated[
            bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
        ] = False,
    ) -> None:
        pass

    for name in COMMANDS:
        import_module(f"honewise.cli.{name}").attach(app)
    groups = [app, *(group.typer_instance for group in app.registered_groups if group.typer_instance)]
    for command in (command for group in groups for command in group.registered_commands):
        command.cls = _Command
    return app


class _Command(TyperCommand):
    def invoke(self, ctx: Any) -> Any:
        """Run with standard output kept for results; help, which is one, has been shown before."""
        from .terminal import results_apart

        with results_apart():
            return super().invoke(ctx)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave with its exit code."""
    try:
        build_app()(args=arguments)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except UserError as error:
        _say(error)
        sys.exit(USER_ERROR)
    except HonewiseError as error:
        _say(error)
        sys.exit(CHECK_FAILED)


def _say(error: Exception) -> None:
    from honewise.runs.processes import place

    from .terminal import clean

    with contextlib.suppress(UserError):
        if not place().first:
            return  # the first of the processes that do this together says it
    print(f"error: {clean(str(error))}", file=sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        from honewise import __version__

        print(f"honewise {__version__}")
        raise typer.Exit
