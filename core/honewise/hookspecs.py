"""The five hooks of honewise. All of them register; the hot path calls ordinary objects.

A plugin is a module (or object) named by an entry point of group ``honewise``. Each hook gets one argument,
a callback; call it once per thing. Import heavy packages inside the hook, so that listing plugins stays fast.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

__all__ = ["HOOKS", "hookimpl", "hookspec"]

hookspec = pluggy.HookspecMarker("honewise")
hookimpl = pluggy.HookimplMarker("honewise")


@hookspec
def register_domains(register: Callable[..., None]) -> None:
    """Register the domains of this plugin: ``register(name, factory)``.

    Called once, when the plugin is loaded: by the name of one of its domains, or by a command that lists all.
    ``name`` is the entry point's name or ``entry-point/variant``. ``factory`` is a callable whose keyword
    arguments are the recipe's domain options and which returns a ``Domain``.

    Smallest plugin::

        from honewise import hookimpl

        @hookimpl
        def register_domains(register):
            from .domain import glossary
            register("glossary", glossary)
    """


@hookspec
def register_rewards(register: Callable[..., None]) -> None:
    """Register rewards that fit any domain: ``register(reward)``.

    Called when the plugin is loaded. The reward's full name becomes ``entry-point/name``; a rubric looks a name
    up in its domain first and then in full.

    Smallest plugin::

        from honewise import hookimpl, reward

        @reward
        def no_hedging(completion):
            return "perhaps" not in completion.text

        @hookimpl
        def register_rewards(register):
            register(no_hedging)
    """


@hookspec
def register_judges(register: Callable[..., None]) -> None:
    """Register judge templates that fit any domain: ``register(name, template)``.

    Called when the plugin is loaded. ``template`` is a ``JudgeTemplate`` or a protocol of ``honewise.judges``; its full
    name becomes ``entry-point/name``, by which a recipe may choose it.

    Smallest plugin::

        from honewise import JudgeTemplate, Verdict, hookimpl

        @hookimpl
        def register_judges(register):
            register("polite", JudgeTemplate("judges/polite.md", parse=lambda reply: Verdict(float(reply))))
    """


@hookspec
def register_estimators(register: Callable[..., None]) -> None:
    """Register advantage estimators: ``register(estimator)``.

    Called when the plugin is loaded, by a run that trains. ``estimator`` is an ``honewise.algorithms.Estimator``:
    a pure function on tensors and the inputs it declares to need. Its full name becomes ``entry-point/name``.

    Smallest plugin::

        from honewise import hookimpl

        @hookimpl
        def register_estimators(register):
            from .estimators import mine
            register(mine)
    """


@hookspec
def register_formats(register: Callable[..., None]) -> None:
    """Register dataset formats that fit any domain: ``register(name, reader)``.

    Called when the plugin is loaded. ``reader`` is a ``Reader``; its full name becomes ``entry-point/name``.

    Smallest plugin::

        from honewise import Reader, Task, hookimpl

        @hookimpl
        def register_formats(register):
            register("lines", Reader(lambda path: [Task(str(i), {"text": line})
                                                   for i, line in enumerate(path.read_text().splitlines())]))
    """


HOOKS: tuple[str, ...] = (
    "register_domains",
    "register_rewards",
    "register_judges",
    "register_estimators",
    "register_formats",
)
"""Every hook, in the order in which a plugin's hooks are called."""
