"""``honewise domains``: what can be trained and scored."""

from __future__ import annotations

import inspect
from typing import Annotated, Any

import typer

from honewise.errors import UserError
from honewise.host import PluginHost, get_host

from .terminal import note, print_json, print_table, show

__all__ = ["attach", "mention_unusable", "summary"]


def attach(app: typer.Typer) -> None:
    app.command()(domains)


def domains(as_json: Annotated[bool, typer.Option("--json", help="A list of domains as JSON.")] = False) -> None:
    """List all domains with their options, reward presets and data formats."""
    host = get_host()
    host.load_all()
    rows = [_describe(host, name) for name in host.domains]
    mention_unusable(host)
    if as_json:
        print_json(rows)
        return
    if not rows:
        note("no domain is installed; a domain is a pip package, such as honewise-text-to-sql")
        return
    print_table(
        ("domain", "distribution", "rubrics", "formats", "what"),
        [
            (row["name"], row["distribution"], ", ".join(row["rubrics"]), ", ".join(row["formats"]), row["summary"])
            for row in rows
        ],
    )
    for row in rows:
        if row["options"]:
            options = ", ".join(f"{name}={default!r}" for name, default in row["options"].items())
            show(f"\n{row['name']} options: {options}")
        if row["error"]:
            note(f"{row['name']}: {row['error']}")


def mention_unusable(host: PluginHost) -> None:
    """Say on standard error which plugins are missing from a list, and why."""
    for record in host.records.values():
        if record.state in ("broken", "incompatible"):
            note(f"left out: {record.name} is {record.state}: {record.reason}")


def summary(text: str | None) -> str:
    """The first line of a docstring, without its markup."""
    return next((line.strip().replace("``", "") for line in (text or "").splitlines() if line.strip()), "")


def _describe(host: PluginHost, name: str) -> dict[str, Any]:
    record = host.records[name.split("/", 1)[0]]
    parameters = host.domain_options(name)
    row: dict[str, Any] = {
        "name": name,
        "plugin": record.name,
        "distribution": record.distribution,
        "version": record.version,
        "summary": summary(inspect.getdoc(host.domain_factory(name))),
        "options": {p.name: None if p.default is p.empty else p.default for p in parameters.values()},
        "required": [p.name for p in parameters.values() if p.default is p.empty],
        "rubrics": [],
        "formats": [],
        "metrics": [],
        "error": "",
    }
    try:
        domain = host.domain(name)
    except UserError as error:
        row["error"] = str(error)
    else:
        row.update(rubrics=list(domain.rubrics), formats=list(domain.readers), metrics=list(domain.metrics))
    return row
