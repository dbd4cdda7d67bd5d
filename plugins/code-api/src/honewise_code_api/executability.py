"""Whether code that calls model hubs or functions runs, with stand-ins for what it would import, call and download."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from honewise import Completion, Reward, SandboxError, Score, Task, Unscored
from honewise.errors import DataError
from honewise.sandbox.python import PythonLimits, PythonResult, run_python

from .apis import read_table
from .program_rewards import UNREADABLE, as_parts, runs_class

__all__ = ["RunReward", "known_names"]

_KEPT = 512


class RunReward:
    """One reward, which remembers what it ran."""

    def __init__(self, limits: PythonLimits) -> None:
        self._limits = limits
        self._run = lru_cache(maxsize=_KEPT)(self._ran)
        self.reward = Reward(fn=self.runs, name="runs", cost="process", deadline=2 * limits.seconds + 10.0)

    def runs(self, task: Task, completion: Completion) -> Score | Unscored:
        """1 where the code comes to its end, else 0; the parts say why: import, name, type, runtime, timeout, syntax.

        Packages of the hubs and the functions of the task are stand-ins: any attribute is there, any call returns
        another stand-in, nothing is downloaded. A package that is neither that nor in the standard library is an import
        error, and a function that the task does not know is a name error.
        """
        try:
            names = known_names(task)
            if completion.answer is None:
                return Score(parts=as_parts("unreadable"), feedback=UNREADABLE)
            found = self._run(completion.answer, names)
        except (SandboxError, OSError, DataError) as failure:
            return Unscored(str(failure))
        return Score(float(found.ok), parts=as_parts(runs_class(found.kind)), feedback=found.error)

    def _ran(self, code: str, names: tuple[str, ...]) -> PythonResult:
        prelude = f"{_stand_ins()}\nfor name in {names!r}:\n    setattr(builtins, name, StandIn())\n"
        return run_python(code, prelude=prelude, limits=self._limits)


def known_names(task: Task) -> tuple[str, ...]:
    """The first words of the names of the task's functions, or of the APIs of its table."""
    functions = task.inputs.get("functions")
    if functions is not None:
        names = [str(each.get("name")) for each in functions]
    else:
        names = (
            [api.call.name for api in read_table(str(task.reference["table"]))] if task.reference.get("table") else []
        )
    return tuple(sorted({name.partition(".")[0] for name in names}))


@lru_cache(maxsize=1)
def _stand_ins() -> str:
    return files(__package__).joinpath("stand_ins.txt").read_text(encoding="utf-8")
