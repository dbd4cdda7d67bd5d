"""Ctrl-C in training: none is lost, none counts twice, whenever it comes and whichever process it reaches first."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import SimpleNamespace

import pytest

pytest.importorskip("trl")

from honewise.engine import callbacks
from honewise.engine.callbacks import Interrupt, deferred_interrupt
from honewise.progress import Silent


def control_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


class Training:
    """A training whose steps are taken one by one; ``stopped`` has for each whether training was to stop after it."""

    def __init__(self) -> None:
        self.interrupt = Interrupt()
        self.stopped: list[bool] = []

    def step(self) -> None:
        control = SimpleNamespace(should_save=False, should_training_stop=False)
        self.interrupt.on_step_end(None, None, control)
        assert control.should_save == control.should_training_stop
        self.stopped.append(control.should_training_stop)

    def run(self, *parts: Callable[[], None]) -> None:
        with deferred_interrupt(self.interrupt, Silent()):
            for part in parts:
                part()


def test_the_step_ends_and_then_it_is_raised() -> None:
    training = Training()
    with pytest.raises(KeyboardInterrupt):
        training.run(training.step, control_c, training.step)
    assert training.stopped == [False, True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_is_raised_at_once() -> None:
    training = Training()
    with pytest.raises(KeyboardInterrupt):
        training.run(control_c, control_c, training.step)
    assert training.stopped == []


def test_one_that_comes_while_the_processes_agree_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def agree(flag: bool) -> bool:
        if not training.stopped:
            control_c()
        return flag

    training = Training()
    monkeypatch.setattr(callbacks, "agree", agree)
    with pytest.raises(KeyboardInterrupt):
        training.run(training.step, training.step)
    assert training.stopped == [False, True]


def test_the_first_here_is_no_second_though_another_process_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    training, ended = Training(), []
    monkeypatch.setattr(callbacks, "agree", lambda _: True)
    with pytest.raises(KeyboardInterrupt):
        training.run(training.step, control_c, lambda: ended.append("a checkpoint is written"))
    assert training.stopped == [True]
    assert ended


def test_one_that_comes_after_the_last_step_is_raised_at_the_end() -> None:
    training = Training()
    with pytest.raises(KeyboardInterrupt):
        training.run(training.step, control_c)
    assert training.stopped == [False]
