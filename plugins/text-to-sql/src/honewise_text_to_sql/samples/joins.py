"""Templates over several tables: the world ``joins``, and what only ``all`` adds.

medium: one join and one condition. hard: three tables, two conditions, groups, superlatives, nested queries.
"""

from __future__ import annotations

from .questions import Condition, Draft, Select, Slot, filled
from .simple import AGGREGATES, COUNTS, LISTS, Template, any_condition
from .tables import Column, Database, Dice, Table

__all__ = ["JOINS", "MORE_JOINS"]

_KINDS = ("=", ">", "<")


def _edge(database: Database, dice: Dice) -> tuple[Table, Column, Table]:
    """A foreign key: the table that points, its column, the table pointed to."""
    return dice.pick(database.links())


def _on(child: Table, link: Column, parent: Table) -> str:
    return f"{parent.name} ON {child.name}.{link.name} = {parent.name}.id"


def _shown(table: Table, dice: Dice) -> Column | None:
    columns = [c for c in table.columns if c.kind not in ("key", "link")]
    return dice.pick(columns) if columns else None


def _condition(
    tables: tuple[Table, ...], dice: Dice, kinds: tuple[str, ...] = _KINDS
) -> tuple[Condition, Table] | None:
    table = dice.pick(tables)
    found = any_condition(table, dice, kinds, owner=table.name)
    return None if found is None else (found, table)


def _list_join(database: Database, dice: Dice) -> Draft | None:
    """A column of one table, a condition on the other."""
    child, link, parent = _edge(database, dice)
    ends = (child, parent) if dice.chance(0.5) else (parent, child)
    found = _condition(ends[1:], dice)
    column, other = _shown(ends[0], dice), _shown(ends[1], dice)
    if found is None or column is None or other is None:
        return None
    select = Select(
        f"{ends[0].name}.{column.name}",
        child.name,
        (_on(child, link, parent),),
        (found[0].sql,),
        other=f"{ends[1].name}.{other.name}",
    )
    frame = Slot("f", filled(LISTS, w=f"{ends[0].name} {column.name}", t=child.plural))
    return Draft("join-list", "medium", select, (frame, found[0].words))


def _two_conditions(database: Database, dice: Dice) -> Draft | None:
    child, link, parent = _edge(database, dice)
    first, second = _condition((child,), dice), _condition((parent,), dice)
    if first is None or second is None:
        return None
    if dice.chance(0.5):
        first, second = second, first
    column, other = _shown(child, dice), _shown(parent, dice)
    if column is None or other is None:
        return None
    shown, wrong = (child, column), (parent, other)
    if dice.chance(0.5):
        shown, wrong = wrong, shown
    either = dice.chance(0.25)
    glue = "or" if either else "and"
    select = Select(
        f"{shown[0].name}.{shown[1].name}",
        child.name,
        (_on(child, link, parent),),
        (first[0].sql, second[0].sql),
        "OR" if either else "AND",
        other=f"{wrong[0].name}.{wrong[1].name}",
    )
    frames = tuple(text.replace("{1}", f"{{1}} {glue} {{2}}") for text in LISTS)
    frame = Slot(glue, filled(frames, w=f"{shown[0].name} {shown[1].name}", t=child.plural))
    return Draft("join-two-conditions", "hard", select, (frame, first[0].words, second[0].words))


def _count_join(database: Database, dice: Dice) -> Draft | None:
    child, link, parent = _edge(database, dice)
    found = _condition((parent,), dice)
    if found is None:
        return None
    select = Select("COUNT(*)", child.name, (_on(child, link, parent),), (found[0].sql,))
    return Draft("join-count", "medium", select, (Slot("f", filled(COUNTS, t=child.plural)), found[0].words))


def _aggregate_join(database: Database, dice: Dice) -> Draft | None:
    child, link, parent = _edge(database, dice)
    numbers = child.of("integer", "real")
    found = _condition((parent,), dice)
    if not numbers or found is None:
        return None
    number = dice.pick(numbers)
    name = dice.pick(number.aggregates)
    select = Select(f"{name}({child.name}.{number.name})", child.name, (_on(child, link, parent),), (found[0].sql,))
    frames = (
        "show the {2} {w} of {t} {1}",
        "what is the {2} {w} of {t} {1}?",
        "for {t} {1}, show the {2} {w}",
        "give me the {2} {w} of {t} {1}",
    )
    frame = Slot("f", filled(frames, w=f"{child.name} {number.name}", t=child.plural))
    slots = (frame, found[0].words, Slot(name.lower(), AGGREGATES[name]))
    return Draft("join-aggregate", "medium", select, slots)


def _group_join(database: Database, dice: Dice) -> Draft | None:
    """A number for each category of the other table."""
    child, link, parent = _edge(database, dice)
    groups, numbers = parent.of("category"), child.of("integer", "real")
    found = _condition((child,), dice)
    if not groups or found is None:
        return None
    group = dice.pick(groups)
    if numbers and dice.chance(0.5):
        number = dice.pick(numbers)
        name = dice.pick(number.aggregates)
        what, words = f"{name}({child.name}.{number.name})", f"{AGGREGATES[name][0]} {number.name}"
    else:
        name, what, words = "COUNT", "COUNT(*)", "number"
    select = Select(
        f"{parent.name}.{group.name}, {what}",
        child.name,
        (_on(child, link, parent),),
        (found[0].sql,),
        group=f"{parent.name}.{group.name}",
    )
    frames = (
        "show the {w} of {t} {1} for each {g}",
        "for each {g}, give the {w} of {t} {1}",
        "what is the {w} of {t} {1} per {g}?",
        "list the {w} of {t} {1} per {g}",
    )
    frame = Slot(name.lower(), filled(frames, w=words, t=child.plural, g=f"{parent.name} {group.name}"))
    return Draft("join-group", "hard", select, (frame, found[0].words))


