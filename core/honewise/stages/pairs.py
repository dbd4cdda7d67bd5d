"""The ``pairs`` stage: completions from policies, earlier stages and files, compared and kept as preference pairs."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.contracts import Task
from honewise.errors import RunError, UserError, near
from honewise.recipes.preference import Drawing, PairsStage, Rules, SourceSpec
from honewise.runs import manifest
from honewise.runs.run import StageContext
from honewise.scoring.pairs import Candidate, Found, Pair, PairRule, candidate, make_pairs, prompt_key
from honewise.scoring.preferences import Preferences, read_pairs, read_preferences, write_pairs

from .judging import lent
from .workbench import Materials, Workbench, rl_tasks, template_hashes

if TYPE_CHECKING:
    from honewise.engine.collecting import Draw

__all__ = ["PAIRS_FILE", "check_pairs_stage", "draw_of", "pairs_of", "provenance_of", "rule_of", "run_pairs"]

PAIRS_FILE = "pairs.jsonl"

_GIVEN = {
    "given/tie": "they are ties",
    "given/margin": "their scores differ by less than the margin",
    "given/length": "their lengths are too unlike",
}
"""Why a pair that a file holds is left out."""


def check_pairs_stage(materials: Materials, stage: PairsStage) -> None:
    """Raise ``UserError`` where a file cannot be read, or no reward is called as ``by`` and ``safe`` say."""
    for name, source in stage.sources.items():
        if source.file is not None:
            read_preferences(source.file, materials.train, rule_of(stage), source=name)


def run_pairs(bench: Workbench, stage: PairsStage, ctx: StageContext) -> None:
    """Collect, compare, and keep ``pairs.jsonl`` with its counts. What was sampled before is not sampled again."""
    from honewise.engine import processes

    rule, found = rule_of(stage), Found()
    sources = dict(stage.sources) or {"policy": SourceSpec(policy=bench.source_of(ctx.stage))}
    asked = sum(source.policy is not None for source in sources.values())
    tasks = rl_tasks(bench.materials)[: stage.limit] if asked else []
    ctx.progress.start(ctx.stage, total=len(tasks) * stage.samples * asked or None)
    step = 1
    try:
        for name, source in sources.items():
            step = _add(bench, stage, ctx, name, source, rule, tasks, step, found)
    finally:
        ctx.progress.done()
    _weigh(found, stage.weights, ctx)
    _different(found)
    if not found.pairs:
        raise UserError(f"no pair came out. {_why(found) or 'there were no completions'}")
    _say_held_out(bench, ctx, found.pairs)
    path = ctx.folder / PAIRS_FILE
    if ctx.place.first:
        write_pairs(path, found.pairs)
    processes.wait()
    ctx.store.truncate(ctx.stage, step - 1)
    ctx.store.write_step(ctx.stage, step, _numbers(found))
    bench.note_stage(ctx, pairs=len(found.pairs), sha256=manifest.hash_file(path))
    ctx.progress.note(f"{ctx.stage}: {len(found.pairs)} pairs. {_why(found)}".rstrip(". ") + ".")


def pairs_of(bench: Workbench, stage: str, named: str | Sequence[str] | None) -> list[Pair]:
    """The pairs that a ``dpo`` or ``reward-model`` stage learns from: of stages, of files, or of the last stage."""
    if named is None:
        before = [name for name in bench.before(stage) if isinstance(bench.recipe.stages[name], PairsStage)]
        named = before[-1:]
    pairs: list[Pair] = []
    for one in [named] if isinstance(named, str) else named:
        inside = isinstance(bench.recipe.stages.get(one), PairsStage)
        path = bench.run.stage_folder(one) / PAIRS_FILE if inside else Path(one)
        if inside and not path.is_file():
            raise RunError(f"{bench.run.path}: stage {one!r} has written no pairs")
        found = read_pairs(path, bench.materials.train)
        pairs += found if inside else [replace(pair, source=pair.source or path.stem) for pair in found]
    return pairs


def rule_of(stage: Rules) -> PairRule:
    """The rule that a stage's keys describe."""
    names = ("rule", "by", "margin", "ties", "length_ratio", "length_penalty", "per_task", "safe")
    return PairRule(**{name: getattr(stage, name) for name in names})


def draw_of(bench: Workbench, stage: Drawing, ctx: StageContext) -> Draw:
    """How completions are sampled for pairs."""
    from honewise.engine.collecting import Draw

    longest = stage.max_new_tokens or bench.completion_length(ctx.stage)
    return Draw(stage.samples, stage.temperature, stage.top_p, longest, stage.sampled_at_once, ctx.seed)


def provenance_of(bench: Workbench) -> dict[str, Any]:
    """What a scored pair says of its judges: the hashes of their templates, where the rubric asks one."""
    materials = bench.materials
    judged = any(
        reward.cost == "judge" and reward.name in bench.scorer.rubric.terms for reward in materials.domain.rewards
    )
    if not judged:
        return {}
    return {"templates": template_hashes(materials)}


