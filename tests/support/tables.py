"""Tables of the README, made from what the benchmarks measured.

``python tests/support/tables.py`` writes them between their markers; a test holds that the README agrees.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "tests" / "bench" / "results"


def write(name: str, measured: Mapping[str, Any]) -> None:
    """Keep what a benchmark measured, with the versions and the processor it ran on."""
    import torch

    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    kept = {**measured, "machine": {**machine, "torch": torch.__version__}}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n")


def add(name: str, row: str, measured: Mapping[str, Any]) -> None:
    """Keep one row of a result that is measured in parts; the others stay."""
    kept = read(name)["rows"] if (RESULTS / f"{name}.json").exists() else {}
    write(name, {"rows": {**kept, row: measured}})


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return found


def means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean accuracy of each setting over the seeds."""
    names = list(rows[0]["correct"])
    return {name: math.fsum(row["correct"][name] for row in rows) / len(rows) for name in names}


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join(lines)


def _points(change: Mapping[str, float]) -> str:
    return f"{100 * change['difference']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]"


def claim(name: str) -> str:
    """Held-out accuracy before and after, with the controls, for each seed."""
    found = read(name)
    rows, last = found["rows"], found.get("last", "rl")
    mean = means(rows)
    body = [
        [each, *(f"{100 * row['correct'][each]:.1f}" for row in rows), f"**{100 * mean[each]:.1f}**"] for each in mean
    ]
    what = "execution accuracy" if found["recipe"].startswith("text-to-sql/") else "accuracy"
    head = [f"held-out {what}, %", *(f"seed {row['seed']}" for row in rows), "mean"]
    pairs = dict.fromkeys((c["one"], c["other"]) for row in rows for c in row["comparisons"])
    changes = []
    for one, other in pairs:
        if not one.startswith(f"{last} "):
            continue
        each = [c for row in rows for c in row["comparisons"] if (c["one"], c["other"]) == (one, other)]
        changes.append([f"{one} − {other}", *(_points(change) for change in each)])
    before, after = 1 - mean["sft t=1"], 1 - mean[f"{last} t=1"]
    said = (
        f"{rows[0]['tasks']} held-out tasks, 8 samples each at temperature 1 (`t=1`) and greedy; one CPU core each, "
        f"{found['at_once']} seeds at once. "
        f"`{last}` lowers the sampled error by {100 * (1 - after / before):.0f} % (mean of {len(rows)} seeds). "
        "Differences in points, with 95 % paired bootstrap intervals over tasks:"
    )
    second = _table(["difference", *(f"seed {row['seed']}" for row in rows)], changes)
    return f"{_table(head, body)}\n\n{said}\n\n{second}"


def sisters() -> str:
    """What the sister recipes of the quickstart reach from the same warm-up, a line each."""
    body, beside = [], []
    for name in SISTERS:
        found = read(name)
        rows, last, mean = found["rows"], found["last"], means(found["rows"])

        def change(numbers: Mapping[str, float], how: str, last: str = last) -> str:
            return f"{100 * numbers[f'sft {how}']:.1f} → {100 * numbers[f'{last} {how}']:.1f}"

        fallen = 1 - (1 - mean[f"{last} t=1"]) / (1 - mean["sft t=1"])
        sampled = [change(row["correct"], "t=1") for row in rows]
        recipe = found["recipe"].split("/")[1]
        body.append([f"`{recipe}`", *sampled, change(mean, "greedy"), f"**−{100 * fallen:.0f} %**"])
        others = [each for each in mean if not each.startswith(("sft greedy", "more-sft greedy", f"{last} "))]
        said = ", ".join(f"`{each}` {100 * mean[each]:.1f}" for each in others)
        beside += [f"- `{recipe}`: {said}"] if others != ["sft t=1"] else []
    seeds = [f"sampled, seed {row['seed']}" for row in read(SISTERS[0])["rows"]]
    table = _table(["recipe", *seeds, "greedy, mean", "sampled error"], body)
    return f"{table}\n\nBeside them, as means of the seeds:\n\n" + "\n".join(beside)


