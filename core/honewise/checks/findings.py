"""What a check found, and how one is run so that a broken domain cannot break the checker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from honewise.contracts import Reward

from .watch import watched

__all__ = ["DOMAIN_CHECKS", "PRESET_CHECKS", "REWARD_CHECKS", "Check", "Finding", "judge_reward", "run"]

_SHOWN = 3
_CHECK_SECONDS = 60.0
"""After so long without an end to anything, whoever watches may end a check."""


@dataclass(frozen=True, slots=True)
class Check:
    """What must hold, and what to do where it does not."""

    promise: str
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One check of one subject."""

    check: str
    """A key of ``DOMAIN_CHECKS``, ``REWARD_CHECKS`` or ``PRESET_CHECKS``, or ``exempt``."""
    ok: bool
    subject: str
    """``domain x``, ``reward y``, ``preset z``, ``reader w`` or ``judge template v``."""
    explanation: str
    """What was found; where the check holds, what holds."""
    fix: str = ""
    """Empty where the check holds."""

    def __str__(self) -> str:
        if self.ok:
            return f"ok {self.check}, {self.subject}: {self.explanation}"
        return f"{self.check}, {self.subject}: {self.explanation}" + (f"\n  fix: {self.fix}" if self.fix else "")


DOMAIN_CHECKS: Mapping[str, Check] = {
    "fields": Check(
        "every field of the Domain is of its type",
        "see honewise.Domain; functions marked with @reward are Rewards, presets are Rubrics",
    ),
    "rewards": Check(
        "reward names are unique, bounds are ordered and finite, deadlines positive, exemptions known and explained",
        "correct the arguments of @reward",
    ),
    "rubrics": Check(
        "there is a preset; its terms, gates and `correct` name rewards that exist, its weights are finite, and "
        "rewards get the options they need",
        "correct the terms of the Rubric, or add the missing reward to Domain.rewards",
    ),
    "sendable": Check(
        "every reward function can be imported by name in another process",
        "define it at the top level of a module of the plugin; what it must know goes into keyword-only options",
    ),
    "workers": Check(
        "worker processes build the domain by its name and score as this process does",
        "keep state out of modules, and let the factory depend on its options alone",
    ),
    "samples": Check(
        "there are samples of both splits, with unique ids, and none is in both",
        "give every sample its own id, and keep each in one split",
    ),
    "tasks": Check(
        "tasks are JSON: what is read back equals what was written",
        "use text, numbers, booleans, None, lists and objects with text keys only",
    ),
    "prompt": Check(
        "each task has a prompt: messages with a role and content, the same every time",
        "return a list of {'role': ..., 'content': ...} from Domain.prompt",
    ),
    "leak": Check(
        "the prompt shows nothing of Task.reference",
        "build the prompt from Task.inputs alone; what the policy may see belongs there",
    ),
    "gold-form": Check(
        "sample tasks have a gold completion, and the domain's own parser reads an answer from it",
        "write the gold completion in exactly the form that the prompt asks for and `parse` reads",
    ),
    "parse": Check(
        "any text is read into a Completion of that text, the same every time; an empty text has no answer",
        "return Completion(text) for what cannot be read; keep the text as it is",
    ),
    "pieces": Check(
        "each piece is the text at its own position: text[piece.start:piece.end] == piece.text",
        "take the start from the match in the whole text, before stripping or replacing anything",
    ),
    "parse-eval": Check(
        "reading never evaluates what the model wrote",
        "read literals with ast.literal_eval or json.loads, never with eval or exec",
    ),
    "parse-time": Check(
        "parsing takes time about linear in the length of the text, up to 100 kB (in an audit 1 MB)",
        "search with str.find and str.rfind (honewise.rewards.tagged) in place of nested or lazy patterns",
    ),
    "readers": Check(
        "each reader can tell its own format from other files without raising",
        "wrap it as Reader(read, recognise=...); recognise looks at names and keys and returns False in doubt",
    ),
    "judges": Check(
        "each judge template is a file of the plugin's package with placeholders, its parser refuses a reply without "
        "a verdict by ValueError, and a reward fills exactly its placeholders",
        "ship the file as package data beside its parser, and pass one keyword argument for each placeholder",
    ),
    "metrics": Check(
        "each metric gives finite numbers by name, also for no rows at all",
        "return {} for what cannot be computed; convert to float",
    ),
    "difficulty": Check("difficulty is a finite number", "return a float for every task, or leave it out"),
}
"""Checks of the domain as a whole."""

