"""``honewise new``: a domain plugin or a reward that works from the start."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .terminal import show

__all__ = ["attach"]

Into = Annotated[Path | None, typer.Option("--into", help="Folder to write to; the working directory if left out.")]


def attach(app: typer.Typer) -> None:
    group = typer.Typer(help="Write a new domain plugin or a new reward, with its tests.", no_args_is_help=True)
    group.command()(domain)
    group.command()(reward)
    app.add_typer(group, name="new")


def domain(
    name: Annotated[str, typer.Argument(help="Lower-case letters and digits in words joined by '-', such as chess.")],
    into: Into = None,
) -> None:
    """Write the plugin of a new domain: a pip package that passes its own contract test as generated."""
    from honewise.scaffold import new_domain

    _say(new_domain(name, into))


def reward(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and '_', such as no_hedging.")],
    into: Into = None,
    on: Annotated[
        str, typer.Option("--domain", help="Domain whose samples its test uses; inside a plugin, the plugin's own.")
    ] = "arithmetic",
) -> None:
    """Write a reward and its test: a file for a recipe or, in a plugin's folder, a module of the plugin."""
    from honewise.scaffold import new_reward

    _say(new_reward(name, into, domain=on))


def _say(created: object) -> None:
    from honewise.scaffold import Created

    assert isinstance(created, Created)
    show("wrote")
    for path in created.files:
        show(f"  {path}")
    show("next")
    for step in created.next:
        show(f"  {step}")
