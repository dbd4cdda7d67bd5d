"""Reading a completion: what was chosen, and where; the reasoning; a stated confidence; whether it abstains.

What binds, in this order:

1. the last ``<answer>`` section that has anything in it (one that nothing closes goes on to the end);
2. the last ``\\boxed{}``;
3. what the text says, its ``<think>`` and ``<reasoning>`` sections left out: the last plain statement of an answer. A
   different one before it is overruled only where a correction or a conclusion is announced; else the text contradicts
   itself. Without a statement, an option that stands alone counts, if there is only one.

An option is named by its label, by the letter or digit of its place in other scripts, by an ordinal, or by its text.
Negations, possibilities, conditions and questions are no answers. Where it is not plain which one is meant, nothing is
chosen: ``answer`` is None. Nothing is inferred from what was ruled out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from honewise import Completion, Piece, Task

from .reading import lexicon
from .reading.mentions import Choices
from .reading.normal import Normal, fold, normal
from .reading.statements import Statement, statements

__all__ = ["TAGS", "choices_of", "eliminations", "parse", "read_confidence"]

TAGS = ("<reasoning>", "</reasoning>", "<answer>", "</answer>")
LONGEST = 8_000
"""Characters from the end of a text that are read for statements."""

_TAG = re.compile(r"</?(?:reasoning|think|thinking|answer|confidence)>", re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
_CONFIDENCE = re.compile(
    r"(?:confidence|اطمینان|الثقه|विश्वास|置信度|信心|確信度|확신|уверенность"
    r"|confianza|confiance|konfidenz|guven)"
    r"\s*(?:is|level|است|:|=|\-)?\s*(?:is|:|=)?\s*(\d{1,3}(?:[.,/]\d+)?)\s*(%|percent|درصد|٪)?"
)
_NUMBER = re.compile(r"\s*(\d{1,3}(?:[.,]\d+)?)\s*(%|٪|percent|درصد)?\s*")
_NEGATED = re.compile(
    r"(?<!\w)(?:not|except|false|incorrect|wrong|least|untrue|cannot|نیست|نادرست|غلط|به جز|بجز|نمی\w*|نمی|"
    r"لیس|لیست|باستثناء|عدا|خطا|خاطی\w*|"
    r"غیر|لا|نہیں|नहीं|गलत|असत्य|छोड़कर|নয়|ভুল|не|неверн\w*|кроме|исключ\w*|no|incorrect\w*|excepto|fals\w*|sauf|pas|faux|nicht|falsch\w*|"
    r"ausser|degil\w*|yanlis|δεν|λαθος|εκτος|לא|אינ\w*|שגוי\w*)(?!\w)|不|错|誤|ない|아닌|않|틀린|除"
)
_EMPTY = Piece("")


def choices_of(task: Task) -> Choices:
    """The options of a task as the reader looks for them."""
    return Choices.of(tuple(map(str, task.inputs["labels"])), tuple(map(str, task.inputs["options"])))


def parse(text: str, task: Task) -> Completion:
    """A ``Completion`` whose ``answer`` is the label that was chosen, or None. Takes time linear in the text.

    Pieces, each only where it is there: ``reasoning`` (the section, or what stands before the answer), ``answer`` (the
    section's inside), ``choice`` (where the option is named), ``confidence`` (the number), ``abstention`` (the words),
    and the first place of each tag under the tag itself.
    """
    labels, options = tuple(map(str, task.inputs["labels"])), tuple(map(str, task.inputs["options"]))
    return _read(text, str(task.inputs["question"]), labels, options)


@lru_cache(maxsize=64)
def _read(text: str, question: str, labels: tuple[str, ...], options: tuple[str, ...]) -> Completion:
    whole = Piece(text)
    tags = [(match[0].lower(), match.start(), match.end()) for match in _TAG.finditer(text)]
    pieces: dict[str, Piece] = {}
    for name, start, end in tags:
        if name in TAGS and name not in pieces:
            pieces[name] = whole.slice(start, end)
    choices, negated = Choices.of(labels, options), _is_negated(question)
    place, choice = _chosen(whole, tags, pieces, choices, negated)
    _reasoning(whole, tags, choice, pieces)
    _confidence(whole, tags, pieces)
    if place is None:
        _abstention(whole, tags, pieces)
        return Completion(text, None, pieces)
    if choice is not None:
        pieces["choice"] = choice
    return Completion(text, labels[place], pieces)


Tag = tuple[str, int, int]


def _chosen(
    whole: Piece, tags: Sequence[Tag], pieces: dict[str, Piece], choices: Choices, negated: bool
) -> tuple[int | None, Piece | None]:
    """The place of the option chosen and where it is named."""
    sections = _sections(whole, tags, "answer")
    filled = [section for section in sections if section.text.strip()]
    if sections:
        pieces["answer"] = (filled or sections)[-1]
        if not filled:
            return None, None
        if _listed(whole, filled):
            return None, None
        return _with_later(filled[-1], whole.slice(_after(filled[-1], tags), len(whole.text)), choices, negated)
    boxes = _boxes(whole)
    if boxes:
        if _listed(whole, boxes):
            return None, None
        return _with_later(boxes[-1], whole.slice(boxes[-1].end + 1, len(whole.text)), choices, negated)
    rest = _outside(whole, tags)
    said, text = _said(rest, choices, negated)
    return _decided(said, text, rest)


def _sections(whole: Piece, tags: Sequence[Tag], name: str) -> list[Piece]:
    """What stands in each section of a name; one that nothing closes goes on to the next tag or the end."""
    found: list[Piece] = []
    start: int | None = None
    for tag, begins, ends in tags:
        if tag == f"<{name}>":
            start = ends
        elif start is not None and tag == f"</{name}>":
            found.append(whole.slice(start, begins))
            start = None
    if start is not None:
        end = next((begins for _, begins, _ in tags if begins >= start), len(whole.text))
        found.append(whole.slice(start, end))
    return found


def _after(section: Piece, tags: Sequence[Tag]) -> int:
    return next((end for _, start, end in tags if start == section.end), section.end)


def _listed(whole: Piece, found: Sequence[Piece]) -> bool:
    """Whether the last two sections stand side by side and differ: a list, no correction."""
    if len(found) < 2 or fold(found[-1].text) == fold(found[-2].text):
        return False
    between = _TAG.sub("", _BOXED.sub("", whole.text[found[-2].end : found[-1].start]))
    return len(re.findall(r"[^\W_]+", between)) <= 1


def _boxes(whole: Piece) -> list[Piece]:
    found = []
    for match in _BOXED.finditer(whole.text[-LONGEST:]):
        start = match.end() + max(0, len(whole.text) - LONGEST)
        depth = 1
        for at in range(start, min(len(whole.text), start + 400)):
            depth += {"{": 1, "}": -1}.get(whole.text[at], 0)
            if not depth:
                found.append(whole.slice(start, at))
                break
    return found


def _with_later(section: Piece, later: Piece, choices: Choices, negated: bool) -> tuple[int | None, Piece | None]:
    """The section's answer, unless the text takes it back afterwards; then the later one, if that is plain."""
    said, text = _said(section, choices, negated, asked=True)
    place, choice = _decided(said, text, section)
    strong, after = _said(later, choices, negated)
    new, where = _decided([each for each in strong if each.kind in ("asserts", "denies", "unclear")], after, later)
    if new is None or new == place:
        return place, choice
    first = next(each.start for each in strong if each.kind == "asserts")
    return (new, where) if lexicon.CORRECTION.search(after.text[:first]) else (None, None)


def _outside(whole: Piece, tags: Sequence[Tag]) -> Piece:
    """What stands after the last section of thought; nothing where one is still open."""
    start, opened = 0, False
    for tag, _, ends in tags:
        if tag in ("<think>", "<thinking>", "<reasoning>"):
            opened = True
        elif tag in ("</think>", "</thinking>", "</reasoning>"):
            start, opened = ends, False
    return whole.slice(len(whole.text) if opened else start, len(whole.text))


def _said(piece: Piece, choices: Choices, negated: bool, *, asked: bool = False) -> tuple[list[Statement], Normal]:
    text = normal(piece.text[-LONGEST:])
    return statements(text, choices, negated=negated, asked=asked), text


def _decided(said: Sequence[Statement], text: Normal, piece: Piece) -> tuple[int | None, Piece | None]:
    final: Statement | None = None
    strong = [each for each in said if each.kind in ("asserts", "unclear", "denies")]
    if any(each.kind == "asserts" for each in strong):
        final = _last_word(strong, text)
    elif not any(each.kind == "unclear" for each in strong):
        denied = frozenset(place for each in strong for place in each.options)
        for kind in ("bare", "item"):
            plain = [each for each in said if each.kind == kind]
            named = {place for each in plain for place in each.options}
            if named:
                final = plain[-1] if len(named) == 1 and not named & denied else None
                break
    if final is None:
        return None, None
    start, end = text.original(final.start, final.end)
    shift = piece.start + max(0, len(piece.text) - LONGEST)
    offset = shift - piece.start
    return next(iter(final.options)), Piece(piece.text[offset + start : offset + end], shift + start)


def _last_word(said: Sequence[Statement], text: Normal) -> Statement | None:
    """The statement that binds; None where the text contradicts itself."""
    state: Statement | None = None
    open_set: frozenset[int] | None = None
    contradicts = False
    for each in said:
        since = state.end if state is not None else 0
        between = text.text[since : each.clause.end]
        corrected = bool(lexicon.CORRECTION.search(text.text[since : each.start]))
        if each.kind == "asserts":
            if (state is not None and state.options != each.options) or (
                open_set is not None and not each.options <= open_set
            ):
                contradicts = not (corrected or lexicon.FINAL.search(between))
            elif contradicts and state is not None and (corrected or lexicon.FINAL.search(between)):
                contradicts = False
            state, open_set = each, None
        elif each.kind == "unclear":
            if state is None:
                open_set = each.options or open_set
                contradicts = contradicts or not each.options
            elif each.options != state.options:
                contradicts = True
        elif state is not None and each.options & state.options and each.clause is not state.clause:
            state = None if corrected or _flat_denial(text, each) else state
    return None if contradicts else state


def _flat_denial(text: Normal, denial: Statement) -> bool:
    """ "Not B", without a reason that might speak of something else."""
    before = text.text[denial.clause.start : denial.start]
    return bool(lexicon.NEGATION.search(before)) and not re.search(r"\w", lexicon.NEGATION.sub("", before))


def _reasoning(whole: Piece, tags: Sequence[Tag], choice: Piece | None, pieces: dict[str, Piece]) -> None:
    for name in ("reasoning", "think", "thinking"):
        found = [section for section in _sections(whole, tags, name) if section.text.strip()]
        if found:
            pieces["reasoning"] = found[-1]
            return
    if any(name.strip("</>") in ("reasoning", "think", "thinking") for name, _, _ in tags):
        return
    opening = pieces.get("<answer>")
    end = opening.start if opening is not None else choice.start if choice is not None else len(whole.text)
    if whole.text[:end].strip():
        pieces["reasoning"] = whole.slice(0, end)


def _confidence(whole: Piece, tags: Sequence[Tag], pieces: dict[str, Piece]) -> None:
    found = [section for section in _sections(whole, tags, "confidence") if section.text.strip()]
    if found:
        pieces["confidence"] = found[-1]
        return
    tail = whole.slice(max(0, len(whole.text) - LONGEST), len(whole.text))
    if not any(character.isdigit() for character in tail.text):
        return
    text = normal(tail.text)
    stated = list(_CONFIDENCE.finditer(text.text))
    if stated:
        last = stated[-1]
        start, end = text.original(last.start(1), last.end(2) if last[2] else last.end(1))
        pieces["confidence"] = tail.slice(start, end)


def read_confidence(piece: Piece | None) -> float | None:
    """The probability that was stated, in [0, 1]: ``0.8``, ``80%`` or ``80``; None where it is none.

    >>> read_confidence(Piece("80 %")), read_confidence(Piece("۰٫۷")), read_confidence(Piece("very"))
    (0.8, 0.7, None)
    """
    if piece is None or len(piece.text) > 200:
        return None
    match = _NUMBER.fullmatch(normal(piece.text).text)
    if match is None:
        return None
    value = float(match[1].replace(",", "."))
    if match[2] or value > 1:
        value /= 100
    return value if 0 <= value <= 1 else None


def _abstention(whole: Piece, tags: Sequence[Tag], pieces: dict[str, Piece]) -> None:
    """The words that say that no answer is given, where they stand in the answer or, without one, in the text."""
    place = pieces.get("answer") or _outside(whole, tags)
    tail = place.slice(max(0, len(place.text) - LONGEST), len(place.text))
    text = normal(tail.text)
    match = lexicon.ABSTAIN.search(text.text)
    if match is None and "answer" in pieces and fold(tail.text) in ("none", "?", "n/a", "-"):
        pieces["abstention"] = tail
    elif match is not None:
        pieces["abstention"] = tail.slice(*text.original(*match.span()))


@lru_cache(maxsize=4096)
def _is_negated(question: str) -> bool:
    """Whether a question asks for what is not so. In doubt yes: a denial then takes nothing back."""
    return _NEGATED.search(normal(question).text) is not None


def eliminations(piece: Piece, task: Task) -> list[tuple[int, Piece]]:
    """The options that a text rules out, each with where that stands, in order.

    In a question that asks for what is not so, "C is false" may mean that C is the answer; there only "not C" and "C is
    ruled out" count.
    """
    choices, negated = choices_of(task), _is_negated(str(task.inputs["question"]))
    text = normal(piece.text[-LONGEST:])
    offset = max(0, len(piece.text) - LONGEST)
    found = []
    for each in statements(text, choices, negated=negated):
        if each.kind != "denies":
            continue
        clause = each.clause
        if (
            negated
            and not _flat_denial(text, each)
            and not lexicon.RULED_OUT.search(text.text[clause.start : clause.end])
        ):
            continue
        for mention in clause.named:
            if mention.options and mention.options <= each.options:
                # A single option is paid with the words that rule it out; of several, each with its own name.
                single = len(each.options) == 1
                start, end = (clause.start, clause.end) if single else (mention.start, mention.end)
                start, end = text.original(start, max(end, start + 1))
                found.append((min(mention.options), piece.slice(offset + start, offset + end)))
    return found
