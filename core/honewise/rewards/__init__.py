"""Rewards that fit any domain, and help for writing one's own."""

from .general import length, repetition, script
from .tags import pay_tags, tagged

__all__ = ["length", "pay_tags", "repetition", "script", "tagged"]
