"""``honewise audit judge``: how good, and how partial, a judge is on pairs that people labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from .data_options import can_be_written, judging, note_judge
from .terminal import TerminalProgress, clean, json_line, note, number, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.checks import JudgeAudit, JudgesAudited
    from honewise.data.judged import PairSet
    from honewise.metrics import Estimate

__all__ = ["judge"]

_IN_SUBSETS = ("agreement", "flip_rate", "first_shown", "length_preference", "verbosity_bias")


def judge(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            help="Pairs: the folder of LLMBar, PandaLM, MT-bench judgments or HH-RLHF in its published layout, one of "
            "its files, or lines of JSON.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str | None, typer.Option("--format", help="The pairs' format. Left out: recognised.", show_default=False)
    ] = None,
    ask: Annotated[
        Path | None,
        typer.Option(
            "--judge",
            help="Ask the judge that this file describes (a recipe, or its section `judge:` alone), too.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most this many pairs.", show_default=False)] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often the judge is asked each question.")] = 1,
    attacks: Annotated[int, typer.Option(min=0, help="Pairs on which the judge is attacked; 0: none.")] = 10,
    unit: Annotated[Literal["words", "characters"], typer.Option(help="Of length: words or characters.")] = "words",
    min_ratio: Annotated[
        float, typer.Option(min=1.0, help="An answer is longer from so many times the other's length on.")
    ] = 1.1,
    rounds: Annotated[int, typer.Option(min=1, help="Of the bootstrap behind the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep pairs and verdicts in this file, as lines of JSON.")
    ] = None,
    run: Annotated[
        str | None, typer.Option("--run", help="Keep the result with this run, for its card.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Measure a judge on pairs of answers that people compared.

    Agreement with the labels, whether the order of the answers or their length decides, self-consistency, and
    calibration where confidences exist; verdicts stored in the data cost nothing. With --judge that judge is asked in
    both orders, and attacked: by instructions inside the worse answer, and by answers that say nothing. Every number
    comes with its 95 % interval over pairs.

    Example: honewise audit judge --data LLMBar --judge judge.yaml --limit 50
    """
    from honewise.checks import JudgeSettings, audit_judge
    from honewise.data.judged import load_pairs, pair_line

    from .keeping import keep_with, run_folder

    folder = run_folder(run)
    if out is not None:
        can_be_written(out, data=data, judge=ask)
    found = load_pairs(data, format=format, limit=limit)
    note(f"{data}: read as {found.format}, {len(found)} pairs")
    settings = JudgeSettings(unit=unit, min_ratio=min_ratio, rounds=rounds, seed=seed)
    with judging(ask) as asked:
        members = asked.members.values() if asked is not None else ()
        name = ", ".join(member.client.backend.model for member in members)
        audited = audit_judge(
            found,
            asked,
            name=name,
            settings=settings,
            repeats=repeats,
            attacks=attacks,
            progress=TerminalProgress(),
        )
        spent = note_judge(asked.take_calls()) if asked is not None else {}
    if out is not None:
        out.write_text("".join(json_line(pair_line(pair)) + "\n" for pair in audited.pairs), "utf-8")
    told = _told(found, audited, asdict(settings)) | ({"spent": spent} if spent else {})
    if folder is not None:
        keep_with(folder, "judge", found.source, told)
    if as_json:
        print_json(told)
    else:
        _show(audited)


def _told(found: PairSet, audited: JudgesAudited, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": found.source,
        "format": found.format,
        "settings": settings,
        "asked": audited.asked or None,
        "template_hash": audited.template_hash or None,
        "judges": [audit.as_json() for audit in audited.audits],
    }


def _show(audited: JudgesAudited) -> None:
    from honewise.checks.judge_numbers import NUMBERS

    for audit in audited.audits:
        show(
            f"{clean(audit.judge)}: {audit.pairs} pairs, {audit.labelled} labelled ({audit.tied} ties), "
            f"{audit.verdicts} verdicts ({audit.unread} could not be read)"
        )
        rows = [
            (name, number(found.value), _interval(found), found.count, NUMBERS[name])
            for name in NUMBERS
            if (found := audit.numbers.get(name)) is not None
        ]
        print_table(("number", "value", "95 %", "pairs", "what"), rows)
        _show_subsets(audit)
        for kind, shares in audit.details.get("attacks", {}).get("resisted", {}).items():
            told = ", ".join(f"{attack} {number(share)}" for attack, share in shares.items())
            show(f"{kind} attacks resisted: {told or 'none could be tried'}")
        for reason, names in _by_reason(audit.missing).items():
            show(f"not measured: {', '.join(names)}: {reason}")
        show()


def _show_subsets(audit: JudgeAudit) -> None:
    if not audit.subsets:
        return
    show()
    rows = [
        (subset or "(none)", *(_short(found.get(name)) for name in _IN_SUBSETS))
        for subset, found in audit.subsets.items()
    ]
    print_table(("subset", *_IN_SUBSETS), rows)


def _short(found: Estimate | None) -> str:
    return "-" if found is None else f"{number(found.value)} {_interval(found)}"


def _interval(found: Estimate) -> str:
    return "" if found.low is None else f"[{number(found.low)}, {number(found.high)}]"


def _by_reason(missing: Mapping[str, str]) -> dict[str, list[str]]:
    reasons: dict[str, list[str]] = {}
    for name, reason in missing.items():
        reasons.setdefault(reason, []).append(name)
    return reasons
