"""The tables of the documentation that are made from the code. ``python tests/support/doc_tables.py`` writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from honewise.checks import DOMAIN_CHECKS, PRESET_CHECKS, REWARD_CHECKS, SIGNS
from honewise.checks.judge_numbers import NUMBERS as JUDGE_NUMBERS
from honewise.checks.run_numbers import NUMBERS as RUN_NUMBERS
from honewise.recipes.load import json_schema

DOCS = Path(__file__).parents[2] / "core" / "docs"


def checks() -> str:
    """Every promise that the contract check tries out."""
    lines = ["| check | of | what holds |", "|---|---|---|"]
    kinds = {"the domain": DOMAIN_CHECKS, "each reward": REWARD_CHECKS, "each preset": PRESET_CHECKS}
    for kind, found in kinds.items():
        lines += [f"| `{name}` | {kind} | {check.promise} |" for name, check in found.items()]
    return "\n".join(lines) + "\n"


SECTIONS = {
    "Recipe": "The whole recipe",
    "DomainSpec": "domain",
    "PartSpec": "domains.NAME",
    "DataSection": "data",
    "DataSpec": "data.train, data.held_out",
    "PolicySpec": "policy",
    "TinySpec": "policy.tiny",
    "LoraSpec": "policy.lora",
    "QuantizeSpec": "policy.quantize",
    "RubricSpec": "rubric",
    "PartRubricSpec": "domains.NAME.rubric",
    "RewardSpec": "rubric.rewards.NAME",
    "JudgeSpec": "judge",
    "MemberSpec": "judge.panel.NAME",
    "VoteSpec": "judge.vote",
    "LocalSpec": "judge.local",
    "BudgetSpec": "judge.budget",
    "PriceSpec": "judge.prices",
    "SftStage": "stages.NAME, kind sft",
    "PairsStage": "stages.NAME, kind pairs",
    "SourceSpec": "stages.NAME.sources.NAME",
    "ReviseStage": "stages.NAME, kind revise",
    "PersonasStage": "stages.NAME, kind personas",
    "PersonaSpec": "stages.NAME.personas.NUMBER",
    "DpoStage": "stages.NAME, kind dpo",
    "RoundsSpec": "stages.NAME.rounds",
    "RewardModelStage": "stages.NAME, kind reward-model",
    "TrunkSpec": "stages.NAME.trunk",
    "SegmentSpec": "stages.NAME.segments",
    "RlStage": "stages.NAME, kind rl",
    "CriticSpec": "stages.NAME.critic",
    "KlSpec": "stages.NAME.kl",
    "ShapingSpec": "stages.NAME.shaping",
    "OrderSpec": "stages.NAME.order",
    "DynamicSpec": "stages.NAME.dynamic",
    "StopSpec": "stages.NAME.stop",
    "ConstraintSpec": "stages.NAME.constraints.NAME",
    "InvarianceSpec": "stages.NAME.invariance",
    "EvaluateStage": "stages.NAME, kind evaluate",
    "Control": "stages.NAME.controls",
}


def recipe_fields() -> str:
    """Every key of a recipe: one table for each mapping, in the order in which a reader meets them."""
    schema = json_schema()
    models: dict[str, Mapping[str, Any]] = {"Recipe": schema, **schema["$defs"]}
    assert set(models) == set(SECTIONS), f"give these a section: {set(models) ^ set(SECTIONS)}"
    parts = []
    for name, title in SECTIONS.items():
        model = models[name]
        required = set(model.get("required", ()))
        rows = [f"### {title}", "", model["description"].replace("\n", " "), ""]
        rows += ["| key | value | default | meaning |", "|---|---|---|---|"]
        for key, field in model["properties"].items():
            default = _default(field, required=key in required)
            meaning = str(field.get("description", "")).replace("\n", " ").replace("|", "\\|")
            rows.append(f"| `{key}` | {_kind(field)} | {default} | {meaning} |")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _default(field: Mapping[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    value = field.get("default")
    return "" if value is None or value in ({}, []) else f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _kind(field: Mapping[str, Any]) -> str:
    if "$ref" in field:
        return _link(field["$ref"])
    if "const" in field:
        return f"`{field['const'] if isinstance(field['const'], str) else json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        arms = [arm for arm in field["anyOf"] if arm.get("type") != "null"]
        return " or ".join(_kind(arm) for arm in arms)
    kind = field.get("type")
    if kind == "array":
        return f"list of {_kind(field['items'])}" if "items" in field else "list"
    if kind == "object":
        named = field.get("patternProperties", {}).values()
        inner = field.get("additionalProperties") or next(iter(named), None)
        return f"mapping to {_kind(inner)}" if isinstance(inner, dict) and inner and "oneOf" not in inner else "mapping"
    words = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}
    return words.get(str(kind), "any") + _limits(field)


def _limits(field: Mapping[str, Any]) -> str:
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    return "".join(f" {sign} {field[key]}" for key, sign in signs.items() if key in field)


def _link(reference: str) -> str:
    title = SECTIONS[reference.rsplit("/", 1)[-1]]
    anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return f"[{title}](#{anchor})"


def _explained(what: str, found: Mapping[str, str]) -> str:
    rows = [f"| `{name}` | {meaning} |" for name, meaning in found.items()]
    return "\n".join([f"| {what} | what it is |", "|---|---|", *rows]) + "\n"


TABLES: Mapping[str, tuple[str, Callable[[], str]]] = {
    "checks": ("plugins.md", checks),
    "recipe fields": ("recipes.md", recipe_fields),
    "judge numbers": ("audits.md", lambda: _explained("number", JUDGE_NUMBERS)),
    "run signs": ("audits.md", lambda: _explained("sign", SIGNS)),
    "run numbers": ("audits.md", lambda: _explained("number", RUN_NUMBERS)),
}
"""Name of the place in a page to the page and what stands there."""


def standing(name: str) -> str:
    """What the documentation says now."""
    text = (DOCS / TABLES[name][0]).read_text(encoding="utf-8")
    assert text.count(f"<!-- {name} -->\n") == 1, f"{TABLES[name][0]} has no place for {name!r}"
    return text.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def main() -> None:
    for name, (page, table) in TABLES.items():
        path = DOCS / page
        text = path.read_text(encoding="utf-8")
        before, mark, rest = text.partition(f"<!-- {name} -->\n")
        assert mark, f"{page} has no place for {name!r}"
        _, mark_end, after = rest.partition(f"<!-- /{name} -->")
        path.write_text(before + mark + table() + mark_end + after, encoding="utf-8")


if __name__ == "__main__":
    main()