REWARD_CHECKS: Mapping[str, Check] = {
    "scored": Check(
        "it scores whatever the model wrote: a text it cannot make sense of gets its least, never Unscored",
        "catch what the model's text can cause and return the lowest value; Unscored is for failures of ours",
    ),
    "bounds": Check("its value stays within its bounds", "clamp the value, or declare the true bounds"),
    "spans": Check(
        "its spans lie inside the completion's text", "pay pieces (piece.pays(...)): their offsets are absolute"
    ),
    "settled": Check(
        "to write the gold completion once more, or a part of it, earns no more than the total gains by it",
        "let the parser name the pieces that are paid (`answer`, `reasoning`): each is then paid what it adds; what "
        "else later text undoes is charged where it stands, as `honewise.rewards.pay_tags` does",
    ),
    "deterministic": Check(
        "it gives the same score for the same completion, and changes neither it nor the task",
        "sort what comes from sets, seed what is random, copy what is to be changed",
    ),
    "batch": Check(
        "a completion scores the same alone, in a batch, and in another order",
        "return one result for each completion, in order, that depends on that completion alone",
    ),
    "state": Check(
        "its score follows from task and completion: not from what was scored before, the working folder, the "
        "environment or the state of `random`",
        "keep nothing between calls but what follows from the arguments, and read no variables and no relative paths",
    ),
    "eval": Check(
        "it never evaluates what the model wrote",
        "read literals with ast.literal_eval or json.loads; what must run goes through honewise.sandbox",
    ),
    "gold": Check(
        "no other completion tried scores above the gold one",
        "see why the other completion earns more; a reward for which gold is not best says exempt={'gold': 'why'}",
    ),
    "empty": Check(
        "no completion tried scores below the empty one",
        "give the empty completion the least; a reward that cannot says exempt={'empty': 'why'}",
    ),
    "deadline": Check(
        "it scores 100 kB of text (in an audit 1 MB) within its deadline",
        "cut the text first, or use an algorithm whose time is linear in its length",
    ),
    "survives": Check(
        "it comes back from every text tried, and leaves the process alive",
        "find what makes it hang or crash on that text; what runs model text belongs in honewise.sandbox",
    ),
}
"""Checks of each reward; ``Reward.exempt`` may name them."""

PRESET_CHECKS: Mapping[str, Check] = {
    "preset-gold": Check(
        "the gold completion is correct, has a higher total than the empty one, and no other tried has a higher one",
        "look at the parts of the two totals; a partial reward must not outweigh being right",
    ),
    "preset-empty": Check(
        "the empty completion is not correct, and no completion tried has a lower total",
        "let charges take back what was earned, not more; or give the empty completion the least of each reward",
    ),
    "preset-fooled": Check(
        "no hostile or degenerate completion is correct",
        "see what the deciding reward takes for an answer: it must read the answer alone, and compare all of it",
    ),
    "preset-total": Check(
        "credit in spans and at the end adds up to the total",
        "return finite values of ordinary size",
    ),
}
"""Checks of each preset."""

_ALL = {**DOMAIN_CHECKS, **REWARD_CHECKS, **PRESET_CHECKS}


def run(check: str, subject: str, problems: Callable[[], Iterable[str]]) -> Finding:
    """Take the problems a check yields, and whatever the domain raises meanwhile, as one finding."""
    with watched(subject, f"check {check!r}", _CHECK_SECONDS):
        found = _collect(problems)
    if found:
        return Finding(check, False, subject, found, _ALL[check].fix)
    return Finding(check, True, subject, _ALL[check].promise)


def judge_reward(check: str, reward: Reward, problems: Callable[[], Iterable[str]], *, own: bool) -> Finding:
    """Like ``run``, for a reward that may be exempt. An exemption without need is a finding where it is ``own``:
    a reward of the domain itself; a reward made for any domain cannot know."""
    subject = f"reward {reward.name}"
    finding = run(check, subject, problems)
    reason = reward.exempt.get(check)
    if reason is None:
        return finding
    if not finding.ok:
        return Finding(check, True, subject, f"exempt: {reason} ({finding.explanation})")
    if not own:
        return finding
    return Finding(
        "exempt",
        False,
        subject,
        f"it is exempt from {check!r} ({reason}), but nothing was found that breaks it",
        f"remove {check!r} from its exempt, so that the promise is held from now on",
    )


def _collect(problems: Callable[[], Iterable[str]]) -> str:
    found: list[str] = []
    more = False
    try:
        for problem in islice(problems(), 200):
            more = len(found) == _SHOWN
            if more:
                break
            if problem not in found:
                found.append(problem)
    except (Exception, SystemExit) as error:
        found.append(f"raised {describe(error)}")
    return "; ".join(found) + ("; and more" if more else "")


def describe(thing: Any) -> str:
    """An error or a text, short, on one line."""
    if isinstance(thing, BaseException):
        return f"{type(thing).__name__}: {' '.join(str(thing).split())[:300]}"
    text = repr(thing)
    return text if len(text) <= 80 else f"{text[:60]}... ({len(thing)} characters)"
