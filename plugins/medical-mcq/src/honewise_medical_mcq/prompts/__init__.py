"""How the policy is asked, and what a perfect reply looks like. The wording is our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from honewise import Message, Task
from honewise.templates import load, render
from honewise_medical_mcq.phrases import ruled_out
from honewise_medical_mcq.reading.normal import fold
from honewise_medical_mcq.tasks import gold_label, label_text

__all__ = ["NOTICE", "Form", "listed_options"]

NOTICE = (
    "This is an exercise for the study of language models. It is not a medical device, and no reply to it is advice."
)


def listed_options(task: Task) -> str:
    """The options, one a line."""
    labels, texts = task.inputs["labels"], task.inputs["options"]
    if list(labels) == list(texts):
        return "\n".join(f"- {text}" for text in texts)
    return "\n".join(f"{label}. {text}" for label, text in zip(labels, texts, strict=True))


def _named(task: Task, label: str) -> str:
    """An option by its text, where that is like no other's and stands in one line, else by its label."""
    text = label_text(task, label)
    alike = [fold(option) for option in task.inputs["options"]].count(fold(text))
    plain = alike == 1 and fold(text) == text.casefold() and len(text) <= 40 and not set(text) & set(",.;:?!\n")
    return text if plain else label


@dataclass(frozen=True, slots=True)
class Form:
    """What a reply must look like.

    ``style``: "full", or "compact" for tiny models, which are shown question and options only. ``reasoning``: whether
    it thinks first; ``confidence``: whether it states the probability of being right; ``abstain``: whether it is told
    that it may leave the question open, and what a wrong answer costs.
    """

    style: Literal["full", "compact"] = "full"
    reasoning: bool = True
    confidence: bool = False
    abstain: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """The sections that a reply must have, in this order, each once."""
        if self.style == "compact":
            return ("answer",)
        return (*(("reasoning",) if self.reasoning else ()), "answer", *(("confidence",) if self.confidence else ()))

    def prompt(self, task: Task) -> Sequence[Message]:
        """One user message; some models know no system role."""
        question, context = task.inputs["question"], task.inputs.get("context", "")
        if self.style == "compact":
            shown = " ".join(
                f"{text} {label}" for label, text in zip(task.inputs["labels"], task.inputs["options"], strict=True)
            )
            return [{"role": "user", "content": "\n".join(part for part in (context, question, shown) if part)}]
        content = render(
            load("honewise_medical_mcq", "prompts/ask.md"),
            {
                "notice": NOTICE,
                "context": f"Text:\n{context}\n\n" if context else "",
                "question": question,
                "options": listed_options(task),
                "form": self._asked(task),
            },
        )
        return [{"role": "user", "content": content.strip()}]

    def _asked(self, task: Task) -> str:
        labels = ", ".join(task.inputs["labels"])
        parts = [f"Choose one option: {labels}."]
        if self.reasoning:
            parts.append(
                "Think first, in the language of the question, inside <reasoning></reasoning>: what the question asks,"
                " which options can be ruled out and why, and which one is left."
            )
        parts.append("Then give the name of the option alone inside <answer></answer>.")
        if self.abstain:
            parts.append(
                "A wrong answer costs a third of what a right one earns. If you do not know, write"
                " <answer>none</answer>, which costs nothing."
            )
        if self.confidence:
            parts.append(
                "At the end give the probability that your answer is right, from 0 to 1, inside"
                " <confidence></confidence>."
            )
        shape = ["<reasoning>\nyour thoughts\n</reasoning>"] if self.reasoning else []
        shape.append("<answer>\nname\n</answer>")
        if self.confidence:
            shape.append("<confidence>0.5</confidence>")
        return " ".join(parts) + "\n\nIn this form:\n\n" + "\n".join(shape)

    def gold(self, task: Task) -> str | None:
        """The right option in the form that the prompt asks for, after ruling out each other one; None without gold."""
        right = gold_label(task)
        if right is None:
            return None
        others = [label for label in task.inputs["labels"] if label != right]
        if self.style == "compact":  # by their texts: to look up a letter is the hardest part for a tiny model
            named = {label: _named(task, label) for label in task.inputs["labels"]}
            thoughts = ", ".join(f"not {named[label]}" for label in others)
            said = f"{thoughts}. " if self.reasoning else ""
            return f"{said}<answer>{named[right]}</answer>" + (
                "<confidence>1.0</confidence>" if self.confidence else ""
            )
        thoughts = "\n".join(ruled_out(label, task.inputs["language"]) for label in others)
        said = f"<reasoning>\n{thoughts}\n</reasoning>\n" if self.reasoning else ""
        return f"{said}<answer>\n{right}\n</answer>" + ("\n<confidence>1.0</confidence>" if self.confidence else "")
