"""Many judgements in a process of their own, which may be killed: ``judge_child.py URL CACHE FIRST COUNT OUT``.

Writes the verdicts as JSON to ``OUT`` where it comes to its end.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from judge_world import SCORE, judge_at

from honewise.judges import TemplateJudge


async def judge_all(judge: TemplateJudge, answers: list[str]) -> dict[str, float]:
    async def one(answer: str) -> tuple[str, float]:
        return answer, (await judge(SCORE, question="Which?", answer=answer)).value

    try:
        return dict(await asyncio.gather(*map(one, answers)))
    finally:
        await judge.aclose()


def main(url: str, cache: str, first: str, count: str, out: str) -> None:
    notes: list[str] = []
    answers = [f"answer {number}" for number in range(int(first), int(first) + int(count))]
    with judge_at(url, Path(cache), notes.append) as judge:
        verdicts = asyncio.run(judge_all(judge, answers))
        sources = [call.source for call in judge.take_calls()]
    told = {
        "verdicts": verdicts,
        "notes": notes,
        "endpoint": sources.count("endpoint"),
        "cache": sources.count("cache"),
    }
    Path(out).write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
