"""``honewise audit rewards``: what hostile and degenerate completions get out of a domain's rewards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .data_options import DataPath, DomainName, Format, Limit, Options, open_domain, open_tasks
from .terminal import TerminalProgress, clean, number, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.checks import RewardsAudited

__all__ = ["rewards"]


def rewards(
    domain: DomainName,
    rubric: Annotated[
        str | None,
        typer.Option("--rubric", help="Only this preset and its rewards. Left out: all.", show_default=False),
    ] = None,
    data: DataPath = None,
    format: Format = None,
    limit: Limit = None,
    option: Options = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Keep the result with this run, for its card.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Try hostile and degenerate completions on every reward, in a process that can be ended.

    Empty, refusing, echoing and repeating texts, injected verdicts, NUL, lone surrogates, a megabyte, right-to-left and
    invisible characters, markup, deep nesting: what is paid for them, what they break, and how long they take; and all
    else that `honewise doctor` checks. Leaves with 1 where anything fails.

    Example: honewise audit rewards text-to-sql --rubric execution
    """
    from honewise.checks import audit_rewards

    from .keeping import keep_with, run_folder

    folder = run_folder(run)
    opened = open_domain(domain, option)
    tasks = None if data is None else open_tasks(opened, data, format, "held-out", limit).tasks
    audited = audit_rewards(opened.name, opened.options, preset=rubric, tasks=tasks, progress=TerminalProgress())
    if folder is not None:
        keep_with(folder, "rewards", domain, audited.as_json())
    if as_json:
        print_json(audited.as_json())
    else:
        _show(audited)
    if not audited.ok:
        raise typer.Exit(1)


def _show(audited: RewardsAudited) -> None:
    print_table(
        ("reward", "tried", "unscored", "range", "like gold", "unsteady", "by order", "ms p50 / most"),
        [_row(each) for each in audited.rewards],
    )
    show()
    broken = [finding for finding in audited.findings if not finding.ok]
    for finding in broken:
        show(f"{finding.check}, {clean(finding.subject)}: {clean(finding.explanation)}")
        if finding.fix:
            show(f"  to fix it: {clean(finding.fix)}")
    for each in audited.rewards:
        for check, reason in each["exempt"].items():
            show(f"{each['name']} is exempt from {check!r}: {clean(reason)}")
        if each["tried"] and each["paid_kinds"]:
            kinds = ", ".join(each["paid_kinds"])
            show(f"{each['name']} pays as much as for gold: {kinds} (no fault where it does not look at the answer)")
    held = len(audited.findings) - len(broken)
    show(f"{audited.domain}: {held} of {len(audited.findings)} checks hold" + ("" if broken else "; nothing was found"))


def _row(each: Mapping[str, Any]) -> tuple[Any, ...]:
    if not each["tried"]:
        return (each["name"], 0, "", each["why"], "", "", "", "")
    low, high = number(each["lowest"]), number(each["highest"])
    outside = f" ({each['out_of_range']} outside)" if each["out_of_range"] else ""
    return (
        each["name"],
        each["tried"],
        each["unscored"],
        f"{low} .. {high}{outside}",
        each["paid_like_gold"],
        each["unsteady"],
        each["by_order"],
        f"{1e3 * each['p50']:.2f} / {1e3 * each['slowest']:.1f}",
    )