def dense(name: str) -> str:
    """Steps and seconds that dense credit takes to the accuracy at which sparse credit ends."""
    found = read(name)
    sparse, dense = found["arms"]
    seconds = found["seconds_a_step"]
    pace = seconds[dense] / seconds[sparse]
    body = [
        [
            str(row["seed"]),
            f"{100 * row['sparse']['final']:.1f}",
            f"{100 * row['dense']['final']:.1f}",
            "not reached" if row["steps"] is None else f"{row['steps']} of {found['steps']}",
            "–" if row["steps"] is None else f"{100 * pace * row['steps'] / found['steps']:.0f} %",
        ]
        for row in found["rows"]
    ]
    head = ["seed", f"`{sparse}` ends at, %", f"`{dense}` ends at, %", f"`{dense}` gets there at step"]
    shares = sorted(math.inf if row["steps"] is None else row["steps"] / found["steps"] for row in found["rows"])
    median = shares[len(shares) // 2]
    said = "not reached" if math.isinf(median) else f"{100 * median:.0f} %"
    return (
        f"{_table([*head, f'of the seconds of `{sparse}`'], body)}\n\nMedian share of the steps: {said}. "
        f"Accuracy is that of the completions sampled in training, over windows of {found['window']} steps "
        f"(every step has new tasks). A step of `{dense}` takes {seconds[dense]:.1f} s, of `{sparse}` "
        f"{seconds[sparse]:.1f} s, side by side on one core each. "
        f"On held-out tasks, sampled, mean of {len(found['rows'])} seeds: "
        f"{_held_out(found['rows'], ('sft', sparse, dense))}."
    )


def _held_out(rows: Sequence[Mapping[str, Any]], arms: Sequence[str]) -> str:
    each = {arm: math.fsum(row["held_out"][f"{arm} t=1"] for row in rows) / len(rows) for arm in arms}
    return ", ".join(f"`{arm}` {100 * value:.1f} %" for arm, value in each.items())


def throughput() -> str:
    """Times the speed of the naive loop, and how long the queries take."""
    rows = read("throughput")["rows"]
    body = [
        [
            name,
            f"{row['completions'] / row['seconds']['naive']:.0f}",
            f"{row['completions'] / row['seconds']['ours']:.0f}",
            f"**{row['times the speed']:.2f}**",
            " / ".join(f"{value:g}" for value in row["ms per execution, p50 / p95 / max"]),
        ]
        for name, row in rows.items()
    ]
    head = ["rubric and queries", "naive loop, completions/s", "honewise, completions/s", "ratio", "ms p50 / p95 / max"]
    return _table(head, body)


def step() -> str:
    """A whole training step of TRL and of honewise."""
    body = [
        [name, f"{row['stock']:.2f}", f"{row['honewise']:.2f}", f"**{row['ratio']:.2f}**"]
        for name, row in read("step")["rows"].items()
    ]
    return _table(["prompt and completion tokens, KL", "TRL, s a step", "honewise, s a step", "ratio"], body)


CLAIMS = ("quickstart", "rloo", "ppo", "dpo", "reward-model", "code-api", "medical-mcq", "physics")
SISTERS = ("rloo", "ppo", "dpo", "reward-model")
TABLES: Mapping[str, Callable[[], str]] = {
    **{name: partial(claim, name) for name in CLAIMS},
    **{name: partial(dense, name) for name in ("dense", "physics-dense")},
    "sisters": sisters,
    "throughput": throughput,
    "step": step,
}


def pages() -> list[Path]:
    """Where tables may stand: the READMEs of the project, of its plugins and of the examples."""
    return [ROOT / "README.md", *sorted(ROOT.glob("plugins/*/README.md")), *sorted(ROOT.glob("examples/*/README.md"))]


def filled(text: str) -> str:
    """``text`` with the table of each result that stands in ``results`` between its markers."""
    for name, make in TABLES.items():
        between = re.compile(rf"(<!-- results: {name} -->\n).*?(<!-- end results -->)", re.S)
        if between.search(text):
            table = make()
            text = between.sub(lambda match, table=table: f"{match[1]}{table}\n{match[2]}", text)
    return text


if __name__ == "__main__":
    for page in pages():
        page.write_text(filled(page.read_text(encoding="utf-8")), encoding="utf-8")
