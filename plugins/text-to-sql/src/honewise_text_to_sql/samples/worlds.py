"""The worlds: which templates speak of which tables and columns.

The two small worlds keep to few words, so that a tokenizer of 600 pieces has one for nearly each of them and a model of
two million parameters meets each in a hundred demonstrations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .fields import FIELDS
from .joins import JOINS, MORE_JOINS
from .simple import MORE, SIMPLE, Template
from .tables import Database

__all__ = ["WORLDS", "World"]


@dataclass(frozen=True, slots=True)
class World:
    """Templates with the weight by which each is drawn, and the databases as far as they are spoken of."""

    templates: tuple[tuple[Template, float], ...]
    fields: Mapping[str, Database]


def _only(database: str, **tables: str) -> Database:
    """Some tables of a database with some columns, in the order given."""
    kept = []
    for name, columns in tables.items():
        table = FIELDS[database].table(name)
        kept.append(replace(table, columns=tuple(table.column(column) for column in columns.split())))
    return Database(database, tuple(kept))


_FEW_WORDS: dict[str, Database] = {
    database.name: database
    for database in (
        _only("library", book="title genre pages"),
        _only("clinic", patient="name city age"),
        _only("harbour", ship="name flag length"),
        _only("observatory", star="name colour distance"),
        _only("bakery", product="name kind price"),
    )
}
_FEW_JOINS: dict[str, Database] = {
    database.name: database
    for database in (
        _only("library", author="name country", book="title author_id genre pages"),
        _only("clinic", doctor="name field", patient="name city age", visit="patient_id doctor_id cost"),
        _only("harbour", ship="name flag length", pier="name zone", stay="ship_id pier_id arrived"),
        _only(
            "observatory", telescope="name site", star="name colour distance", sighting="star_id telescope_id minutes"
        ),
        _only("bakery", customer="name city points", purchase="customer_id shop day"),
    )
}

WORLDS: dict[str, World] = {
    "simple": World(SIMPLE, _FEW_WORDS),
    "joins": World(JOINS, _FEW_JOINS),
    "all": World(SIMPLE + MORE + JOINS + MORE_JOINS, FIELDS),
}
