"""API calls, function calls and programs with unit tests, for honewise."""

from collections.abc import Callable

from honewise import hookimpl


@hookimpl
def register_domains(register: Callable[..., None]) -> None:
    from .domain import code_api, code_preferences, code_repair, code_tests

    register("code-api", code_api)
    register("code-api/tests", code_tests)
    register("code-api/repair", code_repair)
    register("code-api/preferences", code_preferences)
