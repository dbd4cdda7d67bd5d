"""``honewise audit run``: did training teach the policy what it was to learn, or how to be paid?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .report import find_run
from .terminal import TerminalProgress, clean, note, number, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.checks import Compared, Readers, RunAudited, Sign
    from honewise.runs.run import Run

__all__ = ["run"]

_SAYS: Mapping[bool | None, str] = {True: "FOUND", False: "no", None: "-"}


def run(
    name: Annotated[
        str, typer.Argument(metavar="RUN", help="A run: its name below runs/, or its folder.", show_default=False)
    ],
    window: Annotated[
        float, typer.Option(min=0.01, max=0.5, help="Share of a stage's steps taken for its beginning, and its end.")
    ] = 0.2,
    judge_reward: Annotated[
        list[str] | None,
        typer.Option(
            "--judge-reward",
            help="A reward that a judge gives; repeatable. Left out: those of the run's domain that ask one.",
            show_default=False,
        ),
    ] = None,
    verifier: Annotated[
        str | None,
        typer.Option(
            "--verifier",
            help="The reward that says what is correct; it may have weight 0. Left out: the rubric's.",
            show_default=False,
        ),
    ] = None,
    embedding_model: Annotated[
        str | None,
        typer.Option(
            "--embedding-model",
            help="A hub id or folder: diversity by sentence embeddings, too.",
            show_default=False,
        ),
    ] = None,
    nli_model: Annotated[
        str | None,
        typer.Option(
            "--nli-model",
            help="A hub id or folder: diversity by natural language inference, too.",
            show_default=False,
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of the bootstrap behind the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Everything as JSON.")] = False,
) -> None:
    """Look for signs that a policy learned to be paid, and not what it was to learn.

    Compares the first steps of training with the last, and each trained policy with the one it was made of on held-out
    tasks: one component that takes over, collapsed variance, drifting length, pay against the verifier, judge against
    verifier, deceptive inflation and overjustification, lost diversity, and a growing gap between training and held-out
    tasks. All of it is read from the run's store; the result is kept with the run, for its card. Leaves with 1 where a
    sign is found.

    Example: honewise audit run sql-quickstart
    """
    from honewise.checks import RunSettings
    from honewise.report.audit import audit_run
    from honewise.report.ending import known
    from honewise.runs.run import Run

    with Run.open(find_run(name)) as opened:
        about = known(opened)
        audited = audit_run(
            opened,
            RunSettings(window=window, rounds=rounds, seed=seed),
            judges=judge_reward or about.judges,
            decides=about.decides,
            verifier=verifier,
            readers=_readers(opened, embedding_model, nli_model),
            notes=() if judge_reward else about.notes,
            progress=TerminalProgress(),
        )
        _keep(opened, audited)
    if as_json:
        print_json(audited.as_json())
    else:
        _show(audited)
    if not audited.ok:
        raise typer.Exit(1)


def _readers(opened: Run, embedding: str | None, nli: str | None) -> Readers:
    from honewise.report.ending import readers_of

    readers = readers_of(opened)
    if embedding is not None or nli is not None:
        from honewise.models.readers import load_embedder, load_inference

        embed = load_embedder(embedding) if embedding is not None else None
        infer = load_inference(nli) if nli is not None else None
        readers = replace(readers, embed=embed, infer=infer)
    return readers


def _keep(opened: Run, audited: RunAudited) -> None:
    from honewise.report.ending import keep_audit

    try:
        note(f"kept: {keep_audit(opened, audited)}")
    except OSError as error:
        note(f"not kept with the run: {error}")


def _show(audited: RunAudited) -> None:
    for remark in audited.notes:
        show(f"note: {clean(remark)}")
    for compared in audited.compared:
        _show_numbers(compared, audited.unit)
    for stage, gap in audited.gaps.items():
        _show_gap(stage, gap)
    rows = [(sign.sign, clean(sign.where), _SAYS[sign.found], clean(sign.why)) for sign in audited.signs]
    if rows:
        print_table(("sign", "where", "found", "what was seen"), rows)
        show()
    show(f"{audited.run}: {_verdict(audited.signs)}")


def _show_numbers(compared: Compared, unit: str) -> None:
    from honewise.checks.run_numbers import explained

    groups, completions = compared.groups, compared.completions
    show(
        f"{clean(compared.what)}: {clean(compared.before)} ({groups[0]} prompts, {completions[0]} completions) against "
        f"{clean(compared.after)} ({groups[1]} prompts, {completions[1]} completions)"
    )
    if compared.verifiers:
        show(f"what is correct is decided by: {', '.join(compared.verifiers)}; diversity in {unit}")
    rows = [
        (name, number(each.before), number(each.after), number(each.change), _interval(each), explained(name))
        for name, each in compared.numbers.items()
    ]
    print_table(("number", "before", "after", "change", "95 %", "what"), rows)
    reasons: dict[str, list[str]] = {}
    for name, reason in compared.missing.items():
        reasons.setdefault(reason, []).append(name)
    for reason, names in reasons.items():
        show(f"not measured: {', '.join(names)}: {reason}")
    show()


def _show_gap(stage: str, gap: Mapping[str, Any]) -> None:
    relative = "" if gap["relative"] is None else f", {gap['relative']:.1%} of what it is on training tasks"
    show(
        f"generalisation of {stage}: correct {number(gap['training']['correct'])} on training tasks "
        f"({gap['training']['steps']}), {number(gap['held_out']['correct'])} on held-out ones "
        f"({clean(gap['held_out']['evaluation'])}): {number(gap['gap'])} "
        f"[{number(gap['low'])}, {number(gap['high'])}]{relative}"
    )
    show()


def _interval(change: Any) -> str:
    return "" if change.low is None else f"[{number(change.low)}, {number(change.high)}]"


def _verdict(signs: Any) -> str:
    found: list[Sign] = [sign for sign in signs if sign.found]
    looked = sum(sign.found is not None for sign in signs)
    if not looked:
        return "no sign could be looked for"
    if not found:
        return f"none of {looked} signs found" + _open(len(signs) - looked)
    names = ", ".join(f"{sign.sign} ({clean(sign.where)})" for sign in found)
    return f"{len(found)} of {looked} signs found: {names}" + _open(len(signs) - looked)


def _open(count: int) -> str:
    return f"; {count} could not be looked for" if count else ""
