"""Checkpoints that are there whole or not at all, and from which training goes on exactly.

A checkpoint is written into ``.saving``, synced to the disk and renamed, so a name ``checkpoint-<step>`` is never half
a checkpoint, whenever the process dies. It holds what transformers stores (weights, optimizer, scheduler, random
states, trainer state) and, in ``STATE``, what TRL forgets: its own step counter and the completions still to be
trained on.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from honewise.models.policy import Policy

__all__ = [
    "STATE",
    "ExactCheckpoints",
    "checkpoint_step",
    "gather_weights",
    "newest_checkpoint",
    "publish",
    "stored_state",
]

STATE = "honewise_state.pt"
_SAVING = ".saving"
_NAME = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def newest_checkpoint(folder: str | Path) -> Path | None:
    """The complete checkpoint of the highest step below ``folder``; leftovers of a write that died are removed."""
    folder = Path(folder)
    shutil.rmtree(folder / _SAVING, ignore_errors=True)
    found = _checkpoints(folder)
    return found[-1] if found else None


def checkpoint_step(checkpoint: Path) -> int:
    """The optimizer step after which it was written."""
    match = _NAME.fullmatch(checkpoint.name)
    if match is None:
        raise ValueError(f"{checkpoint} is not named like a checkpoint")
    return int(match[1])


def publish(draft: Path, final: Path) -> None:
    """Make a finished folder appear under its name: contents on the disk first, then the rename, then its parent."""
    for path in sorted(draft.rglob("*")):
        _sync(path)
    _sync(draft)
    os.rename(draft, final)
    _sync(final.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints, by step."""
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / STATE).is_file()]
    return sorted(named, key=checkpoint_step)


def stored_state(checkpoint: Path, rank: int = 0) -> dict[str, Any]:
    """What ``ExactCheckpoints.exact_state`` gave on the process ``rank``."""
    state: dict[str, Any] = torch.load(checkpoint / _state_file(rank), weights_only=True, map_location="cpu")
    return state


def _state_file(rank: int) -> str:
    return STATE if rank == 0 else f"{STATE}.{rank}"


def gather_weights(trainer: Any, policy: Policy) -> None:
    """Put the trained weights, whole, into ``policy.weights`` of the first process, where FSDP or DeepSpeed has them in
    parts; every process must call this."""
    if trainer.is_fsdp_enabled or trainer.is_deepspeed_enabled:
        policy.weights = trainer.accelerator.get_state_dict(trainer.model_wrapped)


class ExactCheckpoints:
    """Mixed into a trainer of transformers, before it in the order of bases."""

    args: Any
    state: Any
    accelerator: Any
    keep: int = 2
    _saving_into: Path | None = None

    def exact_state(self) -> dict[str, Any]:
        """What must be stored beside the state of transformers; tensors and plain values only."""
        return {}

    def restore_exact_state(self, state: dict[str, Any]) -> None:
        """Take back what ``exact_state`` gave, before the first step after a resume."""

    def go_on(self, checkpoint: Path | None, done: bool) -> None:
        """Train; from ``checkpoint`` on, if there is one. Where nothing is left to do, its weights are loaded."""
        if checkpoint is None or not done:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)  # type: ignore[attr-defined]
            return
        self._load_from_checkpoint(str(checkpoint))  # type: ignore[attr-defined]
        self.state.global_step = checkpoint_step(checkpoint)

    def _get_output_dir(self, trial: Any) -> str:  # noqa: ARG002 - the signature is transformers'
        return str(self._saving_into or self.args.output_dir)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        folder, name = Path(self.args.output_dir), f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        if (folder / name / STATE).is_file():
            return
        drafts = folder / _SAVING
        if self.args.should_save:
            shutil.rmtree(drafts, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._saving_into = drafts
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[misc]
        finally:
            self._saving_into = None
        torch.save(self.exact_state(), drafts / name / _state_file(self.args.process_index))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
            publish(drafts / name, folder / name)
            drafts.rmdir()
            for old in _checkpoints(folder)[: -self.keep]:
                shutil.rmtree(old)
        self.accelerator.wait_for_everyone()

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)  # type: ignore[misc]
        if checkpoint is not None:
            self.restore_exact_state(stored_state(Path(checkpoint), self.args.process_index))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: the run has a card of its own."""

    def _send_telemetry(self) -> None:
        """None: training calls nobody."""
