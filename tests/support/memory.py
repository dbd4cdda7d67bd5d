"""The memory arithmetic of core/docs/scale.md, in bytes."""

from __future__ import annotations


def trained(parameters: float, *, parts: int = 1) -> float:
    """Mixed precision with Adam: float32 weights 4, gradients 4, moments 8, and 2 of a bfloat16 copy."""
    return parameters * 18 / parts


def frozen(parameters: float, bits: float) -> float:
    """Weights that are only read: a reference, or those under adapters."""
    return parameters * bits / 8


def cache(layers: int, kv_heads: int, head: int, tokens: int, *, size: int = 2) -> float:
    """Keys and values of so many tokens."""
    return 2.0 * layers * kv_heads * head * size * tokens
