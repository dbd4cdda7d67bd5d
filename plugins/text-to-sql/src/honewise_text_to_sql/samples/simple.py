"""Templates over one table: the world ``simple``, and what only ``all`` adds.

easy: one table, at most one condition, no grouping. medium: anything more.
"""

from __future__ import annotations

from collections.abc import Callable

from .questions import Condition, Draft, Select, Slot, condition, filled
from .tables import Column, Database, Dice, Table

__all__ = ["AGGREGATES", "COUNTS", "LISTS", "MORE", "SIMPLE", "Template", "any_condition"]

Template = Callable[[Database, Dice], Draft | None]

LISTS = (
    "show the {w} of {t} {1}",
    "list the {w} of all {t} {1}",
    "give me the {w} of {t} {1}",
    "for {t} {1}, show the {w}",
    "what is the {w} of {t} {1}?",
)
COUNTS = (
    "show the number of {t} {1}",
    "count the {t} {1}",
    "how many {t} {1} are there?",
    "give me the count of {t} {1}",
)
AGGREGATES = {
    "MAX": ("highest", "largest"),
    "MIN": ("lowest", "smallest"),
    "AVG": ("average", "mean"),
    "SUM": ("total", "summed"),
}


def _round_value(column: Column, dice: Dice) -> int:
    """A round number inside the column's range, away from its ends."""
    span = column.high - column.low
    unit = next(unit for unit in (1000, 100, 50, 10, 5, 1) if span / unit >= 4)
    low, high = column.low + span * 0.15, column.low + span * 0.85
    steps = [n * unit for n in range(int(low // unit), int(high // unit) + 2) if low <= n * unit <= high]
    return int(dice.pick(steps))


def _date_value(column: Column, dice: Dice) -> str:
    """The first of some month, inside the column's range. A column that follows another has that one's range."""
    low, high = (int(column.low), int(column.high)) if column.low else (2022, 2024)
    return f"{low + dice.below(high - low + 1)}-{1 + dice.below(12):02d}-01"


def any_condition(
    table: Table, dice: Dice, kinds: tuple[str, ...], owner: str = "", avoid: str = ""
) -> Condition | None:
    """A condition of one of the kinds on a column that it fits; None where the table has no such column."""
    kind = dice.pick(kinds)
    fitting = [c for c in table.columns if _fits(kind, c) and c.name != avoid]
    if not fitting:
        return None
    column = dice.pick(fitting)
    return condition(kind, table, column, _values(kind, column, dice), owner=owner)


def _fits(kind: str, column: Column) -> bool:
    match kind:
        case "=" | "!=":
            return column.kind == "category"
        case ">" | "<":
            return column.numeric
        case "after" | "before":
            return column.kind == "date"
        case "between":
            return column.kind == "date" or column.kind == "integer"
        case "starts":
            return column.kind == "name"
        case _:
            return column.missing > 0


def _values(kind: str, column: Column, dice: Dice) -> tuple[str | int, ...]:
    if kind in ("null", "known"):
        return ()
    if kind == "starts":
        return (chr(ord("A") + dice.below(26)),)
    if column.kind == "category":
        return (dice.pick(column.values),)
    draw = _date_value if column.kind == "date" else _round_value
    first = draw(column, dice)
    if kind != "between":
        return (first,)
    second = draw(column, dice)
    return tuple(sorted((first, second), key=lambda value: (len(str(value)), value)))


def _shown(table: Table, dice: Dice) -> tuple[Column, Column]:
    return dice.two([c for c in table.columns if c.kind not in ("key", "link")])


def _list_where(template: str, kinds: tuple[str, ...]) -> Template:
    def make(database: Database, dice: Dice) -> Draft | None:
        table = dice.pick(database.tables)
        found = any_condition(table, dice, kinds)
        if found is None:
            return None
        column, other = _shown(table, dice)
        if found.sql.startswith(f"{column.name} "):
            return None
        select = Select(column.name, table.name, where=(found.sql,), other=other.name)
        frame = Slot("f", filled(LISTS, w=column.name, t=table.plural))
        return Draft(template, "easy", select, (frame, found.words))

    return make


def _count_where(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    found = any_condition(table, dice, ("=", ">", "<"))
    if found is None:
        return None
    select = Select("COUNT(*)", table.name, where=(found.sql,))
    return Draft("count-where", "easy", select, (Slot("f", filled(COUNTS, t=table.plural)), found.words))


def _aggregate_where(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    numbers = table.of("integer", "real")
    if not numbers:
        return None
    column = dice.pick(numbers)
    name = dice.pick(column.aggregates)
    found = any_condition(table, dice, ("=", ">", "<"), avoid=column.name)
    if found is None:
        return None
    select = Select(f"{name}({column.name})", table.name, where=(found.sql,))
    frames = (
        "show the {2} {w} of {t} {1}",
        "what is the {2} {w} of {t} {1}?",
        "for {t} {1}, show the {2} {w}",
        "give me the {2} {w} of {t} {1}",
    )
    slots = (
        Slot("f", filled(frames, w=column.name, t=table.plural)),
        found.words,
        Slot(name.lower(), AGGREGATES[name]),
    )
    return Draft("aggregate-where", "easy", select, slots)


def _top(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    numbers = table.of("integer", "real")
    if not numbers:
        return None
    number = dice.pick(numbers)
    column, other = _shown(table, dice)
    if number in (column, other):
        return None
    count, down = 1 + dice.below(5), dice.chance(0.5)
    select = Select(
        column.name, table.name, order=number.name + (" DESC" if down else ""), limit=count, other=other.name
    )
    frames = (
        "show the {w} of the {k} {t} with the {1} {n}",
        "list the {w} of the {k} {t} that have the {1} {n}",
        "give me the {w} of the {k} {t} with the {1} {n}",
        "what is the {w} of the {k} {t} that have the {1} {n}?",
    )
    words = AGGREGATES["MAX" if down else "MIN"]
    frame = Slot("f", filled(frames, w=column.name, t=table.plural, n=number.name, k=str(count)))
    return Draft("top", "medium", select, (frame, Slot("max" if down else "min", words)))


def _group_count(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    groups = table.of("category")
    found = any_condition(table, dice, (">", "<"))
    if not groups or found is None:
        return None
    group = dice.pick(groups)
    select = Select(f"{group.name}, COUNT(*)", table.name, where=(found.sql,), group=group.name)
    frames = (
        "show the number of {t} {1} for each {g}",
        "how many {t} {1} are there per {g}?",
        "for each {g}, count the {t} {1}",
        "count the {t} {1} per {g}",
    )
    slots = (Slot("f", filled(frames, t=table.plural, g=group.name)), found.words)
    return Draft("group-count", "medium", select, slots)


def _group_aggregate(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    groups, numbers = table.of("category"), table.of("integer", "real")
    if not groups or not numbers:
        return None
    group, number = dice.pick(groups), dice.pick(numbers)
    name = dice.pick(number.aggregates)
    select = Select(f"{group.name}, {name}({number.name})", table.name, group=group.name)
    frames = (
        "show the {1} {n} of {t} for each {g}",
        "for each {g}, give the {1} {n} of {t}",
        "what is the {1} {n} of {t} per {g}?",
        "list the {1} {n} of {t} per {g}",
    )
    slots = (
        Slot("f", filled(frames, t=table.plural, g=group.name, n=number.name)),
        Slot(name.lower(), AGGREGATES[name]),
    )
    return Draft("group-aggregate", "medium", select, slots)


def _two_conditions(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    first = any_condition(table, dice, ("=",))
    second = any_condition(table, dice, (">", "<", "="))
    if first is None or second is None or first.sql.split()[0] == second.sql.split()[0]:
        return None
    column, other = _shown(table, dice)
    either = dice.chance(0.3)
    select = Select(
        column.name, table.name, where=(first.sql, second.sql), glue="OR" if either else "AND", other=other.name
    )
    glue = "or" if either else "and"
    frames = tuple(text.replace("{1}", f"{{1}} {glue} {{2}}") for text in LISTS)
    frame = Slot(glue, filled(frames, w=column.name, t=table.plural))
    return Draft("two-conditions", "medium", select, (frame, first.words, second.words))


def _distinct(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    groups = table.of("category")
    found = any_condition(table, dice, (">", "<", "after", "before"))
    if not groups or found is None:
        return None
    column = dice.pick(groups)
    other = next(c for c in table.columns if c is not column and c.kind != "key")
    select = Select(f"DISTINCT {column.name}", table.name, where=(found.sql,), other=f"DISTINCT {other.name}")
    frames = tuple(text.replace("{w}", "different {w}") for text in LISTS)
    return Draft("distinct", "medium", select, (Slot("f", filled(frames, w=column.name, t=table.plural)), found.words))


def _above_average(database: Database, dice: Dice) -> Draft | None:
    table = dice.pick(database.tables)
    numbers = table.of("integer", "real")
    found = any_condition(table, dice, ("=",))
    if not numbers or found is None:
        return None
    number = dice.pick(numbers)
    column, other = _shown(table, dice)
    above = dice.chance(0.5)
    average = f"{number.name} {'>' if above else '<'} (SELECT AVG({number.name}) FROM {table.name})"
    select = Select(column.name, table.name, where=(found.sql, average), other=other.name)
    words = filled(
        ("with {n} {s} average", "whose {n} is {s} the average"), n=number.name, s="above" if above else "below"
    )
    frames = tuple(text.replace("{1}", "{1} and {2}") for text in LISTS)
    frame = Slot("f", filled(frames, w=column.name, t=table.plural))
    return Draft("above-average", "hard", select, (frame, found.words, Slot("a", words)))


def _lookup(database: Database, dice: Dice) -> Draft | None:
    """By a name with its quotes and letters of any script."""
    table = dice.pick(database.tables)
    names = [c for c in table.of("name") if c.values]
    if not names:
        return None
    name = names[0]
    column = dice.pick([c for c in table.columns if c.kind not in ("key", "link", "name")])
    found = condition("=", table, name, (dice.pick(name.values),))
    other = next(c for c in table.columns if c not in (column, name) and c.kind != "key")
    select = Select(column.name, table.name, where=(found.sql,), other=other.name)
    return Draft("lookup", "easy", select, (Slot("f", filled(LISTS, w=column.name, t=table.plural)), found.words))


SIMPLE: tuple[tuple[Template, float], ...] = (
    (_list_where("list-equal", ("=",)), 3),
    (_list_where("list-compare", (">", "<")), 3),
    (_count_where, 2),
    (_aggregate_where, 2),
    (_top, 1),
    (_two_conditions, 1),
)
"""Templates of the world ``simple`` and how often each is drawn."""

MORE: tuple[tuple[Template, float], ...] = (
    (_list_where("list-date", ("after", "before")), 1),
    (_list_where("list-null", ("null", "known")), 1),
    (_list_where("list-like", ("starts",)), 1),
    (_list_where("list-between", ("between",)), 1),
    (_list_where("list-not", ("!=",)), 1),
    (_group_count, 1),
    (_group_aggregate, 1),
    (_distinct, 3),
    (_top, 3),
    (_above_average, 1),
    (_lookup, 1),
)
"""What the world ``all`` adds over one table."""
