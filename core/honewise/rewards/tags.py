"""Reading ``<tag>...</tag>`` sections in time linear in the text, and paying for them where they stand."""

from __future__ import annotations

import re
from collections.abc import Sequence

from honewise.contracts import Completion, Piece, Score

__all__ = ["pay_tags", "tagged"]


def tagged(text: str, tag: str) -> Piece | None:
    """What stands in the last closed ``<tag>...</tag>`` of a text, up to its first closing tag; None where none is.

    The last one binds, since a model that thinks aloud corrects itself later. Plain searching instead of a
    lazy regular expression: ``.*<tag>(.*?)</tag>`` takes quadratic time on a text that repeats the opening tag.

    >>> tagged("<answer>4</answer> no: <answer>5</answer>", "answer")
    Piece(text='5', start=31)
    """
    close = text.rfind(f"</{tag}>")
    opening = f"<{tag}>"
    start = text.rfind(opening, 0, max(close, 0))
    if start < 0:
        return None
    start += len(opening)
    return Piece(text[start : text.index(f"</{tag}>", start)], start)


def pay_tags(completion: Completion, tags: Sequence[str]) -> Score:
    """Pay each opening and closing tag that stands exactly once and in the order given: equal shares, sum 1.

    A tag that is missing, doubled or behind one that should follow it earns nothing; the others keep their shares, so
    half of the form earns half. A doubled tag is paid where it first stands and charged where it stands again: credit
    is settled by what is written so far, so that no later token can earn it anew.
    """
    wanted = [form for tag in tags for form in (f"<{tag}>", f"</{tag}>")]
    seen, paid, spans = set[str](), set[str](), []
    reached = -1
    for match in re.finditer("|".join(map(re.escape, wanted)), completion.text):
        form, piece = match[0], Piece(match[0], match.start())
        if form in paid:
            paid.remove(form)
            spans.append(piece.pays(-1 / len(wanted), f"{form} again"))
        elif form not in seen and wanted.index(form) > reached:
            paid.add(form)
            reached = wanted.index(form)
            spans.append(piece.pays(1 / len(wanted), form))
        seen.add(form)
    missing = len(wanted) - len(paid)
    return Score(spans=spans, feedback=f"{missing} of {len(wanted)} tags missing, doubled or misplaced" * bool(missing))
