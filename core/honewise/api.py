"""The Python face: load a domain, read its tasks, score completions, run a recipe.

>>> import honewise
>>> domain = honewise.load_domain("arithmetic")
>>> tasks = domain.tasks(limit=2)
>>> [row.correct for row in domain.score([domain.gold(task) for task in tasks], tasks=tasks)]
[True, True]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from honewise.contracts import Domain, Judge, Rubric, Scored, Task
from honewise.data import TaskSet, load_tasks
from honewise.errors import UserError, near
from honewise.host import get_host
from honewise.progress import Progress, Silent
from honewise.runs.processes import place
from honewise.scoring import Row, Scorer

if TYPE_CHECKING:
    from honewise.judges import Panel, TemplateJudge
    from honewise.runs.run import Run

__all__ = ["LoadedDomain", "load_domain", "load_judge", "run"]


@dataclass(frozen=True, slots=True)
class LoadedDomain:
    """A domain with its options, ready to use."""

    name: str
    options: Mapping[str, Any]
    domain: Domain = field(repr=False)

    def tasks(
        self,
        path: str | Path | None = None,
        *,
        format: str | None = None,
        split: str = "held-out",
        limit: int | None = None,
    ) -> TaskSet:
        """Tasks with prompts, of a file, folder or Hugging Face data set; without ``path`` the domain's own samples.

        Raises ``DataError`` where they cannot be read; see ``honewise.data.load_tasks``.
        """
        host = get_host()
        extra = {entry.name: entry.value for entry in host.formats.entries()}
        return load_tasks(self.domain, path=path, format=format, split=split, limit=limit, extra_formats=extra)

    def gold(self, task: Task) -> str | None:
        """A completion that earns the full verifiable reward; None where the data has none."""
        return self.domain.gold(task)

    def score(
        self,
        completions: Sequence[str] | Mapping[str, str | Sequence[str]],
        *,
        tasks: Iterable[Task] | None = None,
        rubric: Rubric | str | None = None,
        judge: Judge | Mapping[str, Any] | str | Path | None = None,
        workers: int | None = None,
        progress: Progress | None = None,
    ) -> list[Scored]:
        """Score completions: one for each task in order, or by task id, one text or several.

        Args:
            completions: texts, as many as there are tasks; or ``{task id: text or texts}``.
            tasks: None: the domain's own held-out samples.
            rubric: a rubric, a preset's name, or None for the domain's first.
            judge: a judge; or a recipe's section ``judge:`` as a mapping, or the path of a file that holds one, which
                is opened for this call. None leaves rewards that ask a judge out.
            workers: processes; None: one per core; 0: in this process, without protection.
            progress: told how far it is.

        Returns one ``Scored`` for each text, tasks in the order given. Raises ``UserError`` where texts and tasks do
        not fit together. Every call starts workers anew; keep a ``honewise.scoring.Scorer`` for many small ones.
        """
        rows = _rows(completions, tuple(self.tasks() if tasks is None else tasks))
        with ExitStack() as opened:
            if isinstance(judge, Mapping | str | Path):
                judge = load_judge(judge, progress=progress)
                opened.callback(judge.close)
            scorer = Scorer(self.name, self.options, rubric=rubric, judge=judge, workers=workers, progress=progress)
            return opened.enter_context(scorer).score(rows)


def load_domain(name: str, **options: Any) -> LoadedDomain:
    """A domain by its name, ``text-to-sql`` or ``plugin/variant``; ``options`` are the domain's own.

    Raises ``UnknownName`` with near matches, ``PluginError`` where its plugin is broken, and ``UserError`` on an
    option that it does not take.
    """
    return LoadedDomain(name, dict(options), get_host().domain(name, **options))


def load_judge(source: Mapping[str, Any] | str | Path, *, progress: Progress | None = None) -> TemplateJudge | Panel:
    """A judge, or a panel of several, that can be asked: ``await judge(template, slot="text")``. Use it as a context
    manager, or close it.

    ``source`` is a recipe's section ``judge:`` as a mapping, a YAML file that holds one, or a recipe that has one.
    Raises ``RecipeError`` with all faults, ``UserError`` where the key's variable is not set, the endpoint refuses the
    key or a local model cannot be loaded, and ``MissingExtra``.
    """
    from honewise.recipes.judge_file import load_judge_spec
    from honewise.stages.judging import open_judge

    return open_judge(load_judge_spec(source), (progress or Silent()).note)


def run(recipe: str | Path, *overrides: str, resume: bool = False, progress: Progress | None = None) -> Run:
    """Run a recipe: a file, or ``domain/name`` of an installed plugin; ``overrides`` are ``"dotted.key=value"``.

    Returns the finished run, audited, with its card and its report written. Raises ``RecipeError`` with all faults of
    the recipe, and ``RunError`` where its folder is taken by an unfinished run, with which ``resume`` goes on.
    """
    from honewise import report
    from honewise.stages import runner

    finished = runner.run_recipe(recipe, overrides, resume=resume, progress=progress)
    if place().first:
        report.end(finished, progress)
    return finished


def _rows(completions: Sequence[str] | Mapping[str, str | Sequence[str]], tasks: Sequence[Task]) -> list[Row]:
    if isinstance(completions, str):
        raise UserError("completions must be a list of texts or a mapping by task id; this is one text")
    if not isinstance(completions, Mapping):
        if len(completions) != len(tasks):
            raise UserError(
                f"{len(completions)} completions for {len(tasks)} tasks; give one for each in order, or a mapping by"
                " task id"
            )
        return [Row(task, text, group=index) for index, (task, text) in enumerate(zip(tasks, completions, strict=True))]
    known = {task.id for task in tasks}
    for identity in completions:
        if identity not in known:
            raise UserError(f"no task has the id {identity!r}{near(str(identity), known)}")
    rows: list[Row] = []
    for index, task in enumerate(tasks):
        texts = completions.get(task.id, ())
        rows += [Row(task, text, group=index) for text in ([texts] if isinstance(texts, str) else texts)]
    return rows