def _add(
    bench: Workbench,
    stage: PairsStage,
    ctx: StageContext,
    name: str,
    source: SourceSpec,
    rule: PairRule,
    tasks: Sequence[Task],
    step: int,
    found: Found,
) -> int:
    """Add the pairs of one source; returns the step after its chunks."""
    seed, limit = ctx.seed, bench.recipe.rubric.max_unscored
    if source.policy is not None:
        from honewise.engine.collecting import chunks_of, collect, fitting

        policy, draw = bench.policy(source.policy), replace(draw_of(bench, stage, ctx), seed=_mix(seed, name))
        kept = fitting(ctx, policy, tasks, draw.max_new_tokens)
        with lent(bench.judge, policy):
            rows = collect(ctx, policy, kept, bench.scorer, draw, first_step=step, max_unscored=limit)
        facts = {**provenance_of(bench), "policy": source.policy}
        made = (candidate(row.scored, rule) for row in rows)
        found.add(make_pairs(made, rule, seed=seed, source=name, provenance=facts))
        return step + chunks_of(len(kept), draw)
    if source.stage is not None:
        stored = [candidate(row.scored, rule) for row in ctx.store.rollouts(source.stage)]
        facts = {**provenance_of(bench), "stage": source.stage}
        found.add(make_pairs(stored, rule, seed=seed, source=name, provenance=facts))
        return step
    assert source.file is not None
    read = read_preferences(source.file, bench.materials.train, rule, source=name)
    for pair in read.pairs:
        reason = _unfit(pair, rule)
        found.counts["given"] += 1
        if reason:
            found.counts[reason] += 1
        else:
            found.pairs.append(pair)
    return _add_completions(bench, stage, ctx, read, rule, step, found)


def _add_completions(
    bench: Workbench, stage: PairsStage, ctx: StageContext, read: Preferences, rule: PairRule, step: int, found: Found
) -> int:
    """Pairs of a file's completions: those that bring their score along, and those that are scored here."""
    groups: dict[tuple[str, float], list[Candidate]] = {}
    for made, source, weight in read.scored:
        groups.setdefault((source, weight), []).append(made)
    if read.open:
        from honewise.engine.collecting import numbered, score_chunks

        size = stage.sampled_at_once
        parts = [read.open[start : start + size] for start in range(0, len(read.open), size)]
        makers = [lambda part=part: numbered([row for row, _, _ in part], ctx.place) for part in parts]
        limit = bench.recipe.rubric.max_unscored
        with lent(bench.judge, lambda: bench.policy(bench.source_of(ctx.stage))):
            rows = score_chunks(ctx, makers, bench.scorer, first_step=step, max_unscored=limit)
        for row, (_, source, weight) in zip(rows, read.open, strict=True):
            groups.setdefault((source, weight), []).append(candidate(row.scored, rule))
        step += len(parts)
    for (source, weight), candidates in groups.items():
        facts = provenance_of(bench) if read.open else {}
        found.add(make_pairs(candidates, rule, seed=ctx.seed, source=source, weight=weight, provenance=facts))
    return step


def _unfit(pair: Pair, rule: PairRule) -> str:
    """Why a pair of a file is left out, or nothing."""
    if rule.ties == "skip" and (pair.prob == 0.5 or (pair.margin == 0 and pair.prob is None)):
        return "given/tie"
    if pair.margin is not None and 0 <= pair.margin < rule.margin:
        return "given/margin"
    lengths = sorted((len(pair.chosen), len(pair.rejected)))
    if rule.length_ratio is not None and lengths[1] > rule.length_ratio * lengths[0]:
        return "given/length"
    return ""


def _weigh(found: Found, weights: Mapping[str, float], ctx: StageContext) -> None:
    """Multiply each pair's weight by that of its source; a weight that nothing has is said."""
    sources = {pair.source for pair in found.pairs}
    for name in weights:
        if name not in sources:
            ctx.progress.note(f"{ctx.stage}: no pair has the source {name!r}{near(name, sources)}")
    found.pairs = [replace(pair, weight=pair.weight * weights.get(pair.source, 1.0)) for pair in found.pairs]


def _different(found: Found) -> None:
    """Drop pairs that stand there already."""
    seen: dict[tuple[str, str, str], Pair] = {}
    for pair in found.pairs:
        seen.setdefault((prompt_key(pair.prompt), pair.chosen, pair.rejected), pair)
    found.counts["pairs/duplicate"] = len(found.pairs) - len(seen)
    found.pairs = list(seen.values())


def _why(found: Found) -> str:
    """What gave no pair, counted by reason."""
    told = [found.why()]
    given = found.counts["given"]
    told += [
        f"{found.counts[key]} of {given} given pairs: {words}" for key, words in _GIVEN.items() if found.counts[key]
    ]
    counts = {"completions/unscored": "unscored", "completions/duplicate": "the same as another"}
    whole = found.counts["completions"]
    told += [
        f"{found.counts[key]} of {whole} completions: {words}" for key, words in counts.items() if found.counts[key]
    ]
    return "; ".join(each for each in told if each)


def _numbers(found: Found) -> dict[str, float]:
    numbers: Counter[str] = Counter({f"pairs/{name}": count for name, count in _by_source(found.pairs).items()})
    margins = [pair.margin for pair in found.pairs if pair.margin is not None]
    extra = {"margin/mean": sum(margins) / len(margins)} if margins else {}
    longer = sum(len(pair.chosen) > len(pair.rejected) for pair in found.pairs)
    return {
        "pairs": float(len(found.pairs)),
        **{name: float(count) for name, count in numbers.items()},
        **{name: float(count) for name, count in found.counts.items()},
        "chosen_longer": longer / len(found.pairs),
        **extra,
    }


def _by_source(pairs: Iterable[Pair]) -> Counter[str]:
    return Counter(pair.source for pair in pairs)


def _say_held_out(bench: Workbench, ctx: StageContext, pairs: Sequence[Pair]) -> None:
    """Say how many pairs are of held-out prompts: what learns from them cannot be measured there."""
    held_out = {prompt_key(task.prompt) for task in bench.materials.held_out}
    count = sum(prompt_key(pair.prompt) in held_out for pair in pairs)
    if count:
        ctx.progress.note(
            f"{ctx.stage}: {count} of {len(pairs)} pairs are of held-out prompts; what learns from them cannot be"
            " measured on those"
        )


def _mix(seed: int, name: str) -> int:
    """A seed of its own for each source."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big")
