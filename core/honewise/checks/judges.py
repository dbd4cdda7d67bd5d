"""Checks of judge templates: the file, its placeholders, its parser, and what rewards fill in."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator

from honewise import templates
from honewise.contracts import JudgeTemplate
from honewise.errors import UserError

from .bench import Bench
from .findings import Finding, describe, run

__all__ = ["judges"]

_NO_VERDICTS = ("", "I cannot say.", "\x00", "مرحبا", "{" * 500, "[[[", "<score></score>", "Score: none")


def judges(bench: Bench) -> Iterator[Finding]:
    """Each template that the domain lists or, while its rewards ran, that a judge was asked with."""
    asked = [template for template, _ in bench.judge.calls] if bench.judge else []
    distinct = {_place(template): template for template in reversed([*bench.domain.judges, *asked])}
    for template in reversed(distinct.values()):
        yield run("judges", f"judge template {template.file}", functools.partial(_template, bench, template))


def _template(bench: Bench, template: JudgeTemplate) -> Iterator[str]:
    if _place(template) not in map(_place, bench.domain.judges):
        yield "a reward asks with it, and Domain.judges does not list it"
    home = templates.home_of(template) if template.package else bench.package or templates.home_of(template)
    try:
        slots = templates.slots_of(templates.load(home, template.file))
    except UserError as error:
        yield str(error)
    else:
        if not slots:
            yield "it has no {{placeholder}}: the judge would not see the answer"
        calls = bench.judge.calls if bench.judge else []
        for used in {used for asked, used in calls if _place(asked) == _place(template)}:
            if missing := sorted(slots - used):
                yield f"a reward leaves the placeholder {missing[0]!r} empty"
            if unknown := sorted(used - slots):
                yield f"a reward fills {unknown[0]!r}, for which it has no placeholder"
    yield from _parser(template)


def _place(template: JudgeTemplate) -> tuple[str, str]:
    """A template is its file: protocols ask with one in several forms."""
    return templates.home_of(template), template.file


def _parser(template: JudgeTemplate) -> Iterator[str]:
    for reply in _NO_VERDICTS:
        try:
            verdict = template.parse(reply)
        except ValueError:
            continue
        except (Exception, SystemExit) as error:
            yield f"parsing the reply {describe(reply)} raised {describe(error)}; ValueError is expected"
            continue
        if not math.isfinite(verdict.value):
            yield f"parsing the reply {describe(reply)} gave the verdict {verdict.value!r}"
        elif not reply:
            yield f"parsing an empty reply gave the verdict {verdict.value!r}; ValueError is expected"
