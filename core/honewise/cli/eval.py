"""``honewise eval``: how good a model is at a domain."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from honewise.api import LoadedDomain
from honewise.contracts import Task
from honewise.errors import MissingExtra, UserError
from honewise.host import get_host
from honewise.recipes.load import read_recipe
from honewise.recipes.schema import PolicySpec
from honewise.scoring import Scorer, reasons, to_json, write_lines

from .data_options import (
    DataPath,
    DomainName,
    Format,
    JudgeFile,
    Limit,
    Options,
    Split,
    can_be_written,
    judging,
    note_judge,
    open_domain,
    open_tasks,
)
from .terminal import TerminalProgress, json_line, note, number, print_json, print_table, show

if TYPE_CHECKING:
    from honewise.models.policy import Policy
    from honewise.stages.measure import Measured, Sampling

__all__ = ["attach"]

_ANSWER = 10.0
"""Seconds to wait for Hugging Face."""


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
    judge: JudgeFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Write each scored completion here, as `honewise score` does.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The numbers as JSON.")] = False,
) -> None:
    """Measure a model on tasks: how many answers are correct, what each reward gives, the domain's own metrics.

    Prompts should be those that the model was trained on: give the domain the options of its recipe.

    Example: honewise eval text-to-sql --model runs/sql-quickstart/stages/rl/policy --samples 8 --temperature 1
    -o style=compact -o schema_tokens=300 -o prune=true -o world=simple --max-new-tokens 40
    """
    how = _sampling(temperature, samples, top_p, max_new_tokens, batch, seed)
    spec = _spec(model)
    if out is not None:
        can_be_written(out, data=data, judge=judge)
    opened = open_domain(domain, options)
    _mention_recipe(model, opened)
    tasks = open_tasks(opened, data, format, split, limit).tasks
    if find_spec("torch") is None or find_spec("transformers") is None:
        raise MissingExtra("sampling from a model", "honewise[train]")
    from honewise.models.threads import share_cores

    share_cores()
    from honewise.models.policy import load_policy
    from honewise.stages.measure import measure

    progress = TerminalProgress()
    with (
        judging(judge) as asked,
        Scorer(opened.name, opened.options, rubric=rubric, judge=asked, progress=progress, seed=seed) as scorer,
    ):
        if spec.hub is not None:
            _refuse_absent(spec.hub)
        policy = load_policy(spec, device=device, seed=seed)
        _check_context(policy, tasks, max_new_tokens)
        found = measure(policy, tasks, scorer, how, progress, f"{model} {how.label}")
    note_judge(found.calls)
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


def _mention_recipe(model: str, opened: LoadedDomain) -> None:
    """Say where a run's policy was trained with other options of the domain than are given."""
    for folder in list(Path(model).expanduser().resolve().parents)[:3]:
        with contextlib.suppress(UserError):
            trained = [work.options for work in read_recipe(folder / "recipe.yaml").works.values()
                       if work.use == opened.name]  # fmt: skip
            usual = {name: each.default for name, each in get_host().domain_options(opened.name).items()}
            if trained and all({**usual, **options} != {**usual, **opened.options} for options in trained):
                wanted = " or ".join(" ".join(f"-o {n}={_plain(v)}" for n, v in each.items()) for each in trained)
                note(f"{model} was trained with other options of {opened.name}: {wanted or 'none'}")
            return


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _refuse_absent(model: str) -> None:
    """Raise ``UserError`` at once where a model is neither kept here nor to be had; loading would try for a minute."""
    from huggingface_hub import HfApi, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        if isinstance(try_to_load_from_cache(model, "config.json"), str):
            return
        HfApi().model_info(model, timeout=_ANSWER)
    except HFValidationError as error:
        raise UserError(f"--model {model}: no such folder, nor can a model of Hugging Face be called so") from error
    except GatedRepoError:
        return  # loading says what is to be done
    except RepositoryNotFoundError as error:
        raise UserError(f"--model {model}: no such folder here, and no such model that you may see there") from error
    except Exception as error:  # the class depends on the version of the library and of what it calls
        raise UserError(
            f"--model {model}: no such folder here, and Hugging Face cannot be asked ({type(error).__name__}); "
            "give the folder of a saved model, or try again online"
        ) from error


def _check_context(policy: Policy, tasks: Sequence[Task], most: int) -> None:
    """Say how many prompts leave too little room in the model's context; raise ``UserError`` where all leave none."""
    from honewise.models.text import prompt_ids

    room = policy.context
    if room is None:
        return
    lengths = [len(prompt_ids(policy.tokenizer, task.prompt)) for task in tasks]
    fix = "options of the domain (-o) may shorten prompts"
    if min(lengths) >= room:
        raise UserError(
            f"the model was made for {room} tokens, and the shortest prompt has {min(lengths)}: nothing can be "
            f"answered; {fix}"
        )
    if over := sum(length + most > room for length in lengths):
        note(
            f"the model was made for {room} tokens; {over} of {len(lengths)} prompts (up to {max(lengths)}) and "
            f"--max-new-tokens {most} need more; {fix}"
        )


def _show(found: Measured, how: Sampling, model: str, tasks: int, as_json: bool) -> None:
    scored = sum(row.scored.total is not None for row in found.rows)
    if as_json:
        settings = {"temperature": how.temperature, "samples": how.samples, "top_p": how.top_p, "seed": how.seed}
        counts = {"tasks": tasks, "completions": len(found.rows), "scored": scored}
        print_json({"model": model, **counts, **settings, "numbers": dict(found.numbers)})
        return
    print_table(("number", how.label), [(name, number(value)) for name, value in found.numbers.items()])
    show(f"{scored} of {len(found.rows)} completions of {tasks} tasks scored")
