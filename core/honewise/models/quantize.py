"""Weights in few bits under adapters: transformers' configuration for them, and what a saved adapter says of them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch

from honewise.errors import MissingExtra, UserError
from honewise.recipes.sections import QuantizeSpec

__all__ = ["FILE", "check_quantize", "quantization", "remember", "remembered"]

FILE = "quantize.json"
"""Beside an adapter: how the weights under it were quantised in training."""

_PACKAGES = {"bnb": "bitsandbytes", "hqq": "hqq"}


def check_quantize(spec: QuantizeSpec, device: str) -> None:
    """Raise ``MissingExtra`` without the package, ``UserError`` where it does not work on ``device``."""
    package = _PACKAGES[spec.kind]
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(f"policy.quantize with kind: {spec.kind} ({package})", "honewise[quantize]")
    if device == "mps" or (device == "cpu" and spec.kind == "hqq"):
        works = "a CUDA device" if spec.kind == "hqq" else "a CUDA device or, slowly, a CPU"
        raise UserError(f"policy.quantize: kind: {spec.kind} works on {works}, and the device is {device}")


def quantization(spec: QuantizeSpec, dtype: torch.dtype) -> Any:
    """``BitsAndBytesConfig`` or ``HqqConfig``; what is computed with the weights is computed in ``dtype``."""
    from transformers import BitsAndBytesConfig, HqqConfig

    if spec.kind == "hqq":
        return HqqConfig(nbits=spec.bits, group_size=spec.group or 64)
    if spec.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=spec.type or "nf4",
        bnb_4bit_use_double_quant=spec.double is not False,
        bnb_4bit_compute_dtype=dtype,
    )


def remember(spec: QuantizeSpec, folder: Path) -> None:
    """Say beside an adapter what it was trained on."""
    (folder / FILE).write_text(spec.model_dump_json() + "\n", encoding="utf-8")


def remembered(folder: Path) -> QuantizeSpec | None:
    """What ``remember`` said; None where it said nothing."""
    file = folder / FILE
    return QuantizeSpec.model_validate_json(file.read_text(encoding="utf-8")) if file.is_file() else None
