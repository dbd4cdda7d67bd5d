"""Training runs in processes of their own, which die where they are told to.

Reads settings from its standard input, a JSON object a line; each is run in a fork of this process, which has
everything imported and has started no thread. The run's output goes to the file ``out``; how it ended is printed as a
line.

A run prints the hash of the weights it ends with. Where to die is ``"sampling:3"`` (in the third generation),
``"update:3"`` (after the third optimizer step, before anything is stored), ``"saving:2"`` (in the second checkpoint,
with half of its files written), ``"renaming:2"`` (with all written and nothing renamed), ``"removing:2"`` (after
the rename, before old ones go), ``"optimizer:3"`` (in the third update of any stage), ``"interrupt:3"`` (Ctrl-C in the
third generation), ``"chunk:3"`` (before the third chunk of completions to be paired is sampled),
``"interrupt-chunk:3"`` (Ctrl-C there) or ``"budget:3"`` (too much of the third generation is unscored).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import preference_world
import tiny_world as world
import torch
from transformers import Trainer

from honewise.algorithms import ESTIMATORS
from honewise.engine import checkpoints, collecting
from honewise.engine.dpo import train_dpo
from honewise.engine.reward_model import as_reward_model, train_reward_model
from honewise.engine.reward_scoring import load_reward_model
from honewise.engine.rounds import train_rounds
from honewise.engine.sft import train_sft
from honewise.engine.trainer import CreditTrainer
from honewise.errors import UnscoredBudgetExceeded
from honewise.recipes.schema import DpoStage, LoraSpec, RewardModelStage, SftStage


def die_in(owner: Any, name: str, at: int, how: int = signal.SIGKILL) -> None:
    """The call number ``at`` of ``owner.name`` sends a signal to this process before it does its work."""
    real, calls = getattr(owner, name), [0]

    def call(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == at:
            os.kill(os.getpid(), how)
        return real(*args, **kwargs)

    setattr(owner, name, call)


def count_calls(owner: Any, name: str) -> list[int]:
    real, calls = getattr(owner, name), [0]

    def call(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return real(*args, **kwargs)

    setattr(owner, name, call)
    return calls


def arrange(death: str | None) -> None:
    if death is None:
        return
    where, _, count = death.partition(":")
    at = int(count)
    if where == "sampling":
        die_in(CreditTrainer, "_generate_single_turn", at)
    elif where == "interrupt":
        die_in(CreditTrainer, "_generate_single_turn", at, signal.SIGINT)
    elif where == "update":
        from honewise.engine.callbacks import StepWriter

        die_in(StepWriter, "on_log", at)
    elif where == "saving":
        die_in(Trainer, "_save_rng_state", at)
    elif where == "renaming":
        die_in(checkpoints, "publish", at)
    elif where == "removing":
        die_in(checkpoints, "_checkpoints", at)
    elif where == "budget":
        from honewise.scoring import Scorer

        calls = itertools.count(1)

        def check(*_: object) -> None:
            if next(calls) == at:
                raise UnscoredBudgetExceeded("as if no judge had answered")

        Scorer.check_budget = check  # type: ignore[method-assign]
    elif where == "chunk":
        die_in(collecting, "sample", at)
    elif where == "interrupt-chunk":
        die_in(collecting, "sample", at, signal.SIGINT)
    elif where == "optimizer":
        die_in(torch.optim.AdamW, "step", at)
    else:
        raise ValueError(death)


def digest(model: Any) -> str:
    whole = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        if ".ref." not in name:
            whole.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return whole.hexdigest()


def main(settings: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    sampled = count_calls(collecting, "sample")
    arrange(settings.get("die"))
    lora = LoraSpec(r=4, alpha=8, dropout=settings.get("dropout", 0.0)) if settings.get("lora") else None
    policy = world.policy(lora=lora)
    ctx = world.context(Path(settings["folder"]), settings["kind"], resume=settings.get("resume", False))
    if settings["kind"] == "rl":
        stage = world.rl_stage(**settings["stage"])
        more = {"domain": world.domain(terms={"vowels": 1.0, "brief": 0.0})} if stage.constraints else {}
        estimator = next(each for each in ESTIMATORS if each.name == stage.estimator)
        trained, _ = world.train(ctx, stage, policy, estimator=estimator, **more)
    elif settings["kind"] == "dpo" and "rounds" in settings["stage"]:
        with world.scorer() as judge:
            trained = train_rounds(preference_world.rounds(ctx, judge, **settings["stage"]), policy)
    elif settings["kind"] == "reward":
        how = RewardModelStage(**settings["stage"], lora=lora)

        def trunk() -> tuple[Any, Any]:
            start = world.policy()
            return as_reward_model(start, how.lora), start.tokenizer

        trained = train_reward_model(ctx, how, trunk, preference_world.pairs(7))
        policy.model = load_reward_model(str(ctx.folder / "model"), device="cpu").model
    elif settings["kind"] == "dpo":
        trained = train_dpo(ctx, DpoStage(**settings["stage"]), policy, preference_world.pairs(7))
    else:
        pairs = [(task, f"{task.inputs['word']} it is") for task in world.tasks()]
        levels = [1 + place % settings["phases"] for place in range(len(pairs))] if "phases" in settings else ()
        trained = train_sft(ctx, SftStage(**settings["stage"]), policy, pairs, levels=levels)
    numbers = ctx.store.metrics(settings["kind"])
    steady = {
        str(step): {name: value for name, value in one.items() if "seconds" not in name and "time" not in name}
        for step, one in numbers.items()
    }
    rollouts = [row.scored.completion.text for row in ctx.store.rollouts(settings["kind"])]
    critic = ctx.folder / "critic" / "critic.safetensors"
    learnt = hashlib.sha256(critic.read_bytes()).hexdigest() if critic.is_file() else None
    outcome = {"weights": digest(policy.model), "critic": learnt, "steps": trained.steps, "numbers": steady}
    outcome |= {"texts": rollouts, "reference": trained.reference, "sampled": sampled[0]}
    print(json.dumps(outcome))


def forked(settings: dict[str, Any]) -> int:
    """The exit status, negative where a signal ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            output = os.open(settings["out"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            main(settings)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for line in sys.stdin:
        print(forked(json.loads(line)), flush=True)
