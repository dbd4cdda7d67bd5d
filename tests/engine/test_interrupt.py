"""Ctrl-C in training: none is lost, none counts twice, whenever it comes and whichever process it reaches first."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

pytest.importorskip("trl")

from honewise.engine import callbacks
from honewise.engine.callbacks import Interrupt, deferred_interrupt
from honewise.progress import Silent


def control_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def step(interrupt: Interrupt) -> bool:
    """Whether training stops after a step."""
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    interrupt.on_step_end(None, None, control)
    assert control.should_save == control.should_training_stop
    return control.should_training_stop


def test_the_step_ends_and_then_it_is_raised() -> None:
    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(interrupt, Silent()):
        assert not step(interrupt)
        control_c()
        assert step(interrupt)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_second_is_raised_at_once() -> None:
    interrupt, after = Interrupt(), False
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(interrupt, Silent()):
        control_c()
        control_c()
        after = True
    assert not after


def test_one_that_comes_while_the_processes_agree_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    def agree(flag: bool) -> bool:
        control_c()
        return flag

    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(interrupt, Silent()):
        with monkeypatch.context() as patch:
            patch.setattr(callbacks, "agree", agree)
            assert not step(interrupt)
        assert step(interrupt)


def test_the_first_here_is_no_second_though_another_process_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt, after = Interrupt(), False
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(interrupt, Silent()):
        with monkeypatch.context() as patch:
            patch.setattr(callbacks, "agree", lambda _: True)
            assert step(interrupt)
        control_c()
        after = True
    assert after


def test_one_that_comes_after_the_last_step_is_raised_at_the_end() -> None:
    interrupt = Interrupt()
    with pytest.raises(KeyboardInterrupt), deferred_interrupt(interrupt, Silent()):
        assert not step(interrupt)
        control_c()
