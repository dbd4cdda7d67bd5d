"""A judge in a file of its own: the section ``judge:`` as it stands in a recipe, or a recipe that has one."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from honewise.errors import Problem, RecipeError

from . import yaml12
from .checks import judge_problems
from .explain import given, in_file_order, problems_of
from .judging import JudgeSpec
from .load import place_paths, read_text

__all__ = ["load_judge_spec"]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)

    judge: JudgeSpec


def load_judge_spec(source: str | Path | Mapping[str, Any]) -> JudgeSpec:
    """The judge that a file, or a mapping, describes. Raises ``RecipeError`` with every problem."""
    if isinstance(source, Mapping):
        raw, name, folder = copy.deepcopy(dict(source)), "judge", None
    else:
        found = yaml12.parse(read_text(Path(source)), str(source))
        if not isinstance(found, dict):
            raise RecipeError(str(source), [Problem("", f"a judge is a mapping; given: {given(found)}")])
        raw, name, folder = found, str(source), Path(source).resolve().parent
    whole = {"judge": raw["judge"]} if "honewise" in raw or set(raw) == {"judge"} else {"judge": raw}
    if whole["judge"] is None or ("honewise" in raw and "judge" not in raw):
        raise RecipeError(name, [Problem("judge", "is missing")])
    problems = place_paths(whole, folder)
    problems += judge_problems(whole, alone=True)
    try:
        spec = _File.model_validate(whole).judge
    except ValidationError as error:
        raise RecipeError(name, in_file_order(whole, [*problems, *problems_of(whole, error)])) from None
    if problems:
        raise RecipeError(name, in_file_order(whole, problems))
    return spec
