"""Judges for tests: two templates, and ways to make a judge on a ``ChatServer``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from chat_server import last_text, score_of

from honewise.contracts import JudgeTemplate
from honewise.judges import TemplateJudge, build_judge, json_number, scale
from honewise.recipes.judge_file import load_judge_spec

CLEAR = """
from honewise import Completion, Judge, JudgeTemplate, Task, reward
from honewise.judges import scale

CLEAR = JudgeTemplate("clear.md", scale(0, 10), package=__name__)


@reward
async def clear(task: Task, completion: Completion, judge: Judge) -> float:
    return (await judge(CLEAR, answer=completion.text)).value
"""
"""A file of a reward that asks a judge with a template beside it."""

SCORE = JudgeTemplate("judge_templates/score.md", scale(0, 10), package=__name__)
SCORE_JSON = JudgeTemplate(
    "judge_templates/score_json.md",
    json_number("score", 0, 10),
    package=__name__,
    schema={"type": "object", "properties": {"score": {"type": "number"}}, "required": ["score"]},
)
SAID: list[str] = []
CLEAR = """
from honewise import Completion, Judge, JudgeTemplate, Task, reward
from honewise.judges import scale

CLEAR = JudgeTemplate("clear.md", scale(0, 10), package=__name__)


@reward
async def clear(task: Task, completion: Completion, judge: Judge) -> float:
    return (await judge(CLEAR, answer=completion.text)).value
"""
"""The file ``clear.py`` of a reward that asks ``clear.md``."""


def answer_in(text: str) -> str:
    """What the slot ``answer`` of a prompt holds."""
    found = re.search(r"(?s)<answer-([0-9a-f]+)>(.*?)</answer-\1>", text)
    return found[2] if found else ""


def scored(body: Any) -> str:
    """A reply to ``SCORE`` with the verdict that the answer always gets."""
    return f"I have read it.\nScore: {score_of(answer_in(last_text(body)))}"


def verdict_of(answer: str) -> float:
    return score_of(answer) / 10


def judge_at(url: str, folder: Path | None = None, note: Any = lambda _: None, **settings: Any) -> TemplateJudge:
    """A judge with little patience, and a cache in ``folder``."""
    quick = {"timeout": 2.0, "deadline": 20.0, "attempts": 12, "backoff": 0.01, "concurrency": 16}
    where = {} if "local" in settings else {"url": url, "model": "tiny"}
    cache: Any = False if folder is None else str(folder / "judge.sqlite")
    return build_judge(load_judge_spec({**where, "cache": cache, **quick, **settings}), note=note)
