"""What plugin authors and core agree on: rows, text, pictures and character positions.

Never a tensor, never a token id. Everything here is immutable and needs the standard library only;
all of it is re-exported by ``honewise``.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, overload

__all__ = [
    "Cell",
    "Completion",
    "Domain",
    "Generation",
    "Generator",
    "Judge",
    "JudgeTemplate",
    "Message",
    "Metric",
    "Piece",
    "Reader",
    "Reward",
    "Rubric",
    "Score",
    "Scored",
    "Span",
    "Task",
    "Term",
    "TokenChoice",
    "Unscored",
    "Verdict",
    "reward",
]

Message = Mapping[str, Any]
"""``{"role": "system" | "user" | "assistant", "content": text}``, as chat templates take it."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})
ARGUMENTS = frozenset({"task", "completion", "tasks", "completions", "judge"})


@dataclass(frozen=True, slots=True)
class Task:
    """One problem. All of its values are JSON: hashed, stored, printed, sent to worker processes."""

    id: str
    """The data set's own id, else the zero-based row index as text."""
    inputs: Mapping[str, Any]
    """What the prompt may show."""
    reference: Mapping[str, Any] = field(default_factory=dict)
    """What rewards and judges may see and the policy may not: the gold answer, a hidden test."""
    images: tuple[str, ...] = ()
    """Paths or data URLs."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Anything worth reporting by: difficulty, subject, source."""
    prompt: tuple[Message, ...] = ()
    """Filled by core from ``Domain.prompt``; readers leave it empty."""


@dataclass(frozen=True, slots=True)
class Span:
    """Credit (``value`` > 0) or charge (< 0) for the characters ``[start, end)`` of a completion."""

    start: int
    end: int
    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Text that knows where it stands in the completion; offsets stay absolute through ``find``.

    >>> piece = Piece("SELECT name", start=10)
    >>> next(piece.find("name")).pays(0.5, "column")
    Span(start=17, end=21, value=0.5, label='column')
    """

    text: str
    start: int = 0

    @property
    def end(self) -> int:
        return self.start + len(self.text)

    def find(self, pattern: str, flags: int = 0) -> Iterator[Piece]:
        """Each match of the regular expression, in order."""
        for match in re.finditer(pattern, self.text, flags):
            yield Piece(match[0], self.start + match.start())

    def slice(self, start: int, end: int) -> Piece:
        """The piece at ``[start, end)`` of this piece's own text."""
        return Piece(self.text[start:end], self.start + start)

    def pays(self, value: float, label: str = "") -> Span:
        """Credit of ``value`` for exactly this text; negative is a charge."""
        return Span(self.start, self.end, value, label)


@dataclass(frozen=True, slots=True)
class Completion:
    """What the model wrote, and the domain's one reading of it, shared by all rewards."""

    text: str
    answer: Any = None
    """JSON; None where the text cannot be read as an answer, which is the model's fault."""
    pieces: Mapping[str, Piece] = field(default_factory=dict)
    """Named parts of ``text``: reasoning, answer, steps, ..."""
    tokens: int = 0
    """Number of generated tokens; filled by core, 0 where unknown."""
    truncated: bool = False
    """True where generation was cut at its limit; filled by core."""
    segments: tuple[tuple[int, int, str], ...] = ()
    """``(start, end, role)`` of several turns; empty where all of ``text`` is the model's."""


@dataclass(frozen=True, slots=True)
class Score:
    """Terminal credit plus spans; the value is their sum, so sparse and dense forms have one total."""

    terminal: float = 0.0
    spans: Sequence[Span] = ()
    correct: bool | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    """Named numbers for the log."""
    feedback: str = ""
    """One line that tells the model or a person why."""

    @property
    def value(self) -> float:
        return self.terminal + sum(span.value for span in self.spans)


