"""Audits that are kept with a run, for its card: ``audits/<kind>-<source>.json`` in its folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .manifest import write_whole

__all__ = ["keep", "kept"]

FOLDER = "audits"


def keep(run: Path, kind: str, source: str, result: Mapping[str, Any]) -> Path:
    """Keep what an audit (``judge``, ``rewards``, ``run``) found of ``source``, in place of an earlier result."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(source).name.casefold()).strip("-") or "it"
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"{kind}-{name[:60]}.json"
    write_whole(path, json.dumps(result, indent=2, ensure_ascii=False, default=str) + "\n")
    return path


_HELD: Mapping[str, str] = {"judge": "judges", "rewards": "findings", "run": "signs"}
"""Kind of audit to the list that its result holds."""


def kept(run: Path, kind: str) -> list[dict[str, Any]]:
    """What audits of ``kind`` found, by name of their files; a file that cannot be read is left out."""
    found = []
    for path in sorted((run / FOLDER).glob(f"{kind}-*.json")):
        try:
            told = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(told, dict) and _is_list(told.get(_HELD[kind])):
            found.append(told)
    return found


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)
