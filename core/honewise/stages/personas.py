"""The ``personas`` stage: tasks written as personas would ask, several answers to each, and the best of them kept."""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.clients import CallRecord, judge_numbers
from honewise.contracts import Reader, Task
from honewise.data import JSONL, TaskSet, read_row, readers_of
from honewise.errors import DataError, JudgeError, UnscoredBudgetExceeded, UserError
from honewise.judges import Personas, TemplateJudge, load_personas, template_hash
from honewise.judges.asking import together
from honewise.judges.personas import Persona, row_reader, write_row
from honewise.recipes.personas import PersonasStage
from honewise.recipes.schema import Recipe
from honewise.runs import manifest
from honewise.runs.rows import StoredRollout, to_json
from honewise.runs.run import StageContext
from honewise.scoring import Row
from honewise.scoring.pairs import prompt_key

from .judging import lent
from .pairs import provenance_of
from .workbench import Materials, Workbench

if TYPE_CHECKING:
    from honewise.engine.collecting import Draw

__all__ = ["INSTRUCTIONS_FILE", "TASKS_FILE", "check_personas_stage", "run_personas"]

TASKS_FILE = "tasks.jsonl"
"""The tasks, a line each, in core's own format."""
INSTRUCTIONS_FILE = "instructions.jsonl"
"""The best answer to each of them, with where it comes from."""

_AT_ONCE = 16
"""Tasks asked for between two lines of progress."""

Made = tuple[Persona, dict[str, Any] | None, str]
"""Who, the row that was written, and else why there is none."""


def check_personas_stage(materials: Materials, stage: PersonasStage) -> None:
    """Raise ``UserError`` where the file of personas cannot be read or has none for this stage."""
    _personas(materials.recipe, stage)


def run_personas(bench: Workbench, stage: PersonasStage, ctx: StageContext) -> None:
    """Have tasks written, collect answers, keep the best. What was stored before is not made again; what the judge
    wrote before comes from its cache."""
    from honewise.engine import processes

    personas, path = _personas(bench.recipe, stage), ctx.folder / TASKS_FILE
    asked = math.ceil(stage.count / _AT_ONCE)
    author = stage.of or "the judge"

    def invent() -> None:
        if ctx.place.first and not path.is_file():
            ctx.store.truncate(ctx.stage, 0)
            _Inventing(bench, stage, ctx, personas).write(path)

    with lent(bench.judge, lambda: bench.policy(bench.source_of(ctx.stage))):  # loaded by all of them, or by none
        processes.together(invent)
    processes.wait()
    tasks = _read_back(bench, path)
    rows, steps = _answers(bench, stage, ctx, tasks, asked + 1)
    ctx.store.truncate(ctx.stage, asked + steps)
    provenance = {
        "personas": personas.hash,
        "task": template_hash(row_reader(stage.fields, stage.about)),
        "writer": _judge(bench).client.backend.model,
        "author": author,
        "seed": str(ctx.seed),
        **provenance_of(bench),
    }
    found = _best(rows)
    file = ctx.folder / INSTRUCTIONS_FILE

    def keep() -> None:
        if ctx.place.first:
            manifest.write_whole(file, "".join(_line(group, best, provenance) for group, best in found))

    processes.together(keep)
    ctx.store.write_step(ctx.stage, asked + steps + 1, _numbers(tasks, found))
    bench.note_stage(
        ctx,
        of=author,
        personas=personas.hash,
        tasks=manifest.hash_file(path),
        instructions=len(found),
        sha256=manifest.hash_file(file),
    )
    ctx.progress.note(f"{ctx.stage}: {len(found)} of {len(tasks)} tasks have a best answer of {stage.samples}")


def _personas(recipe: Recipe, stage: PersonasStage) -> Personas:
    given = stage.personas
    found = load_personas(given if isinstance(given, str) else [each.model_dump() for each in given])
    domain = recipe.domain
    assert domain is not None, "of one domain, as the recipe's check has made sure"
    return found.fitting(domain=domain.use, locale=stage.locale)


def _reader(bench: Workbench, stage: PersonasStage) -> Reader:
    host = bench.materials.host
    return readers_of(bench.materials.domain, {name: host.formats.get(name) for name in host.formats})[stage.format]


def _judge(bench: Workbench) -> TemplateJudge:
    judge = bench.judge
    assert isinstance(judge, TemplateJudge)
    return judge


