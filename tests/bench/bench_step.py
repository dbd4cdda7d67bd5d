"""A whole training step, ours against stock TRL, alternately: ``python tests/bench/bench_step.py``.

Two processes, one for each trainer, take turns step by step. Both sample (which counts) and are then given the same
completions, so that they train on the same data; their gradient norms must agree, or nothing is printed. Both have the
same attention and gradient checkpointing, and the whole step as one batch, at which TRL is fastest. Ours is the stage
``rl`` as recipes run it, with its store, its scoring and its checkpoints.

The lines at the end are ratios of medians, the smaller one of those with and without a KL to a reference.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

WIDTH, LAYERS, VOCABULARY, HEADS, KV_HEADS = 256, 6, 2048, 8, 2
PROMPTS, SAMPLES = 2, 8
CASES = {"P=400": (400, 48), "P=1000": (1000, 48), "P=100,C=400": (100, 400)}
BETAS = (0.0, 0.04)
END = VOCABULARY
"""Ends a completion; the model cannot write it, so completions are exactly as long as they may be."""


def make_policy(folder: Path) -> None:
    """A model of the Qwen2 type with random weights, and a tokenizer of one word a token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=704, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, max_position_embeddings=4096,
        pad_token_id=0, eos_token_id=END, bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    words = {"<pad>": 0, "<unk>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}, "<eos>": END}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )
    fast.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    fast.save_pretrained(folder)


def words(count: int, *seed: int) -> list[int]:
    return random.Random(str(seed)).choices(range(2, VOCABULARY), k=count)


def text_of(ids: Sequence[int]) -> str:
    return " ".join(f"w{i}" for i in ids)


def worth(text: str) -> float:
    return sum(text.encode()) * 7919 % 101 / 101


def same_completions(trainer: type[Any], length: int) -> None:
    """Let ``trainer`` sample, and give it completions that depend on the number of the call alone."""
    real, calls = trainer._generate_single_turn, [0]

    def sample(self: Any, prompt_ids: Any, *args: Any, **keywords: Any) -> Any:
        found, others = real(self, prompt_ids, *args, **keywords)
        assert {len(ids) for ids in found} == {length}, "the completions are of other lengths than was asked for"
        calls[0] += 1
        return [words(length, calls[0], i) for i in range(len(found))], others

    trainer._generate_single_turn = sample


class Baton:
    """Made into a callback of transformers: a step begins when the parent says so, and its seconds are told."""

    def __init__(self) -> None:
        self.began = self.waited = 0.0
        self.norm = math.nan
        self.phases: dict[str, float] = {}

    def on_step_begin(self) -> None:
        if self.began:
            told = {"seconds": time.perf_counter() - self.began, "norm": self.norm, "phases": self.phases}
            print("\n@" + json.dumps(told), flush=True)
        paused = time.perf_counter()
        if sys.stdin.readline() != "go\n":
            raise SystemExit(0)
        self.began = time.perf_counter()
        self.waited = self.began - paused


def listen(baton: Baton) -> None:
    """Every trainer made from now on has the baton, before its other callbacks."""
    import transformers.trainer
    from transformers import TrainerCallback

    class Callback(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            baton.on_step_begin()

        def on_log(self, *_: Any, logs: dict[str, float], **__: Any) -> None:
            baton.norm = logs.get("grad_norm", baton.norm)

    transformers.trainer.DEFAULT_CALLBACKS.insert(0, Callback)


def run_stock(policy: Path, folder: Path, prompt: int, length: int, beta: float, checkpointing: bool) -> None:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    args = GRPOConfig(
        output_dir=str(folder), max_steps=10_000, num_generations=SAMPLES, generation_batch_size=PROMPTS * SAMPLES,
        per_device_train_batch_size=PROMPTS * SAMPLES, max_completion_length=length, beta=beta, loss_type="dr_grpo",
        scale_rewards="none", gradient_checkpointing=checkpointing, use_cpu=True, bf16=False, report_to="none",
        save_strategy="no", logging_steps=1, disable_tqdm=True, seed=11,
    )  # fmt: skip
    rows = Dataset.from_list([{"prompt": text_of(words(prompt, -1, i))} for i in range(64)])
    same_completions(GRPOTrainer, length)
    trainer = GRPOTrainer(
        AutoModelForCausalLM.from_pretrained(policy),
        lambda completions, **_: [worth(text) for text in completions],
        args,
        rows,
        processing_class=PreTrainedTokenizerFast.from_pretrained(policy),
    )
    trainer.train()


def run_ours(
    policy: Path, folder: Path, prompt: int, length: int, beta: float, checkpointing: bool, baton: Baton
) -> None:
    import tiny_world as world
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    from honewise.algorithms import GRPO
    from honewise.contracts import Task
    from honewise.engine import phases
    from honewise.engine.rl import train_rl
    from honewise.engine.trainer import CreditTrainer
    from honewise.models.policy import Policy

    def take(self: Any) -> dict[str, float]:
        found = real(self)
        baton.phases = {**found, "seconds/other": found["seconds/other"] - baton.waited}
        return found

    real = phases.Phases.take
    phases.Phases.take = take  # type: ignore[method-assign]
    same_completions(CreditTrainer, length)
    tasks = [Task(str(i), {}, prompt=({"role": "user", "content": text_of(words(prompt, -1, i))},)) for i in range(64)]
    stage = world.rl_stage(
        prompts=PROMPTS, samples=SAMPLES, steps=10_000, save_every=10_000,
        trainer={
            "learning_rate": 1e-6, "max_completion_length": length, "beta": beta,
            "gradient_checkpointing": checkpointing,
        },
    )  # fmt: skip
    domain = world.domain({"worth": lambda completion: worth(completion.text)})
    start = Policy(
        AutoModelForCausalLM.from_pretrained(policy), PreTrainedTokenizerFast.from_pretrained(policy), str(policy)
    )
    with world.scorer(domain) as judge:
        train_rl(world.context(folder), stage, start, tasks, judge, GRPO)


def child(arguments: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    baton = Baton()
    listen(baton)
    arm = run_stock if arguments.arm == "stock" else partial(run_ours, baton=baton)
    with tempfile.TemporaryDirectory() as folder:
        arm(
            Path(arguments.policy),
            Path(folder),
            arguments.prompt,
            arguments.length,
            arguments.beta,
            arguments.checkpointing,
        )


class Arm:
    """A trainer in a process of its own, waiting for its turn."""

    def __init__(self, name: str, policy: Path, case: tuple[int, int], beta: float, options: Sequence[str]) -> None:
        prompt, length = map(str, case)
        command = [sys.executable, __file__, "--arm", name, "--policy", str(policy), "--prompt", prompt]
        command += ["--length", length, "--beta", str(beta), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def step(self) -> dict[str, Any]:
        """Let it do a step: its seconds, its gradient norm and, of ours, the seconds of its phases."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("@"):
                found: dict[str, Any] = json.loads(line[1:])
                return found
        raise SystemExit(f"{self.process.args} ended with {self.process.wait()}")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def compare(policy: Path, case: str, beta: float, steps: int, options: Sequence[str]) -> dict[str, Any]:
    """``steps`` steps of each after one that warms up."""
    arms = [Arm(name, policy, CASES[case], beta, options) for name in ("stock", "honewise")]
    told: list[list[dict[str, Any]]] = [[], []]
    try:
        for step in range(steps + 1):
            for which in (0, 1) if step % 2 else (1, 0):
                told[which].append(arms[which].step())
    finally:
        for arm in arms:
            arm.end()
    for stock, ours in zip(*told, strict=True):
        if not math.isclose(stock["norm"], ours["norm"], rel_tol=1e-3):
            raise SystemExit(f"{case}: gradient norms {stock['norm']} and {ours['norm']}: not the same training")
    stock, ours = ([one["seconds"] for one in rows[1:]] for rows in told)
    phases = [one["phases"] for one in told[1][1:]]
    names = {name for one in phases for name in one}
    return {
        "stock": statistics.median(stock),
        "honewise": statistics.median(ours),
        "ratio": statistics.median(stock) / statistics.median(ours),
        "ratios": sorted(round(a / b, 3) for a, b in zip(stock, ours, strict=True)),
        "phases": {name: statistics.median(one.get(name, 0.0) for one in phases) for name in sorted(names)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A training step of honewise against one of TRL.")
    parser.add_argument("--steps", type=int, default=9, help="measured steps of each")
    parser.add_argument("--case", choices=CASES, action="append", help="all unless given; repeatable")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-checkpointing", dest="checkpointing", action="store_false", help="keep activations")
    for hidden in ("--arm", "--policy"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    for hidden in ("--prompt", "--length"):
        parser.add_argument(hidden, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--beta", type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        child(arguments)
        return
    import tables

    options = ["--threads", str(arguments.threads), *([] if arguments.checkpointing else ["--no-checkpointing"])]
    name = "step" if arguments.checkpointing else "step-activations-kept"
    worst = {}
    with tempfile.TemporaryDirectory() as folder:
        make_policy(Path(folder))
        for case in arguments.case or CASES:
            for beta in BETAS:
                found = compare(Path(folder), case, beta, arguments.steps, options)
                tables.add(name, f"{case} beta={beta:g}", found)
                worst[case] = min(worst.get(case, math.inf), found["ratio"])
                glue = sum(found["phases"][f"seconds/{part}"] for part in ("score", "credit", "other"))
                print(
                    f"{case} beta={beta:g}: stock {found['stock']:.2f} s, honewise {found['honewise']:.2f} s a step,"
                    f" ratio {found['ratio']:.2f}; outside of the model {1e3 * glue:.0f} ms"
                    f" ({100 * glue / found['honewise']:.1f} %)",
                    flush=True,
                )
    for case, ratio in worst.items():
        print(f"ratio {case}: {ratio:.2f}")


if __name__ == "__main__":
    main()
