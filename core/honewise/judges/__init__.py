"""Judges: templates filled in so that no text can leave its place, asked of a model, and read for their verdict."""

from .build import build_judge
from .judge import Answer, TemplateJudge, plain_request
from .prompt import Prompt, compose, template_hash, template_text
from .read import choice, json_number, scale

__all__ = [
    "Answer",
    "Prompt",
    "TemplateJudge",
    "build_judge",
    "choice",
    "compose",
    "json_number",
    "plain_request",
    "scale",
    "template_hash",
    "template_text",
]