def _three_tables(database: Database, dice: Dice) -> Draft | None:
    """Through a table between, or from one table to two others."""
    child, link, middle = _edge(database, dice)
    further = [
        (a, b, c) for a, b, c in database.links() if (a is middle or (a is child and b is not link)) and c is not middle
    ]
    if not further:
        return None
    start, second, far = dice.pick(further)
    found = _condition((far,), dice)
    column, other = _shown(middle, dice), _shown(far, dice)
    if found is None or column is None or other is None:
        return None
    shown, wrong = ((middle, column), (far, other))
    if start is middle and dice.chance(0.5):
        shown = (child, _shown(child, dice) or column)
        if not any(shown[1] is c for c in child.columns):
            return None
    select = Select(
        f"{shown[0].name}.{shown[1].name}",
        child.name,
        (_on(child, link, middle), _on(start, second, far)),
        (found[0].sql,),
        other=f"{wrong[0].name}.{wrong[1].name}",
    )
    frame = Slot("f", filled(LISTS, w=f"{shown[0].name} {shown[1].name}", t=child.plural))
    return Draft("three-tables", "hard", select, (frame, found[0].words))


def _having(database: Database, dice: Dice) -> Draft | None:
    child, link, parent = _edge(database, dice)
    names = parent.of("name")
    if not names:
        return None
    count = 2 + dice.below(6)
    more = dice.chance(0.6)
    found = _condition((parent,), dice) if dice.chance(0.5) else None
    select = Select(
        f"{parent.name}.{names[0].name}",
        child.name,
        (_on(child, link, parent),),
        (found[0].sql,) if found else (),
        group=f"{parent.name}.id",
        having=f"COUNT(*) {'>' if more else '<'} {count}",
        other=f"{parent.name}.id",
    )
    frames = (
        "show the {w} of {t} {1} {k} {s}{c}",
        "list the {w} of all {t} {1} {k} {s}{c}",
        "give me the {w} of {t} {1} {k} {s}{c}",
        "which {t} {1} {k} {s}{c}? show the {w}",
    )
    tail = "" if found is None else " and {2}"
    words = (
        ("with more than", "that have more than", "having more than")
        if more
        else ("with fewer than", "that have fewer than", "having fewer than")
    )
    frame = Slot(
        "f", filled(frames, w=f"{parent.name} {names[0].name}", t=parent.plural, s=child.plural, k=str(count), c=tail)
    )
    slots = (frame, Slot("m" if more else "l", words), *((found[0].words,) if found else ()))
    return Draft("having", "hard", select, slots)


def _superlative(database: Database, dice: Dice) -> Draft | None:
    child, link, parent = _edge(database, dice)
    column = _shown(parent, dice)
    found = _condition((child, parent), dice)
    if column is None or found is None:
        return None
    select = Select(
        f"{parent.name}.{column.name}",
        child.name,
        (_on(child, link, parent),),
        (found[0].sql,),
        group=f"{parent.name}.id",
        order="COUNT(*) DESC",
        limit=1,
        other=f"{parent.name}.id",
    )
    frames = (
        "show the {w} of the {p} with the most {s} {1}",
        "what is the {w} of the {p} that has the most {s} {1}?",
        "for the {p} with the most {s} {1}, show the {w}",
        "give me the {w} of the {p} that has the most {s} {1}",
    )
    frame = Slot("f", filled(frames, w=column.name, p=parent.name, s=child.plural))
    return Draft("most", "hard", select, (frame, found[0].words))


def _nested(database: Database, dice: Dice) -> Draft | None:
    """Those that have none (NOT IN), or at least one (EXISTS)."""
    child, link, parent = _edge(database, dice)
    column, other = _shown(parent, dice), _shown(parent, dice)
    none = dice.chance(0.5)
    found = any_condition(child, dice, _KINDS, owner=child.name)
    if column is None or other is None or column is other or found is None:
        return None
    where = found.sql
    if none:
        bare = where.replace(f"{child.name}.", "", 1)
        where = f"id NOT IN (SELECT {link.name} FROM {child.name} WHERE {bare})"
    else:
        where = f"EXISTS (SELECT 1 FROM {child.name} WHERE {child.name}.{link.name} = {parent.name}.id AND {where})"
    select = Select(column.name, parent.name, where=(where,), other=other.name)
    amount = "no" if none else "at least one"
    frames = (
        "show the {w} of {t} that have {a} {c} {1}",
        "list the {w} of all {t} with {a} {c} {1}",
        "give me the {w} of {t} that have {a} {c} {1}",
        "which {t} have {a} {c} {1}? show the {w}",
    )
    frame = Slot(amount[0], filled(frames, w=column.name, t=parent.plural, a=amount, c=child.name))
    return Draft("not-in" if none else "exists", "hard", select, (frame, found.words))


JOINS: tuple[tuple[Template, float], ...] = (
    (_list_join, 4),
    (_two_conditions, 3),
    (_count_join, 2),
    (_aggregate_join, 2),
    (_group_join, 1),
    (_three_tables, 1),
)
"""Templates of the world ``joins`` and how often each is drawn."""

MORE_JOINS: tuple[tuple[Template, float], ...] = ((_having, 1), (_superlative, 1), (_nested, 2))
"""What the world ``all`` adds over several tables."""
