"""``honewise eval``: how good a model is at a domain."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honewise.errors import MissingExtra, UserError
from honewise.recipes.schema import PolicySpec
from honewise.scoring import Scorer, reasons, to_json, write_lines

from .data_options import DataPath, DomainName, Format, Limit, Options, Split, open_domain, open_tasks
from .terminal import TerminalProgress, json_line, note, number, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.stages.measure import Measured, Sampling

__all__ = ["attach"]


def attach(app: typer.Typer) -> None:
    app.command(name="eval")(evaluate)


def evaluate(
    domain: DomainName,
    model: Annotated[str, typer.Option("--model", help="A folder with a saved model, or a Hugging Face id.")],
    data: DataPath = None,
    format: Format = None,
    split: Split = "held-out",
    limit: Limit = None,
    options: Options = None,
    rubric: Annotated[str | None, typer.Option(help="A preset of the domain. Left out: its first.")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Completions of each task.")] = 1,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Of sampling; 0 is greedy. Left out: 0, with --samples 1.")
    ] = None,
    top_p: Annotated[float, typer.Option(min=0.01, max=1, help="Nucleus of sampling.")] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest completion, in tokens.")] = 256,
    batch: Annotated[int, typer.Option(min=1, help="Completions generated at once.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of sampling.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Write each scored completion here, as `honewise score` does.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
) -> None:
    """Measure a model on tasks: how many answers are correct, what each reward gives, the domain's own metrics.

    Example: honewise eval text-to-sql --model runs/sql-quickstart/stages/rl/policy --samples 8 --temperature 1
    """
    how = _sampling(temperature, samples, top_p, max_new_tokens, batch, seed)
    opened = open_domain(domain, options)
    tasks = open_tasks(opened, data, format, split, limit).tasks
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise MissingExtra("sampling from a model", "honewise[train]")
    from honewise.models.threads import share_cores

    share_cores()
    from honewise.models.policy import load_policy
    from honewise.stages.measure import measure

    progress = TerminalProgress()
    with Scorer(opened.name, opened.options, rubric=rubric, progress=progress, seed=seed) as scorer:
        policy = load_policy(_spec(model), device=device, seed=seed)
        found = measure(policy, tasks, scorer, how, progress, f"{model} {how.label}")
    for reason, count in reasons(found.scored)[:20]:
        note(f"unscored: {count} of {len(found.rows)} completions: {reason}")
    if out is not None:
        write_lines(out, [json_line(to_json(row)) for row in found.scored])
    _show(found, how, model, len(tasks), as_json)


def _sampling(
    temperature: float | None, samples: int, top_p: float, max_new_tokens: int, batch: int, seed: int
) -> Sampling:
    from honewise.stages.measure import Sampling

    if temperature is None:
        temperature = 0.0 if samples == 1 else 1.0
    if temperature == 0 and samples > 1:
        raise UserError(f"--temperature 0 is greedy: all {samples} samples would be one; leave one of the two out")
    return Sampling(temperature, samples, top_p, max_new_tokens, batch, seed)


def _spec(model: str) -> PolicySpec:
    """A folder that is there, else an id of the hub; what is clearly a path must be there."""
    if Path(model).expanduser().is_dir():
        return PolicySpec(path=str(Path(model).expanduser()))
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"--model {model}: no such folder")
    return PolicySpec(hub=model)


def _show(found: Measured, how: Sampling, model: str, tasks: int, as_json: bool) -> None:
    scored = sum(row.scored.total is not None for row in found.rows)
    if as_json:
        settings = {"temperature": how.temperature, "samples": how.samples, "top_p": how.top_p, "seed": how.seed}
        counts = {"tasks": tasks, "completions": len(found.rows), "scored": scored}
        print_json({"model": model, **counts, **settings, "numbers": dict(found.numbers)})
        return
    print_table(("number", how.label), [(name, number(value)) for name, value in found.numbers.items()])
    show(f"{scored} of {len(found.rows)} completions of {tasks} tasks scored")
