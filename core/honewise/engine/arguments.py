"""The ``trainer:`` mapping of a stage, held against TRL's own configuration before anything is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import typing
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from trl import DPOConfig, GRPOConfig, RewardConfig, SFTConfig

from honewise.errors import Problem, UserError, near
from honewise.models.policy import quiet

__all__ = ["DIVERGING", "DPO_LOSSES", "Kind", "check", "check_losses", "configure", "convert", "on_device"]

Kind = Literal["sft", "grpo", "dpo", "reward"]

_CONFIGS: Mapping[str, type[Any]] = {"sft": SFTConfig, "grpo": GRPOConfig, "dpo": DPOConfig, "reward": RewardConfig}

_LAUNCH = "give `accelerate launch --config_file` a file such as those of examples/scale"
_RECIPE = {
    "output_dir": "checkpoints stand in the run's folder",
    "max_steps": "set the stage's `steps`",
    "num_train_epochs": "set the stage's `steps`",
    "seed": "set the recipe's `seed`",
    "data_seed": "set the recipe's `seed`",
    "use_cpu": "set the recipe's `device`",
    "save_strategy": "set the stage's `save_every`",
    "save_steps": "set the stage's `save_every`",
    "save_total_limit": "set the stage's `keep`",
    "save_only_model": "a run can always be resumed",
    "load_best_model_at_end": "policies are compared by an `evaluate` stage",
    "resume_from_checkpoint": "use `honewise run --resume`",
    "ignore_data_skip": "a resumed run sees the data that an uninterrupted one sees",
    "restore_callback_states_from_checkpoint": "a run can always be resumed",
    "logging_strategy": "every step is stored",
    "logging_steps": "every step is stored",
    "do_eval": "add an `evaluate` stage",
    "eval_strategy": "add an `evaluate` stage",
    "eval_steps": "add an `evaluate` stage",
    "eval_on_start": "add an `evaluate` stage",
    "push_to_hub": "share the folder `policy` that the stage writes",
    "model_init_kwargs": "set the recipe's `policy`",
    "remove_unused_columns": "tasks travel beside the prompts",
    "auto_find_batch_size": "set `per_device_train_batch_size`",
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "parallelism_config"), _LAUNCH),
}
_STAGE: Mapping[str, Mapping[str, str]] = {
    "sft": {
        "completion_only_loss": "the loss is always that of the completion",
        "assistant_only_loss": "the loss is always that of the completion",
        "dataset_text_field": "demonstrations are prompts with completions",
        "packing": "demonstrations are not packed",
    },
    "dpo": {
        "beta": "set the stage's `beta`",
        "loss_type": "set the stage's `losses`",
        "loss_weights": "set the stage's `losses`",
        "label_smoothing": "set the stage's `label_smoothing`",
        "f_divergence_type": "set the stage's `divergence`",
        "f_alpha_divergence_coef": "set the stage's `alpha`",
        "precompute_ref_log_probs": "the reference is asked at each step, so that a run can be resumed exactly",
        "sync_ref_model": "a reference moves with the stage's `rounds`",
        "padding_free": "TRL has switched it off",
        "truncation_mode": "pairs that are too long are left out",
    },
    "reward": {
        "center_rewards_coefficient": "set the stage's `centre`",
        "chat_template_path": "the tokenizer is the trunk's",
        "eos_token": "the tokenizer is the trunk's",
    },
    "grpo": {
        "num_generations": "set the stage's `samples`",
        "num_generations_eval": "add an `evaluate` stage",
        "generation_batch_size": "set the stage's `prompts` and `samples`",
        "steps_per_generation": "set `per_device_train_batch_size` and the stage's `minibatches`",
        "temperature": "set the stage's `temperature`",
        "top_p": "set the stage's `top_p`",
        "scale_rewards": "set the stage's `scale`",
        "reward_weights": "set the weights in `rubric`",
        "multi_objective_aggregation": "set the stage's `estimator`",
    },
}

_CHOICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "sft": {"loss_type": ("nll", "dft", "chunked_nll")},
    "grpo": {
        "loss_type": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
        "importance_sampling_level": ("token", "sequence", "sequence_token"),
        "vllm_mode": ("colocate", "server"),
    },
    "dpo": {},
    "reward": {},
}
"""Words that TRL would only refuse in the first step; ``sequence_token`` is ours."""

DPO_LOSSES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
)
"""TRL's ``loss_type`` words of ``DPOConfig``."""