@dataclass
class _Inventing:
    """Tasks, asked for some at a time and read as the data set's rows are."""

    bench: Workbench
    stage: PersonasStage
    ctx: StageContext
    personas: Personas
    tasks: list[Task] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    """Why the judge wrote nothing that could be read."""
    dropped: Counter[str] = field(default_factory=Counter)
    """What became of rows that are no new task."""
    why: str = ""
    """What was wrong with one that the domain could not read."""

    def write(self, path: Path) -> None:
        """All of them, and the file."""
        bench, stage, ctx = self.bench, self.stage, self.ctx
        held_out, known = _prompts(bench.materials.held_out), _prompts(bench.materials.train)
        turns, judge = self.personas.turns(stage.count, seed=ctx.seed), _judge(bench)
        ctx.progress.start(f"{ctx.stage}: tasks", len(turns))
        for number, start in enumerate(range(0, len(turns), _AT_ONCE), 1):
            part = turns[start : start + _AT_ONCE]
            try:
                made = asyncio.run(_invented(judge, stage, part))
            except BaseException:
                ctx.store.write_calls(ctx.stage, number, judge.take_calls())  # paid for, whatever came of them
                raise
            before = len(self.tasks)
            for persona, row, why in made:
                self._take(persona, row, why, held_out, known)
            self._store(number, len(part), len(self.tasks) - before, judge.take_calls())
            ctx.progress.advance(len(part))
        ctx.progress.done()
        self._enough()
        manifest.write_whole(path, "".join(_task_line(task) for task in self.tasks))

    def _take(
        self, persona: Persona, row: Mapping[str, Any] | None, why: str, held_out: set[str], known: set[str]
    ) -> None:
        if row is None:
            self.failures[why] += 1
            return
        bench, ctx = self.bench, self.ctx
        whole = _nested({**self.stage.given, **row})
        try:
            task = read_row(bench.materials.domain, _reader(bench, self.stage), whole, "", ctx.stage)
        except DataError as error:
            self.dropped["unreadable"] += 1
            self.why = self.why or str(error)
            return
        key = prompt_key(task.prompt)
        if key in held_out or key in known:
            self.dropped["held-out" if key in held_out else "repeated"] += 1
            return
        known.add(key)
        meta = {**task.meta, "persona": persona.id}
        self.tasks.append(replace(task, id=f"{ctx.stage}-{len(self.tasks)}", meta=meta))

    def _store(self, number: int, asked: int, kept: int, calls: Sequence[CallRecord]) -> None:
        numbers = {"tasks/asked": float(asked), "tasks/kept": float(kept), **judge_numbers(calls)}
        self.ctx.store.write_step(self.ctx.stage, number, numbers, (), calls)

    def _enough(self) -> None:
        """Say what became of the rest. Raises where too much failed, and where nothing is left."""
        count, failed = self.stage.count, self.failures.total()
        if failed == count or failed > self.bench.recipe.rubric.max_unscored * count:
            told = "\n".join(f"  {times}: {why}" for why, times in self.failures.most_common(5))
            raise UnscoredBudgetExceeded(
                f"{failed} of {count} tasks could not be had of the judge, more than rubric.max_unscored"
                f" allows:\n{told}"
            )
        rest = {"not written": failed, **self.dropped}
        told = ", ".join(f"{times} {why}" for why, times in rest.items() if times)
        example = f"; the first that the domain could not read: {self.why}" if self.why else ""
        if not self.tasks:
            raise UserError(f"no task came out of {count} ({told}){example}; see fields, given and format")
        self.ctx.progress.note(
            f"{self.ctx.stage}: {len(self.tasks)} tasks of {len(self.personas.personas)} personas"
            + (f"; {told}{example}" if told else "")
        )


async def _invented(judge: TemplateJudge, stage: PersonasStage, part: Sequence[tuple[Persona, int]]) -> list[Made]:
    template = row_reader(stage.fields, stage.about)
    asked = [write_row(judge, template, persona, turn=turn, temperature=stage.invention) for persona, turn in part]
    try:
        found = await together(*asked)  # what is under way when the budget ends is paid for, and waited for
    finally:
        await judge.aclose()
    return [
        (persona, None, str(each)) if isinstance(each, JudgeError) else (persona, each, "")
        for (persona, _), each in zip(part, found, strict=True)
    ]


def _answers(
    bench: Workbench, stage: PersonasStage, ctx: StageContext, tasks: Sequence[Task], first_step: int
) -> tuple[list[StoredRollout], int]:
    """The answers with their scores, and how many steps of the store they take."""
    from honewise.engine.collecting import Draw, chunks_of, collect, fitting, score_chunks

    limit = bench.recipe.rubric.max_unscored
    longest = stage.max_new_tokens or bench.completion_length(ctx.stage)
    draw = Draw(stage.samples, stage.temperature, 1.0, longest, stage.sampled_at_once, ctx.seed)
    ctx.progress.start(f"{ctx.stage}: answers", len(tasks) * stage.samples)
    try:
        if stage.of is not None:
            policy = bench.policy(stage.of)
            kept = fitting(ctx, policy, tasks, longest)
            with lent(bench.judge, policy):
                rows = collect(ctx, policy, kept, bench.scorer, draw, first_step=first_step, max_unscored=limit)
            return rows, chunks_of(len(kept), draw)
        with lent(bench.judge, lambda: bench.policy(bench.source_of(ctx.stage))):
            makers = _makers(bench, stage, ctx, tasks, draw)
            rows = score_chunks(ctx, makers, bench.scorer, first_step=first_step, max_unscored=limit)
        return rows, chunks_of(len(tasks), draw)
    finally:
        ctx.progress.done()


