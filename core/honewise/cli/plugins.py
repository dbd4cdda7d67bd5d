"""``honewise plugins``: what is installed, and what became of it."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from honewise.errors import PluginError
from honewise.host import PluginHost, PluginRecord, get_host

from .terminal import print_json, print_table, show

__all__ = ["attach", "load_each", "report_faults", "table"]


def attach(app: typer.Typer) -> None:
    app.command()(plugins)


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="A list of records as JSON.")] = False,
    load: Annotated[
        bool, typer.Option("--load/--no-load", help="Import each plugin, or read the metadata of installed ones only.")
    ] = True,
) -> None:
    """List all plugins: loaded, blocked, incompatible or broken, and why.

    A plugin is a pip package with an entry point of group "honewise". One that cannot be used never stops the
    others. HONEWISE_PLUGINS=a,b allows only these, HONEWISE_DISABLE_PLUGINS=a,b blocks these (both take names of
    plugins or of distributions), HONEWISE_STRICT_PLUGINS=1 makes a broken plugin an error, and
    HONEWISE_TRACE_PLUGINS=1 shows each hook call.
    """
    host = get_host()
    if load:
        load_each(host)
    records = list(host.records.values())
    if as_json:
        print_json([record.as_json() for record in records])
    else:
        table(records)
        report_faults(records)
    if host.strict and any(record.state in ("broken", "incompatible") for record in records):
        raise typer.Exit(1)


def load_each(host: PluginHost) -> list[PluginRecord]:
    """Load every plugin, also where the environment asks for strictness: the caller shows all records."""
    with contextlib.suppress(PluginError):
        host.load_all()
    return list(host.records.values())


def table(records: list[PluginRecord]) -> None:
    rows = [(r.name, r.distribution or "-", r.version or "-", r.state, ", ".join(r.domains)) for r in records]
    print_table(("plugin", "distribution", "version", "state", "domains"), rows)


def report_faults(records: list[PluginRecord]) -> None:
    """One line for each plugin that cannot be used."""
    for record in records:
        if not record.usable:
            show(f"\n{record.name}: {record.state}: {record.reason}")
