"""``honewise recipe``: the recipes that ship with a domain, to be copied and edited."""

from __future__ import annotations

from typing import Annotated

import typer

from honewise.errors import UnknownName, UserError

from .terminal import note, print_json, print_table, show

__all__ = ["attach"]


def attach(app: typer.Typer) -> None:
    app.command()(recipe)


def recipe(
    domain: Annotated[str | None, typer.Argument(help="A domain, as `honewise domains` lists it.")] = None,
    name: Annotated[str | None, typer.Argument(help="A recipe of its plugin. Left out: a list.")] = None,
    schema: Annotated[bool, typer.Option("--schema", help="The JSON schema of recipes, for editors.")] = False,
) -> None:
    """Print a recipe to edit, or list those of a domain.

    honewise recipe text-to-sql quickstart > mine.yaml
    """
    if schema:
        from honewise.recipes.load import json_schema

        print_json(json_schema())
        return
    if domain is None:
        raise UserError("name a domain: honewise recipe DOMAIN [NAME]; `honewise domains` lists them")
    from honewise.stages.recipe import packaged_recipes

    found = packaged_recipes(domain)
    if name is None:
        if not found:
            note(f"domain {domain!r} ships no recipes")
        print_table(("recipe", ""), [(f"{domain}/{each}", _purpose(text)) for each, text in found.items()])
        return
    if name not in found:
        raise UnknownName(f"recipe of domain {domain!r}", name, found)
    show(found[name], end="")


def _purpose(text: str) -> str:
    """The first line of the comment that opens a recipe."""
    first = text.lstrip().splitlines()[0]
    return first.lstrip("# ") if first.startswith("#") else ""
