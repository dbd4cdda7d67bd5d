"""Physics for honewise."""

from collections.abc import Callable

from honewise import hookimpl


@hookimpl
def register_domains(register: Callable[..., None]) -> None:
    from .domain import physics

    register("physics", physics)