@dataclass(frozen=True, slots=True)
class Unscored:
    """The score could not be computed, through no fault of the model. Never a zero."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """A reward function and what core must know to run it safely.

    ``fn`` takes by name any of ``task, completion, judge`` (or ``tasks, completions``: a batch, returning a
    sequence of the same length), sync or async; its keyword-only arguments are options a recipe may set. It
    returns ``float | bool | Score | Unscored`` (a bool sets ``correct``); None, NaN or raising is ``Unscored``.
    """

    fn: Callable[..., Any]
    name: str
    bounds: tuple[float, float] = (0.0, 1.0)
    """The range of its value; a value outside is ``Unscored``."""
    deadline: float = 5.0
    """Seconds per completion, after which the worker is killed."""
    cost: Literal["cpu", "process", "judge", "device"] = "cpu"
    """``process``: it runs what the model wrote, so a hang or crash scores the lower bound. ``cpu``: a hang is
    ``Unscored``. ``judge``: awaited on the judge client. ``device``: batched in the training process."""
    exempt: Mapping[str, str] = field(default_factory=dict)
    """Contract checks it declares not to obey, each with the reason: ``{"gold": ..., "empty": ...}``."""

    @property
    def arguments(self) -> frozenset[str]:
        """Which of task, completion, tasks, completions, judge ``fn`` asks for."""
        return frozenset(inspect.signature(self.fn).parameters) & ARGUMENTS

    @property
    def options(self) -> Mapping[str, Any]:
        """Keyword-only arguments a recipe may set, with their defaults (``inspect.Parameter.empty``: required)."""
        parameters = inspect.signature(self.fn).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in ARGUMENTS}

    @property
    def batch(self) -> bool:
        """True where ``fn`` takes ``tasks`` or ``completions`` and returns one result for each."""
        return bool(self.arguments & {"tasks", "completions"})

    @property
    def asynchronous(self) -> bool:
        return inspect.iscoroutinefunction(self.fn)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call ``fn`` as it is, for tests of the reward itself."""
        return self.fn(*args, **kwargs)


@overload
def reward(fn: Callable[..., Any], /) -> Reward: ...
@overload
def reward(
    *,
    name: str = ...,
    bounds: tuple[float, float] = ...,
    deadline: float = ...,
    cost: Literal["cpu", "process", "judge", "device"] = ...,
    exempt: Mapping[str, str] = ...,
) -> Callable[[Callable[..., Any]], Reward]: ...
def reward(fn: Callable[..., Any] | None = None, /, *, name: str = "", **settings: Any) -> Any:
    """Make a ``Reward`` of a function; bare, or with the fields of ``Reward``. The name is the function's.

    Where ``cost`` is not said, a function that takes ``judge`` costs "judge", any other "cpu".
    """

    def wrap(function: Callable[..., Any]) -> Reward:
        asks_judge = "judge" in inspect.signature(function).parameters
        if asks_judge:
            settings.setdefault("cost", "judge")
            settings.setdefault("deadline", 60.0)
        return Reward(fn=function, name=name or function.__name__, **settings)

    return wrap if fn is None else wrap(fn)


@dataclass(frozen=True, slots=True)
class Term:
    """A reward's place in a rubric. Applied in this order: normalise, clip, weight."""

    weight: float | Mapping[int, float] = 1.0
    """A constant, or ``{step: weight}``: from each step on, that weight; before the first, the first."""
    when: str | None = None
    """Gate ``"other >= 1"`` (<, <=, ==, !=, >=, >) on another reward's raw value. Closed: scored as ``otherwise``."""
    otherwise: float = 0.0
    clip: tuple[float, float] | None = None
    normalise: Literal["none", "bounds"] = "none"
    """``bounds``: the reward's declared range is mapped to [0, 1]."""
    on_unscored: Literal["skip", "drop_group", "zero", "raise"] = "skip"
    options: Mapping[str, Any] = field(default_factory=dict)
    """Keyword-only arguments of the reward's function."""


@dataclass(frozen=True, slots=True)
class Rubric:
    """Named rewards with their weights: what a completion is worth."""

    terms: Mapping[str, float | Term]
    correct: str | None = None
    """The reward whose ``correct`` is the completion's."""
    cap_wrong: bool = False
    """A wrong completion never totals as much as the least a right one can; the cut is terminal."""

    def term(self, name: str) -> Term:
        term = self.terms[name]
        return term if isinstance(term, Term) else Term(float(term))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said, as a number."""

    value: float
    rationale: str = ""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class JudgeTemplate:
    """A text file of the plugin's package, with ``{{slot}}`` placeholders, and the parser of the reply."""

    file: str
    parse: Callable[[str], Verdict]
    """Raises ``ValueError`` on a reply without a usable verdict; the last verdict in a reply binds."""
    package: str = ""
    """Where ``file`` stands: a package, or any module of it (``__name__``); left out, that of ``parse``."""
    schema: Mapping[str, Any] | None = field(default=None, hash=False)
    """A JSON schema of the reply, for endpoints that can hold a model to one."""
    form: str = ""
    """Words of our own that stand below the file's: how to reply, by which principle. Never what a model wrote."""


