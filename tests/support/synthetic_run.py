"""A finished run made by hand: two training steps, two evaluations, hostile and right-to-left text."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from honewise import Cell, Completion, Score, Scored, Span, Task
from honewise.recipes.load import load_recipe
from honewise.runs.rows import RolloutRow
from honewise.runs.run import Run

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\"><!-- & \u2028\u2029 {{ 7 * 7 }}"
RIGHT_TO_LEFT = "התשובה היא שבע 👩‍🔬 ثمانية"

RECIPE = """
honewise: 1
name: made-by-hand
domain: {use: arithmetic}
data: {train: {samples: train}, held_out: {samples: held-out}}
policy: {tiny: {layers: 2, width: 48}}
rubric: {preset: partial}
stages:
  sft: {demonstrations: 4, steps: 2, batch: 2}
  rl: {steps: 2, prompts: 2, samples: 2}
  evaluate: {of: [sft, rl], samples: 2, temperature: 1.0}
"""


def cell(
    value: float | None,
    weight: float = 1.0,
    *,
    spans: Sequence[Span] = (),
    unscored: str | None = None,
    gated: bool = False,
    correct: bool | None = None,
    feedback: str = "",
    seconds: float = 0.0,
) -> Cell:
    terminal = 0.0 if value is None else value - sum(span.value for span in spans)
    return Cell(value, weight, unscored, gated, terminal, tuple(spans), correct, {}, feedback, seconds)


def scored(
    text: str, rewards: Mapping[str, Cell], *, task: str = "t", correct: bool | None = None, tokens: int = 5
) -> Scored:
    values = [c.value * c.weight for c in rewards.values() if c.value is not None]
    total = sum(values) if len(values) == len(rewards) else None
    return Scored(Task(task, {}, {"answer": 7}), Completion(text, tokens=tokens), rewards, total, correct)


def make_run(folder: Path, *, recipe: str = RECIPE) -> Run:
    """An empty run below ``folder``."""
    return Run.create(load_recipe("made.yaml", text=recipe + f"runs_dir: {folder}\n"))


def fill(run: Run) -> Run:
    """Two steps of ``rl``, with completions, and an evaluation of ``sft`` and ``rl``."""
    store = run.store
    store.start_stage("sft", "sft", 0)
    for step in (1, 2):
        store.write_step("sft", step, {"loss": 4.0 / step, "grad_norm": 1.0})
    store.set_stage("sft", "done", seconds=3.0)
    store.start_stage("rl", "rl", 1)
    store.write_step("rl", 1, {"kl": 0.0, "loss": 0.5, "clip_ratio/region_mean": 0.0}, _first_step())
    store.write_step("rl", 2, {"kl": 0.25, "loss": 0.25, "clip_ratio/region_mean": 0.5}, _second_step())
    store.set_stage("rl", "done", seconds=5.0)
    store.start_stage("evaluate", "evaluate", 2)
    for of, right in (("sft", (0, 0, 1, 0)), ("rl", (1, 1, 1, 0))):
        rows = [
            RolloutRow(
                scored("x", {"execution": cell(float(r), 3.0, correct=bool(r))}, task=str(i), correct=bool(r)), "Q", i
            )
            for i, r in enumerate(right)
        ]
        share = sum(right) / 4
        settings = {"temperature": 0.0, "samples": 1, "tasks": 4, "control": False, "scored": 4, "completions": 4}
        metrics = {"correct": share, "total": 3 * share, "reward/execution": share, "tokens": 5.0, "metric/EX": share}
        store.write_eval("evaluate", f"{of} greedy", of, settings, rows, metrics)
    store.write_comparison(
        "evaluate", "rl greedy", "sft greedy", "correct", difference=0.5, low=0.25, high=0.75, tasks=4
    )
    store.set_stage("evaluate", "done", seconds=1.0)
    run.finish()
    return run


def _first_step() -> list[RolloutRow]:
    tags = [Span(0, 4, 0.5, "SELECT"), Span(2, 6, 0.25, "overlap"), Span(6, 8, -0.5, HOSTILE)]
    return [
        RolloutRow(
            scored(
                HOSTILE,
                {
                    "execution": cell(0.0, 3.0, correct=False, feedback=HOSTILE, seconds=0.002),
                    "linking": cell(0.25, spans=tags, seconds=0.001),
                },
                task=HOSTILE,
                correct=False,
            ),
            HOSTILE,
            0,
            0,
            -0.5,
            [(0, 2, 0.5), (6, 8, -0.25)],
        ),
        RolloutRow(
            scored(
                RIGHT_TO_LEFT,
                {
                    "execution": cell(1.0, 3.0, correct=True, seconds=0.004),
                    "linking": cell(1.0, spans=[Span(15, 18, 1.0, "scientist")], seconds=0.003),
                },
                correct=True,
            ),
            "שאלה",
            0,
            1,
            0.5,
        ),
        RolloutRow(
            scored("", {"execution": cell(0.0, 3.0, correct=False), "linking": cell(0.0, gated=True)}, tokens=0),
            "Q",
            1,
            0,
        ),
        RolloutRow(
            scored(
                "SELECT 1",
                {
                    "execution": cell(None, 3.0, unscored=f"timeout {HOSTILE}", seconds=5.0),
                    "linking": cell(0.5, spans=[Span(0, 6, 0.5)], seconds=0.005),
                },
            ),
            "Q",
            1,
            1,
        ),
    ]


def _second_step() -> list[RolloutRow]:
    return [
        RolloutRow(
            scored(
                f"SELECT {n}",
                {"execution": cell(1.0, 3.0, correct=True, seconds=0.002), "linking": cell(n / 2, seconds=0.001)},
                correct=True,
            ),
            "Q",
            n // 2,
            n % 2,
            0.1,
        )
        for n in range(4)
    ]


def fill_large(run: Run, steps: int, rows: int, length: int = 240) -> Run:
    """``steps`` x ``rows`` completions of about ``length`` characters, with seven rewards and many spans."""
    chance = random.Random(0)
    query = "SELECT name COUNT(*) FROM singer JOIN concert ON id WHERE year > 2014 ORDER BY age LIMIT 3 <answer>"
    words = query.split()
    names = ("execution", "syntax", "schema_linking", "ngram", "format", "length", "judge")
    store = run.store
    store.start_stage("rl", "rl", 0)
    for step in range(1, steps + 1):
        made = []
        for index in range(rows):
            text = " ".join(chance.choices(words, k=length // 6))
            rewards = {}
            for name in names:
                starts = sorted(chance.sample(range(len(text) - 12), 6))
                spans = [Span(s, s + chance.randint(2, 12), chance.choice([0.1, 0.2, -0.1]), "token") for s in starts]
                value = sum(span.value for span in spans)
                gone = "the judge gave no verdict" if name == "judge" and chance.random() < 0.1 else None
                rewards[name] = cell(
                    None if gone else value + step / steps * chance.random(), 1.5, spans=spans, unscored=gone,
                    seconds=chance.expovariate(300),
                )  # fmt: skip
            right = chance.random() < 0.2 + 0.6 * step / steps
            one = scored(text, rewards, task=f"task-{chance.randint(0, 400)}", correct=right, tokens=length // 3)
            made.append(RolloutRow(one, f"Which singers? {index // 8}" * 12, index // 8, index % 8, chance.gauss(0, 1)))
        store.write_step("rl", step, {"kl": 0.02 * step**0.5, "loss": 1 / step}, made)
    store.set_stage("rl", "done")
    run.finish()
    return run


__all__ = ["HOSTILE", "RECIPE", "RIGHT_TO_LEFT", "Score", "cell", "fill", "fill_large", "make_run", "scored"]
