"""Text-to-SQL for honewise."""

from collections.abc import Callable

from honewise import hookimpl


@hookimpl
def register_domains(register: Callable[..., None]) -> None:
    from .domain import text_to_sql

    register("text-to-sql", text_to_sql)
