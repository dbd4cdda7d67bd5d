"""Reading ``<tag>...</tag>`` sections in time linear in the text, and paying for them where they stand."""

from __future__ import annotations

from collections.abc import Sequence

from honewise.contracts import Completion, Piece, Score

__all__ = ["pay_tags", "tagged"]


def tagged(text: str, tag: str) -> Piece | None:
    """What stands in the last closed ``<tag>...</tag>`` of ``text``, the tags left out; None where there is none.

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
    return Piece(text[start:close], start)


def pay_tags(completion: Completion, tags: Sequence[str]) -> Score:
    """Pay each opening and closing tag that stands exactly once and in the order given: equal shares, sum 1.

    A tag that is missing, doubled or before its predecessor earns nothing; the others keep their shares, so
    half of the form earns half.
    """
    wanted = [form for tag in tags for form in (f"<{tag}>", f"</{tag}>")]
    text, reached, spans = completion.text, 0, []
    for form in wanted:
        at = text.find(form)
        if at < reached or text.find(form, at + 1) >= 0:
            continue
        reached = at + len(form)
        spans.append(Piece(form, at).pays(1 / len(wanted), form))
    missing = len(wanted) - len(spans)
    return Score(spans=spans, feedback=f"{missing} of {len(wanted)} tags missing, doubled or misplaced" * bool(missing))
