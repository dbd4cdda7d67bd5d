"""Training by several processes at once, as a launcher starts them, on completions that are given.

Run as a program, it reads settings from its standard input, a JSON object a line, with ``count``. So many forks of this
process, which has everything imported and has started no thread, train together; their output goes to the file ``out``,
and how they ended is printed as a line. Each leaves ``end.RANK`` in ``folder``: its weights, the gradients of the first
update, the numbers and the completions.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

SUPPORT = Path(__file__).parent


class Ranks:
    """The program above, kept running."""

    def __init__(self, folder: Path) -> None:
        self.out = folder / "out.txt"
        path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
                       "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
        self.server = subprocess.Popen(
            [sys.executable, str(Path(__file__))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment,
        )  # fmt: skip

    def train(self, folder: Path, count: int, settings: dict[str, Any]) -> list[dict[str, Any]]:
        """What each of ``count`` processes ended with."""
        import torch

        folder.mkdir(parents=True, exist_ok=True)
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        request = {**settings, "folder": str(folder), "count": count, "out": str(self.out)}
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        codes = json.loads(self.server.stdout.readline())
        assert codes == [0] * count, self.out.read_text("utf-8", "replace")[-4000:]
        return [torch.load(folder / f"end.{rank}", weights_only=True) for rank in range(count)]

    def close(self) -> None:
        self.server.terminate()
        self.server.wait(timeout=20)


def completion(prompt: tuple[int, ...], place: int, generation: int, longest: int, end: int) -> list[int]:
    """A given one, of any length up to ``longest``; it follows from where it stands among all of its step."""
    digest = hashlib.sha256(repr((prompt, place, generation)).encode()).digest()
    length = 1 + digest[0] % longest
    ids = [40 + byte % 200 for byte in digest[1 : length + 1]]
    return ids if length == longest and digest[0] % 2 else [*ids[:-1], end]


def main(settings: dict[str, Any]) -> None:
    import tiny_world as world
    import torch
    from transformers import Trainer

    from honewise.engine import processes
    from honewise.engine.trainer import CreditTrainer
    from honewise.recipes.schema import LoraSpec
    from honewise.runs.follow import FollowedStore
    from honewise.runs.processes import place
    from honewise.runs.run import Run, StageContext

    torch.set_num_threads(1)
    here, folder = place(), Path(settings["folder"])
    processes.join(here, "cpu")
    gradients: dict[str, torch.Tensor] = {}

    def watched(clip: Any) -> Any:
        def watch(self: Any, model: Any) -> Any:
            if not gradients:
                found = ((name, p.grad) for name, p in self.model.named_parameters())
                gradients.update({name: grad.clone() for name, grad in found if grad is not None})
            return clip(self, model)

        return watch

    def given(self: Any, prompt_ids: Any, *_: Any, **__: Any) -> Any:
        first = self.accelerator.process_index * len(prompt_ids)
        generation = self._step // (self.args.steps_per_generation * self.num_iterations)
        longest, end = self.max_completion_length, self.eos_token_ids[0]
        return [
            completion(tuple(prompt), first + i, generation, longest, end) for i, prompt in enumerate(prompt_ids)
        ], None

    for trainer in (CreditTrainer, Trainer):
        trainer._clip_grad_norm = watched(trainer._clip_grad_norm)  # type: ignore[method-assign]
    if settings.get("given", True):
        CreditTrainer._generate_single_turn = given  # type: ignore[method-assign]
    if here.first:
        ctx = world.context(folder)
    processes.wait()
    if not here.first:
        run = Run(folder, None, FollowedStore(folder / "run.sqlite"))  # type: ignore[arg-type]
        ctx = StageContext(run, "rl", folder / "rl", 11, "cpu")
    ctx = StageContext(ctx.run, "rl", ctx.folder, ctx.seed, "cpu", place=here)
    policy = world.policy(lora=LoraSpec(r=4, alpha=8) if settings.get("lora") else None)
    train(settings, ctx, policy)
    processes.wait()
    numbers = {
        str(step): {name: value for name, value in each.items() if "seconds" not in name and "time" not in name}
        for step, each in ctx.store.metrics("rl").items()
    }
    rows = [row.scored.completion.text for row in ctx.store.rollouts("rl")]
    weights = {name: value for name, value in policy.model.state_dict().items() if ".ref." not in name}
    torch.save({"weights": weights, "gradients": gradients, "numbers": numbers, "texts": rows},
               folder / f"end.{here.rank}")  # fmt: skip


def train(settings: dict[str, Any], ctx: Any, policy: Any) -> None:
    """Train ``policy`` by a stage of the ``kind`` that is asked for; a reward model takes its model's place."""
    import preference_world
    import tiny_world as world

    from honewise.algorithms import ESTIMATORS
    from honewise.engine.dpo import train_dpo
    from honewise.engine.reward_model import as_reward_model, train_reward_model
    from honewise.engine.reward_scoring import load_reward_model
    from honewise.engine.rounds import train_rounds
    from honewise.recipes.schema import RewardModelStage

    kind = settings.get("kind", "rl")
    if kind == "rl":
        stage = world.rl_stage(**settings["stage"])
        more = {"domain": world.domain(terms={"vowels": 1.0, "brief": 0.0})} if stage.constraints else {}
        estimator = next(each for each in ESTIMATORS if each.name == stage.estimator)
        world.train(ctx, stage, policy, estimator=estimator, **more)
    elif kind == "dpo":
        weighted = {"weight": 0.5} if settings.get("weighted") else {}
        pairs = [replace(pair, **weighted) if i % 3 else pair for i, pair in enumerate(preference_world.pairs(8))]
        train_dpo(ctx, preference_world.stage(**settings["stage"]), policy, pairs)
    elif kind == "rounds":
        with world.scorer() as judge:
            train_rounds(preference_world.rounds(ctx, judge, **settings["stage"]), policy)
    else:
        start = as_reward_model(policy), policy.tokenizer
        train_reward_model(ctx, RewardModelStage(**settings["stage"]), lambda: start, preference_world.pairs(8))
        policy.model = load_reward_model(str(ctx.folder / "model"), device="cpu").model


def forked(settings: dict[str, Any]) -> list[int]:
    """The exit status of each, negative where a signal ended it."""
    count = settings["count"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                output = os.open(settings["out"], os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if rank == 0 else os.O_APPEND))
                os.dup2(output, 1)
                os.dup2(output, 2)
                if count > 1:
                    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                    os.environ |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
                    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
                main(settings)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


if __name__ == "__main__":
    import tiny_world  # noqa: F401 - imported once, for all forks
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(forked(json.loads(line))), flush=True)
