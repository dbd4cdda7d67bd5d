"""The ``revise`` stage: a policy's answers, critiqued and rewritten by principles, kept as ``revisions.jsonl``."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from honewise.clients import CallRecord, judge_numbers
from honewise.errors import JudgeError, RunError, UnscoredBudgetExceeded, UserError
from honewise.judges import Constitution, Revision, TemplateJudge, load_constitution, revisions
from honewise.judges.asking import together
from honewise.recipes.revising import ReviseStage
from honewise.recipes.schema import Recipe
from honewise.runs import manifest
from honewise.runs.rows import StoredRollout
from honewise.runs.run import StageContext

from .judging import lent
from .workbench import Materials, Workbench, rl_tasks

__all__ = ["REVISIONS_FILE", "check_revise_stage", "revised", "run_revise"]

REVISIONS_FILE = "revisions.jsonl"

_AT_ONCE = 16
"""Answers that are rewritten between two lines of progress."""

Found = tuple[list[dict[str, Any]], str]
"""The rounds of one answer, and why there are no more, or nothing."""


def check_revise_stage(materials: Materials, stage: ReviseStage) -> None:
    """Raise ``UserError`` where the constitution cannot be read or has no principle for this stage."""
    _principles(materials.recipe, stage)


def run_revise(bench: Workbench, stage: ReviseStage, ctx: StageContext) -> None:
    """Sample, critique, rewrite, keep. What was sampled before is not sampled again; what the judge wrote before comes
    from its cache."""
    from honewise.engine import processes

    constitution = _principles(bench.recipe, stage)
    rows, sampled = _answers(bench, stage, ctx)
    path = ctx.folder / REVISIONS_FILE
    author = stage.of or bench.source_of(ctx.stage)

    def rewrite() -> None:
        if ctx.place.first:
            _rewrite(bench, stage, ctx, constitution, rows, sampled, path)

    with lent(bench.judge, lambda: bench.policy(author)):  # loaded by all of them, or by none
        processes.together(rewrite)
    processes.wait()
    bench.note_stage(ctx, of=author, constitution=constitution.hash, sha256=manifest.hash_file(path))


def revised(bench: Workbench, stage: str) -> list[tuple[str, str]]:
    """What a finished stage leaves to be learnt: task ids with texts."""
    path = bench.run.stage_folder(stage) / REVISIONS_FILE
    if not path.is_file():
        raise RunError(f"{bench.run.path}: stage {stage!r} has written no revisions")
    spec = bench.recipe.stages[stage]
    assert isinstance(spec, ReviseStage)
    found: dict[tuple[str, str], list[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found.setdefault((row["task_id"], row["answer"]), []).append(row["revision"])
    return [
        (task_id, text)
        for (task_id, _), texts in found.items()
        for text in (texts if spec.targets == "all" else texts[-1:])
    ]


def _principles(recipe: Recipe, stage: ReviseStage) -> Constitution:
    domain = recipe.works[""].use
    return load_constitution(stage.constitution).fitting(use="critique", domain=domain, locale=stage.locale)


def _answers(bench: Workbench, stage: ReviseStage, ctx: StageContext) -> tuple[list[StoredRollout], int]:
    """First answers, and how many steps of the store they took; those that were cut off are left out."""
    from honewise.engine.collecting import Draw, chunks_of, collect, fitting

    from .written import Unjudged

    policy = bench.policy(stage.of or bench.source_of(ctx.stage))
    longest = stage.max_new_tokens or bench.completion_length(ctx.stage)
    draw = Draw(stage.samples, stage.temperature, max_new_tokens=longest, seed=ctx.seed)
    tasks = fitting(ctx, policy, rl_tasks(bench.materials)[: stage.limit], longest)
    ctx.progress.start(f"{ctx.stage}: answers", len(tasks) * stage.samples)
    rows = collect(ctx, policy, tasks, Unjudged(), draw)
    ctx.progress.done()
    whole = [row for row in rows if not row.scored.completion.truncated and row.scored.completion.text.strip()]
    if not whole:
        raise UserError(f"all {len(rows)} answers were empty or cut off at {longest} tokens; see max_new_tokens")
    return whole, chunks_of(len(tasks), draw)


def _rewrite(
    bench: Workbench,
    stage: ReviseStage,
    ctx: StageContext,
    constitution: Constitution,
    rows: Sequence[StoredRollout],
    sampled: int,
    path: Path,
) -> None:
    judge = bench.judge
    assert isinstance(judge, TemplateJudge)
    ctx.store.truncate(ctx.stage, sampled)
    ctx.progress.start(f"{ctx.stage}: revisions", len(rows) * stage.rounds)
    lines: list[dict[str, Any]] = []
    reasons: Counter[str] = Counter()
    for number, start in enumerate(range(0, len(rows), _AT_ONCE), sampled + 1):
        part = rows[start : start + _AT_ONCE]
        try:
            found = asyncio.run(_all(judge, stage, ctx, constitution, part))
        except BaseException:
            ctx.store.write_calls(ctx.stage, number, judge.take_calls())  # paid for, whatever came of them
            raise
        lines += [line for made, _ in found for line in made]
        reasons.update(why for _, why in found if why)
        _store(ctx, number, found, judge.take_calls())
        ctx.progress.advance(len(part) * stage.rounds)
    ctx.progress.done()
    _enough(rows, reasons, bench.recipe.rubric.max_unscored)
    manifest.write_whole(path, "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines))
    ctx.progress.note(f"{ctx.stage}: {len(lines)} revisions of {len(rows)} answers")


async def _all(
    judge: TemplateJudge,
    stage: ReviseStage,
    ctx: StageContext,
    constitution: Constitution,
    rows: Sequence[StoredRollout],
) -> list[Found]:
    async def one(row: StoredRollout) -> Found:
        made: list[dict[str, Any]] = []
        text = "\n\n".join(str(message["content"]) for message in row.scored.task.prompt)
        try:
            async for each in revisions(
                judge, constitution, text, row.scored.completion.text, rounds=stage.rounds, seed=ctx.seed,
                key=row.scored.task.id, first=stage.of or "the last policy",
            ):  # fmt: skip
                made.append(_line(row, each))  # noqa: PERF401 - what there is before a failure counts
        except JudgeError as error:
            return made, str(error)
        return made, ""

    try:
        found = await together(*map(one, rows))  # what is under way when the budget ends is paid for, and waited for
        return [each for each in found if not isinstance(each, JudgeError)]
    finally:
        await judge.aclose()


def _line(row: StoredRollout, revision: Revision) -> dict[str, Any]:
    return {"task_id": row.scored.task.id, **revision.to_json()}


def _store(ctx: StageContext, number: int, found: Sequence[Found], calls: Sequence[CallRecord]) -> None:
    numbers = {
        "revisions": float(sum(len(made) for made, _ in found)),
        "unscored": sum(bool(why) for _, why in found) / len(found),
        **judge_numbers(calls),
    }
    ctx.store.write_step(ctx.stage, number, numbers, (), calls)


def _enough(rows: Sequence[StoredRollout], reasons: Counter[str], most: float) -> None:
    failed = reasons.total()
    if failed > most * len(rows) or failed == len(rows):
        told = "\n".join(f"  {count}: {why}" for why, count in reasons.most_common(5))
        raise UnscoredBudgetExceeded(
            f"{failed} of {len(rows)} answers could not be rewritten to the end, more than rubric.max_unscored"
            f" ({most:g}) allows:\n{told}"
        )