def _makers(
    bench: Workbench, stage: PersonasStage, ctx: StageContext, tasks: Sequence[Task], draw: Draw
) -> list[Callable[[], tuple[list[Row], list[str]]]]:
    """For each chunk of tasks, what asks the judge for this process's share of the answers."""
    size = max(1, draw.at_once // draw.samples)

    def make(part: Sequence[Task]) -> tuple[list[Row], list[str]]:
        mine = range(ctx.place.rank, len(part), ctx.place.count)
        rows, failures = asyncio.run(_answered(_judge(bench), stage, [(group, part[group]) for group in mine]))
        failed, asked = failures.total(), len(mine) * stage.samples
        if failed and (failed == asked or failed > bench.recipe.rubric.max_unscored * asked):
            told = "\n".join(f"  {times}: {why}" for why, times in failures.most_common(5))
            raise UnscoredBudgetExceeded(
                f"{failed} of {asked} answers could not be had of the judge, more than rubric.max_unscored"
                f" allows:\n{told}"
            )
        return rows, [""] * len(part)

    parts = [tasks[start : start + size] for start in range(0, len(tasks), size)]
    return [lambda part=part: make(part) for part in parts]  # type: ignore[misc]


async def _answered(
    judge: TemplateJudge, stage: PersonasStage, tasks: Sequence[tuple[int, Task]]
) -> tuple[list[Row], Counter[str]]:
    """The answers, and why others could not be had."""

    async def one(group: int, task: Task, sample: int) -> Row:
        request = replace(
            judge.base, messages=task.prompt, template="answer", temperature=stage.temperature, sample=sample,
            max_tokens=stage.max_new_tokens or judge.base.max_tokens,
        )  # fmt: skip
        reply, record = await judge.client.complete(request)
        record.verdict = 1.0  # any text is an answer, and read
        return Row(task, reply.text, reply.tokens, reply.truncated, group)

    try:
        found = await together(*(one(group, task, k) for group, task in tasks for k in range(stage.samples)))
    finally:
        await judge.aclose()
    return [row for row in found if isinstance(row, Row)], Counter(
        str(why) for why in found if not isinstance(why, Row)
    )


def _read_back(bench: Workbench, path: Path) -> list[Task]:
    """The tasks of the file, as every process and every resume has them."""
    domain = bench.materials.domain
    return [replace(task, prompt=tuple(domain.prompt(task))) for task in JSONL.read(path)]


def _task_line(task: Task) -> str:
    whole = {"id": task.id, "inputs": task.inputs, "reference": task.reference, "images": list(task.images),
             "meta": task.meta}  # fmt: skip
    return json.dumps(json.loads(to_json(whole)), ensure_ascii=True) + "\n"


def _best(rows: Iterable[StoredRollout]) -> list[tuple[list[StoredRollout], StoredRollout]]:
    """The answers to each task, and the best of those that are scored and whole: of equal ones the first."""
    groups: dict[str, list[StoredRollout]] = {}
    for row in rows:
        groups.setdefault(row.scored.task.id, []).append(row)
    found = []
    for group in groups.values():
        usable = [row for row in group if row.scored.total is not None and not row.scored.completion.truncated]
        if usable:
            found.append((group, max(usable, key=lambda row: row.scored.total or 0.0)))
    return found


def _line(group: Sequence[StoredRollout], best: StoredRollout, provenance: Mapping[str, Any]) -> str:
    task, scored = best.scored.task, best.scored
    row = {
        "task_id": task.id,
        "prompt": [dict(message) for message in task.prompt],
        "completion": scored.completion.text,
        "total": scored.total,
        "rewards": {name: cell.value for name, cell in scored.rewards.items()},
        "totals": [each.scored.total for each in group],
        "persona": task.meta["persona"],
        "provenance": dict(provenance),
    }
    return json.dumps(json.loads(to_json(row)), ensure_ascii=True) + "\n"


def _numbers(tasks: Sequence[Task], found: Sequence[tuple[Sequence[StoredRollout], StoredRollout]]) -> dict[str, float]:
    """How the best compare with all answers, in reward and in length."""
    numbers = {"tasks": float(len(tasks)), "instructions": float(len(found))}
    if found:
        totals = [each.scored.total for group, _ in found for each in group if each.scored.total is not None]
        numbers["reward/all"] = math.fsum(totals) / len(totals)
        numbers["reward/best"] = math.fsum(best.scored.total or 0.0 for _, best in found) / len(found)
        texts = [len(each.scored.completion.text) for group, _ in found for each in group]
        numbers["characters/all"] = sum(texts) / len(texts)
        numbers["characters/best"] = sum(len(best.scored.completion.text) for _, best in found) / len(found)
    return numbers


def _prompts(tasks: TaskSet) -> set[str]:
    return {prompt_key(task.prompt) for task in tasks}


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """``a.b`` as the key ``b`` inside ``a``."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        *outer, last = name.split(".")
        at = found
        for key in outer:
            at = at.setdefault(key, {})
        at[last] = value
    return found
