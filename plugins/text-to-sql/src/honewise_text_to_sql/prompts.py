"""How the policy is asked, and what a perfect reply looks like. The wording is our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from honewise import Message, Task

__all__ = ["Form"]

_RULES = """\
You translate questions into SQL for SQLite. Use only the tables and columns of the schema below, and return exactly \
the columns that the question asks for, no others. One SELECT statement; nothing that changes the database."""

_WITH_REASONING = """\
Think first, inside <reasoning></reasoning>: which tables and columns are needed, how they join, which conditions \
hold, whether rows must be grouped, ordered or counted once. Then give the final query inside <answer></answer>, in \
this form:

<reasoning>
your thoughts
</reasoning>
<answer>
```sql
the query
```
</answer>"""

_WITHOUT_REASONING = """\
Reply with the query alone, inside <answer></answer>, in this form:

<answer>
```sql
the query
```
</answer>"""


@dataclass(frozen=True, slots=True)
class Form:
    """What a reply must look like: ``style`` "full" or "compact", the latter for tiny models; reasoning or none."""

    style: Literal["full", "compact"] = "full"
    reasoning: bool = True

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags that a reply must have, in this order, each once."""
        answer = ("<answer>", "</answer>")
        return ("<reasoning>", "</reasoning>", *answer) if self.reasoning else answer

    def prompt(self, task: Task) -> Sequence[Message]:
        """One user message; some models know no system role."""
        schema, hint, question = (task.inputs.get(name, "") for name in ("schema", "hint", "question"))
        if self.style == "compact":
            text = "\n".join(part for part in (schema, hint, question) if part)
        else:
            parts = [
                _RULES,
                f"Schema:\n{schema or '(not available)'}",
                f"Hint: {hint}" if hint else "",
                f"Question: {question}",
                _WITH_REASONING if self.reasoning else _WITHOUT_REASONING,
            ]
            text = "\n\n".join(part for part in parts if part)
        return [{"role": "user", "content": text}]

    def gold(self, task: Task) -> str | None:
        """The first accepted query in the form that the prompt asks for; None where the data has none."""
        accepted = task.reference.get("sql") or []
        if not accepted:
            return None
        sql = accepted[0]
        if self.style == "compact":
            thoughts = "<reasoning>As asked.</reasoning>" if self.reasoning else ""
            return f"{thoughts}<answer>{sql}</answer>"
        thoughts = "<reasoning>\nThe query below returns what the question asks for.\n</reasoning>\n"
        return f"{thoughts if self.reasoning else ''}<answer>\n```sql\n{sql}\n```\n</answer>"
