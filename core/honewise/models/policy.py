"""Loading and saving policies: tiny ones built here, hub ids, local folders, and LoRA adapters on any of them."""

from __future__ import annotations

import contextlib
import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from honewise.errors import UserError, first_sentence
from honewise.recipes.schema import LoraSpec, PolicySpec, QuantizeSpec

from .quantize import check_quantize, quantization, remember, remembered
from .tiny import build

__all__ = ["Policy", "load_policy", "open_policy", "quiet", "resolve_device", "save_policy"]

BASE_FOLDER = "base"
"""Where an adapter's folder keeps the weights under it, when they stand nowhere else."""


@dataclass(slots=True)
class Policy:
    """A model that writes, and its tokenizer."""

    model: Any
    """A transformers causal language model, or a ``PeftModel`` around one."""
    tokenizer: PreTrainedTokenizerBase
    path: str | None = None
    """Hub id or folder that holds exactly these weights; None where they stand nowhere yet."""
    quantize: QuantizeSpec | None = None
    """How the weights under the adapters are quantised, where they are."""
    weights: Mapping[str, Any] | None = None
    """All trained weights, where the model holds but a part of them; for whoever saves it."""

    @property
    def adapted(self) -> bool:
        """Whether only adapters are trained."""
        return hasattr(self.model, "peft_config")

    @property
    def context(self) -> int | None:
        """Tokens of prompt and completion together that the model was made for; None where it does not say."""
        return getattr(self.model.config.get_text_config(), "max_position_embeddings", None)


def resolve_device(device: str) -> str:
    """``auto`` is the first of cuda, mps and cpu that is there; a device that is missing is a ``UserError``."""
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in present.items() if there)
    if not present.get(device, False):
        raise UserError(f"device: no {device} here; use auto or cpu")
    return device


def load_policy(spec: PolicySpec, *, texts: Iterable[str] = (), device: str = "auto", seed: int = 0) -> Policy:
    """The policy a recipe describes, on its device, in evaluation mode.

    ``texts`` (prompts and gold completions) are read for a tiny policy's tokenizer only. ``seed`` draws fresh weights
    of tiny policies and adapters. Raises ``UserError`` where the model cannot be had.
    """
    given = [name for name in ("tiny", "hub", "path") if getattr(spec, name) is not None]
    if len(given) != 1:
        raise UserError(f"policy: exactly one of tiny, hub and path, not {' and '.join(given) or 'none'}")
    device = resolve_device(device)
    with quiet():
        if spec.tiny is not None:
            model, tokenizer = build(spec.tiny, texts, seed=seed)
            policy = Policy(model, tokenizer)
        else:
            policy = _load(str(spec.path or spec.hub), local=spec.path is not None, revision=spec.revision,
                           dtype=_dtype(spec.dtype, device), device=device, quantize=spec.quantize)  # fmt: skip
        if spec.lora is not None and not policy.adapted:
            policy = _adapt(policy, spec.lora, seed)
    return _placed(policy, device)


def open_policy(path: str | Path, *, device: str = "auto") -> Policy:
    """A policy that ``save_policy`` wrote, to be used or trained further; an adapter stays an adapter, on weights that
    are quantised as they were in training."""
    device = resolve_device(device)
    with quiet():
        dtype = None if device != "cpu" else torch.float32
        policy = _load(str(path), local=True, revision=None, dtype=dtype, device=device)
    return _placed(policy, device)


def save_policy(policy: Policy, folder: str | Path) -> Path:
    """Weights, tokenizer and settings into ``folder``, such that ``open_policy`` gives the same policy anywhere.

    An adapter is saved alone where its base is a hub id or a folder, which stays its base; else the base goes along.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    with quiet():
        if policy.adapted:
            base = policy.model.get_base_model()
            known = policy.model.peft_config["default"].base_model_name_or_path
            policy.model.save_pretrained(target, selected_adapters=["default"], state_dict=policy.weights)
            if policy.quantize is not None:
                remember(policy.quantize, target)
            if not known:
                _save_base(policy.model, target / BASE_FOLDER)
            base.generation_config.save_pretrained(target)
        else:
            policy.model.save_pretrained(target, state_dict=policy.weights)
        policy.tokenizer.save_pretrained(target)
    return target


def _dtype(name: str, device: str) -> torch.dtype | None:
    """None is the checkpoint's own."""
    if device == "cpu":
        return torch.float32
    return None if name == "auto" else getattr(torch, name)


