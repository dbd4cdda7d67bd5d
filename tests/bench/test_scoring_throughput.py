"""Scoring against the naive loop: open, run gold, run prediction, compare; no protection, one process.

Groups of 8 completions per task of the public Spider slice, no two of a group equal; every cache of ours is cold (a
new pool each time; how long it takes to start is told beside it). Prints seconds, ratios and how long queries take.
"""

from __future__ import annotations

import json
import random
import resource
import sqlite3
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import tables

from honewise import Task, load_domain
from honewise.scoring import Row, Scorer
from honewise.testing import data_slice

pytestmark = pytest.mark.bench

GROUP = 8
ROUNDS = 15
HEAVY = (
    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {}) "
    "SELECT * FROM ({}) WHERE (SELECT count(*) FROM n) > 0"
)


def group(task: Task, others: Sequence[str], rng: random.Random) -> list[str]:
    """The gold query, up to five of the same database's others, one that cannot run, and changed golds."""
    gold = task.reference["sql"][0].rstrip("; ")
    queries = [
        gold,
        "SELECT nothing FROM nowhere",
        *rng.sample(sorted(set(others) - {gold}), k=min(5, len(set(others)) - 1)),
    ]
    queries += [f"SELECT * FROM ({gold}) LIMIT {limit}" for limit in range(1, GROUP)]
    return list(dict.fromkeys(queries))[:GROUP]


def material(heavy: int) -> list[tuple[Task, str]]:
    """Tasks with their queries. ``heavy``: steps of extra work in every query, gold included; 0 leaves them alone."""
    tasks = load_domain("text-to-sql").tasks(data_slice("text_to_sql/spider")).tasks
    by_database: dict[str, list[str]] = defaultdict(list)
    for task in tasks:
        by_database[task.reference["database"]].append(task.reference["sql"][0].rstrip("; "))
    rng = random.Random(0)
    pairs: list[tuple[Task, str]] = []
    for task in tasks:
        queries = group(task, by_database[task.reference["database"]], rng)
        assert len(set(queries)) == GROUP
        if heavy:
            queries = [HEAVY.format(heavy, query) for query in queries]
            reference = {**task.reference, "sql": [HEAVY.format(heavy, task.reference["sql"][0].rstrip("; "))]}
            task = Task(task.id, task.inputs, reference, meta=task.meta, prompt=task.prompt)
        pairs += [(task, query) for query in queries]
    return pairs


def naive(pairs: Sequence[tuple[Task, str]]) -> list[bool]:
    right = []
    for task, query in pairs:
        connection = sqlite3.connect(task.reference["database"])
        gold = connection.execute(task.reference["sql"][0]).fetchall()
        try:
            rows = connection.execute(query).fetchall()
        except sqlite3.Error:
            right.append(False)
        else:
            right.append(set(rows) == set(gold))
        connection.close()
    return right


def processor() -> float:
    """Seconds of processor time of this process and of those it has ended."""
    every = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in every)


def clocked(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


@pytest.mark.parametrize("heavy", [0, 500], ids=["as published", "slower"])
@pytest.mark.parametrize("rubric", ["execution-only", "reasoning-sql"])
def test_throughput(heavy: int, rubric: str, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = material(heavy)
    rows = [
        Row(task, f"<reasoning>\nso\n</reasoning>\n<answer>\n```sql\n{query}\n```\n</answer>") for task, query in pairs
    ]
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        used = processor()
        right, seconds = clocked(lambda: naive(pairs))
        figures["naive"].append(seconds)
        figures["naive, processor"].append(processor() - used)
        used = processor()
        scorer = Scorer("text-to-sql", rubric=rubric, workers=2)
        _, seconds = clocked(scorer.start)
        figures["start"].append(seconds)
        scored, seconds = clocked(lambda made=scorer: made.score(rows))
        figures["ours"].append(seconds)
        scorer.close()
        figures["ours, processor, with start"].append(processor() - used)
    # The naive loop compares sets of rows; so does this part, whatever decides `correct`.
    assert [bool(row.rewards["execution"].parts["set"]) for row in scored] == right
    times = sorted(cell.seconds for row in scored for cell in [row.rewards["execution"]])
    middle = {name: statistics.median(each) for name, each in figures.items()}
    report = {
        "rubric": rubric,
        "completions": len(rows),
        "steps added to each query": heavy,
        "seconds": {name: round(each, 3) for name, each in middle.items()},
        "times the speed": round(middle["naive"] / middle["ours"], 2),
        "best of the rounds": round(min(figures["naive"]) / min(figures["ours"]), 2),
        "with starting the pool": round(middle["naive"] / (middle["ours"] + middle["start"]), 2),
        "ms per execution, p50 / p95 / max": [round(1e3 * times[int(q * (len(times) - 1))], 2) for q in (0.5, 0.95, 1)],
    }
    tables.add("throughput", f"{rubric}, {'slower queries' if heavy else 'as published'}", report)
    with capsys.disabled():
        print("\n" + json.dumps(report, indent=1))