DIVERGING = ("sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "discopop", "sft")
"""Those that TRL gives other divergences than ``reverse_kl``."""


def check(kind: Kind, arguments: Mapping[str, Any]) -> list[Problem]:
    """Every fault of a stage's ``trainer:`` mapping; ``Problem.path`` is the argument's name, "" for the whole.

    Names must be fields of TRL's configuration that the recipe does not set elsewhere, values must convert to the
    field's type, and the whole must be accepted by TRL.
    """
    converted, problems = _convert(kind, arguments)
    if problems:
        return problems
    return _whole(kind, converted)


def convert(kind: Kind, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments in the types of TRL's fields. Raises ``UserError`` with all faults."""
    converted, problems = _convert(kind, arguments)
    if problems:
        raise UserError("\n".join(f"trainer.{problem}" for problem in problems))
    return converted


def configure(kind: Kind, arguments: Mapping[str, Any]) -> Any:
    """TRL's configuration object, built in silence. Raises ``UserError`` where TRL refuses the arguments."""
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return _CONFIGS[kind](**arguments)
        except (ValueError, TypeError, ImportError) as error:
            raise UserError(f"trainer: {' '.join(str(error).split())}") from error


def check_losses(losses: Any, divergence: Any, label_smoothing: Any) -> list[Problem]:
    """What TRL would refuse, later, of a ``dpo`` stage's own keys; values of a wrong type are passed over."""
    named = [losses] if isinstance(losses, str) else losses if isinstance(losses, (list, Mapping)) else ()
    unknown = [name for name in named if isinstance(name, str) and name not in DPO_LOSSES]
    problems = [Problem("losses", f"no loss {name!r}{near(name, DPO_LOSSES)}") for name in unknown]
    rest = [name for name in named if name in DPO_LOSSES and name not in DIVERGING]
    if divergence not in (None, "reverse_kl") and rest:
        problems.append(Problem("divergence", f"the loss {rest[0]!r} has reverse_kl only"))
    if "exo_pair" in named and not label_smoothing:
        problems.append(Problem("label_smoothing", "the loss 'exo_pair' needs one above 0; its paper takes 1e-3"))
    return problems


def on_device(device: str, kind: Kind, given: Mapping[str, Any], ours: Mapping[str, Any]) -> Any:
    """The configuration of a stage's trainer: what the stage says, over it what is given, and float32 on a CPU."""
    made = {
        "max_length": None,
        "use_cpu": device == "cpu",
        "gradient_checkpointing": device != "cpu",
        "logging_steps": 1,
        "save_strategy": "steps",
        "report_to": "none",
        "disable_tqdm": True,
        "remove_unused_columns": False,
        **ours,
    }
    if device == "cpu":
        made |= {"bf16": False, "fp16": False}
        given = {name: value for name, value in given.items() if name not in ("bf16", "fp16", "tf32")}
    return configure(kind, made | {name: value for name, value in given.items() if name != "max_length"})


def _convert(kind: Kind, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], list[Problem]]:
    adapters, converted, problems = _adapters(kind), {}, []
    elsewhere = {**_RECIPE, **_STAGE[kind]}
    for name, value in arguments.items():
        if name in elsewhere:
            problems.append(Problem(name, f"cannot be set here: {elsewhere[name]}"))
        elif name not in adapters:
            allowed = [field for field in adapters if field not in elsewhere]
            problems.append(Problem(name, f"TRL has no such {kind.upper()} argument{_nearest(name, allowed)}"))
        else:
            try:
                converted[name] = adapters[name][1].validate_python(value)
            except ValidationError:
                problems.append(Problem(name, f"must be {adapters[name][0]}; given: {value!r}"))
                continue
            choices = _CHOICES[kind].get(name)
            if choices and value not in choices:
                problems.append(Problem(name, f"no {name} {value!r}{near(str(value), choices)}"))
    return converted, problems


def _nearest(name: str, allowed: list[str]) -> str:
    """The nearest name; not the whole list, which has some two hundred."""
    text = near(name, allowed)
    return text if text.startswith("; did you mean") else ""


@cache
def _adapters(kind: Kind) -> dict[str, tuple[str, TypeAdapter[Any]]]:
    """For each field of TRL's configuration, its type in words and what converts to it."""
    config = _CONFIGS[kind]
    hints = typing.get_type_hints(config)
    fields = [field.name for field in dataclasses.fields(config) if field.init]
    return {name: (_words(hints[name]), _adapter(hints[name])) for name in fields}


def _adapter(hint: Any) -> TypeAdapter[Any]:
    settings = ConfigDict(arbitrary_types_allowed=True)
    return TypeAdapter(hint) if dataclasses.is_dataclass(hint) else TypeAdapter(hint, config=settings)


def _words(hint: Any) -> str:
    options = typing.get_args(hint) if typing.get_origin(hint) not in (dict, list, tuple, Literal) else ()
    if options:
        return " or ".join(dict.fromkeys(_words(option) for option in options))
    named = {type(None): "null", int: "a whole number", float: "a number", bool: "true or false", str: "a word"}
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, typing.get_args(hint)))
    base = typing.get_origin(hint) or hint
    return named.get(
        base, {dict: "a mapping", list: "a list", tuple: "a list"}.get(base, getattr(base, "__name__", ""))
    )


def _whole(kind: Kind, converted: Mapping[str, Any]) -> list[Problem]:
    """What TRL says to all of them together, on a processor that every machine has."""
    stand_in: dict[str, Any] = {"output_dir": "unused", "use_cpu": True, "bf16": False, "report_to": "none"}
    if kind == "grpo":
        stand_in |= {"num_generations": 2, "steps_per_generation": 2}
    try:
        with _alone():
            configure(kind, stand_in | dict(converted))
    except UserError as error:
        return [Problem("", str(error).removeprefix("trainer: "))]
    return []


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A configuration object meets the other processes of a launcher as soon as it is made; this one is only looked at,
    and by the wrong means: it says that it is for a CPU."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