class Judge(Protocol):
    """Asks a language model. Raises ``JudgeError`` after its retries; core makes that ``Unscored``.

    ``images`` (paths or data URLs) are shown below the text. A slot is a text, or a list of them that is numbered.
    """

    async def __call__(
        self, template: JudgeTemplate, /, *, images: Sequence[str] = (), **slots: str | Sequence[str]
    ) -> Verdict: ...


@dataclass(frozen=True, slots=True)
class TokenChoice:
    """One generated token and what stood to choose; log-probabilities in nats, of the model itself (temperature 1)."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()
    """The likeliest tokens at this place, the likeliest first, as far as they were asked for."""


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote for one conversation."""

    text: str
    prompt_tokens: int = 0
    tokens: int = 0
    truncated: bool = False
    """Cut at the most tokens allowed."""
    logprobs: tuple[TokenChoice, ...] = ()
    """One for each generated token, where they were asked for and can be had."""


class Generator(Protocol):
    """A model of this process as judges see it: conversations in, texts out."""

    def generate(
        self,
        prompts: Sequence[Sequence[Message]],
        *,
        temperature: float,
        max_tokens: int,
        top_p: float = 1.0,
        seeds: Sequence[int] = (),
        top_logprobs: int | None = None,
    ) -> list[Generation]:
        """One for each prompt, in order; one seed for each, or none. ``top_logprobs``: None asks for none at all."""
        ...


@dataclass(frozen=True, slots=True)
class Reader:
    """How one published layout becomes tasks."""

    read: Callable[[Path], Iterable[Task]]
    """From a file, or the folder that holds the data set in its published layout."""
    recognise: Callable[[Path], bool] | None = None
    """True where the content is of this format; cheap, never raises on foreign content."""
    rows: Callable[[Iterable[Mapping[str, Any]]], Iterable[Task]] | None = None
    """From the rows of a Hugging Face data set, where the format has one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One reward of one completion, as the rubric took it."""

    value: float | None
    """After normalise and clip, before weight; None where unscored."""
    weight: float = 1.0
    unscored: str | None = None
    """The reason."""
    gated: bool = False
    terminal: float = 0.0
    """``value`` minus the spans."""
    spans: tuple[Span, ...] = ()
    correct: bool | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    feedback: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Scored:
    """One completion with all its cells: what metrics, stores and trainers see."""

    task: Task
    completion: Completion
    rewards: Mapping[str, Cell]
    total: float | None = None
    """Sum of weight x value plus ``cut``; None where a weighted reward is unscored."""
    correct: bool | None = None
    cut: float = 0.0
    """What a cap took (<= 0), as terminal credit."""


Metric = Callable[[Sequence[Scored]], Mapping[str, float]]
"""From scored rows to named numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """A whole domain: how to ask, how to read the answer, what it is worth.

    Registered as a factory whose keyword arguments are the recipe's domain options; worker processes
    rebuild it from (name, options).
    """

    prompt: Callable[[Task], Sequence[Message]]
    parse: Callable[[str, Task], Completion]
    """Total: any text gives a ``Completion``; unreadable text gives ``answer=None``."""
    gold: Callable[[Task], str | None]
    """A completion, in the form the prompt asks for, that earns the full verifiable reward; None without gold."""
    samples: Callable[[str], Iterable[Task]]
    """Tasks of the plugin's own making: ``"train"`` or ``"held-out"``."""
    rewards: Sequence[Reward]
    rubrics: Mapping[str, Rubric]
    """Presets; the first is the default."""
    readers: Mapping[str, Reader | Callable[[Path], Iterable[Task]]] = field(default_factory=dict)
    judges: Sequence[JudgeTemplate] = ()
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    difficulty: Callable[[Task], float] | None = None
