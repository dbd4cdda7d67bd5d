"""A model at an endpoint that writes sums as personas would ask, and answers them now well and now badly."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from chat_server import last_text
from judge_talk import shown

from honewise.builtin.expressions import work_out
from honewise.host import get_host

__all__ = ["Expert"]

HELD_OUT = json.dumps(
    {
        "expression": next(iter(get_host().domain("arithmetic", numbers=2, largest=9).samples("held-out"))).inputs[
            "expression"
        ]
    }
)


FIRST = {"nurse": 20, "baker": 40, "carpenter": 60, "teacher": 80}
"""The first number of a persona's first sum."""


class Expert:
    """Writes tasks by the persona and how often it was asked, and answers of three kinds to each: none, a right number
    in the wrong form, the whole."""

    def __init__(self) -> None:
        self.times: Counter[str] = Counter()

    def __call__(self, body: Mapping[str, Any]) -> str:
        text = last_text(body)
        self.times[text] += 1
        if "That reply holds no verdict" in text:
            return "I said so already."
        if (persona := shown(text).get("persona")) is not None:
            return self.task(persona, self.times[text] - 1)
        expression = re.search(r"Work out (.*)", text)
        assert expression is not None, text
        steps = work_out(expression[1])
        whole = f"<think>{chr(10).join(map(str, steps))}</think><answer>{steps[-1].result}</answer>"
        return ("I do not know.", whole, f"<answer>{steps[-1].result}</answer>")[(self.times[text] - 1) % 3]

    def task(self, persona: str, turn: int) -> str:
        first = next((first for word, first in FIRST.items() if word in persona), 90)
        odd = {2: "no JSON at all", 3: '{"expression": "two and two"}', 4: HELD_OUT, 5: '{"expression": "41 + 1"}'}
        if "baker" in persona and turn in odd:
            return odd[turn]
        return json.dumps({"expression": f"{first + turn} + 1"})
