"""``honewise rewards``: what completions can be paid for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from honewise.contracts import Domain, Reward
from honewise.errors import UserError
from honewise.host import get_host

from .domains import mention_unusable, summary
from .terminal import note, print_json, print_table

__all__ = ["attach"]

_REQUIRED = inspect.Parameter.empty


def attach(app: typer.Typer) -> None:
    app.command()(rewards)


def rewards(
    domain: Annotated[str | None, typer.Option(help="Only the rewards of this domain.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A list of rewards as JSON.")] = False,
) -> None:
    """List rewards: range, cost, options, and their weight in each preset of the domain.

    A recipe re-weights, adds or drops them by these names. Those that fit any domain come last.
    """
    host = get_host()
    if domain is not None:
        rows = _of_domain(domain, host.domain(domain))
    else:
        host.load_all()
        rows = []
        for name in host.domains:
            try:
                rows += _of_domain(name, host.domain(name))
            except UserError as error:
                note(f"left out: {error}")
        rows += [_describe(entry.value, entry.name, "", {}) for entry in host.rewards.entries()]
        mention_unusable(host)
    if as_json:
        print_json(rows)
        return
    print_table(
        ("reward", "domain", "range", "cost", "presets", "what"),
        [
            (
                row["name"],
                row["domain"] or "any",
                f"{row['bounds'][0]:g} .. {row['bounds'][1]:g}",
                row["cost"],
                ", ".join(f"{preset} {_weight(weight)}" for preset, weight in row["presets"].items()),
                row["summary"],
            )
            for row in rows
        ],
    )


def _weight(weight: float | Mapping[int, float]) -> str:
    return f"{weight:g}" if isinstance(weight, int | float) else "scheduled"


def _of_domain(name: str, domain: Domain) -> list[dict[str, Any]]:
    rows = []
    for reward in domain.rewards:
        presets = {
            preset: rubric.term(reward.name).weight
            for preset, rubric in domain.rubrics.items()
            if reward.name in rubric.terms
        }
        rows.append(_describe(reward, reward.name, name, presets))
    return rows


def _describe(reward: Reward, name: str, domain: str, presets: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "domain": domain,
        "summary": summary(inspect.getdoc(reward.fn)),
        "bounds": list(reward.bounds),
        "cost": reward.cost,
        "deadline": reward.deadline,
        "batch": reward.batch,
        "options": {
            option: None if default is inspect.Parameter.empty else default
            for option, default in reward.options.items()
        },
        "presets": dict(presets),
        "exempt": dict(reward.exempt),
    }
