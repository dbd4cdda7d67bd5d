"""Multiple-choice medicine for honewise. For research on language models; not a medical device."""

from collections.abc import Callable

from honewise import hookimpl


@hookimpl
def register_domains(register: Callable[..., None]) -> None:
    from .domain import medical_mcq

    register("medical-mcq", medical_mcq)