def _placed(policy: Policy, device: str) -> Policy:
    """On its device, in evaluation mode. Quantised weights were loaded onto it and stay there; adapters follow."""
    if policy.quantize is None:
        policy.model.to(device)
    else:
        for name, value in policy.model.named_parameters():
            if "lora_" in name:
                value.data = value.data.to(device)
    policy.model.eval()
    return policy


def _load(
    name: str,
    *,
    local: bool,
    revision: str | None,
    dtype: torch.dtype | None,
    device: str,
    quantize: QuantizeSpec | None = None,
) -> Policy:
    folder = Path(name)
    if local and not folder.is_dir():
        raise UserError(f"policy: there is no folder {name}")
    adapter = _adapter_config(folder) if local else None
    if local and adapter is None and not (folder / "config.json").exists() and (folder / "policy").is_dir():
        raise UserError(f"policy: {name} holds no model, but the folder policy inside does; give {folder / 'policy'}")
    options: dict[str, Any] = {"dtype": "auto" if dtype is None else dtype}
    if adapter is not None:
        quantize = remembered(folder) or quantize
    if quantize is not None:
        check_quantize(quantize, device)
        options["dtype"] = dtype or torch.bfloat16
        options["quantization_config"] = quantization(quantize, options["dtype"])
        options["device_map"] = {"": torch.cuda.current_device() if device == "cuda" else device}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, padding_side="left")
        if adapter is None:
            model = AutoModelForCausalLM.from_pretrained(name, revision=revision, **options)
        else:
            model = _load_adapted(folder, adapter, options)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"policy: {name} cannot be loaded: {first_sentence(error)}") from error
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return Policy(model, tokenizer, name, quantize)


def _adapter_config(folder: Path) -> dict[str, Any] | None:
    file = folder / "adapter_config.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def _load_adapted(folder: Path, adapter: dict[str, Any], options: dict[str, Any]) -> Any:
    """The base kept beside the adapter, else the one that its configuration names, with the adapter on it."""
    from peft import PeftModel

    kept = folder / BASE_FOLDER
    base = str(kept) if kept.is_dir() else adapter.get("base_model_name_or_path")
    if not base:
        raise UserError(f"policy: the adapter in {folder} names no base model")
    model = AutoModelForCausalLM.from_pretrained(base, revision=adapter.get("revision"), **options)
    adapted = PeftModel.from_pretrained(model, folder, is_trainable=True)
    if kept.is_dir():
        adapted.peft_config["default"].base_model_name_or_path = None
    return adapted


def _adapt(policy: Policy, spec: LoraSpec, seed: int) -> Policy:
    """Fresh adapters, which leave the policy as it is until they are trained; the random state is restored."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=spec.r,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        target_modules=spec.targets if isinstance(spec.targets, str) else list(spec.targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            model = get_peft_model(policy.model, config)
        except ValueError as error:
            raise UserError(f"policy.lora: {str(error).splitlines()[0]}") from error
    model.peft_config["default"].base_model_name_or_path = policy.path
    return Policy(model, policy.tokenizer, None, policy.quantize)


def _save_base(model: Any, folder: Path) -> None:
    """The weights under an adapter, under their own names."""
    base = model.get_base_model()
    weights = {
        name.replace(".base_layer.", "."): value for name, value in base.state_dict().items() if ".lora_" not in name
    }
    base.save_pretrained(folder, state_dict=weights)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the libraries' progress bars, advice and announcements of future changes; errors are raised as ever."""
    level = transformers.logging.get_verbosity()
    bars = transformers.utils.logging.is_progress_bar_enabled()
    others = [logging.getLogger(name) for name in ("trl", "peft", "accelerate", "datasets")]
    levels = [logger.level for logger in others]
    try:
        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        for logger in others:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning, UserWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        transformers.logging.set_verbosity(level)
        if bars:
            transformers.utils.logging.enable_progress_bar()
        for logger, old in zip(others, levels, strict=True):
            logger.setLevel(old)
