"""A bandit with a known optimum, through the whole trainer: sampling, scoring, KL, critic, TRL's loss, AdamW.

Every completion is one token out of eight. With a KL of coefficient b in the reward the optimum is the reference times
exp(r / b), normalised; and at the optimum no completion is better than another, so that the noise of sampling ends.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from honewise.algorithms import DR_GRPO, GAE, RLOO, Estimator
from honewise.contracts import Completion, Task
from honewise.engine.rl import train_rl
from honewise.models.policy import Policy
from honewise.models.text import prompt_ids

WORTH = {"a": 1.0, "b": 0.6, "c": 0.0}
"""All other tokens are worth -.3."""

TASK = Task("0", {}, prompt=({"role": "user", "content": "go"},))


def policy() -> Policy:
    """A Llama of one layer that writes eight tokens."""
    words = {word: i for i, word in enumerate(["<pad>", "<end>", "go", "a", "b", "c", "d", "e"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<end>", padding_side="left",
        chat_template="{%- for message in messages -%}{{- message['content'] + ' ' -}}{%- endfor -%}",
    )  # fmt: skip
    config = LlamaConfig(
        vocab_size=8, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=16, pad_token_id=0, bos_token_id=None, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = LlamaForCausalLM(config)
        model.lm_head.weight.data.normal_(std=0.25)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = 0, 1
    return Policy(model.eval(), tokenizer)


def worth(completion: Completion) -> float:
    return WORTH.get(completion.text.strip(), -0.3)


def distribution(of: Policy) -> torch.Tensor:
    with torch.no_grad():
        return of.model(torch.tensor([prompt_ids(of.tokenizer, TASK.prompt)])).logits[0, -1].double().softmax(-1)


def optimum(reference: torch.Tensor, coefficient: float) -> torch.Tensor:
    values = torch.tensor([-0.3, -0.3, -0.3, 1.0, 0.6, 0.0, -0.3, -0.3], dtype=torch.float64)
    tilted = reference * (values / coefficient).exp()
    return tilted / tilted.sum()


def trained(folder: Path, estimator: Estimator, **stage: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The distribution at the start and at the end."""
    start = policy()
    before = distribution(start)
    trainer = {"learning_rate": 0.05, "max_completion_length": 1, **stage.pop("trainer", {})}
    spec = world.rl_stage(prompts=1, samples=64, **stage, trainer=trainer)
    with world.scorer(world.domain({"r": worth})) as judge:
        train_rl(world.context(folder), spec, start, [TASK], judge, estimator)
    return before, distribution(start)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


KL = {"coef": 0.5}
CRITIC = {"clip": None, "coef": 1.0, "learning_rate": 0.02}


@pytest.mark.parametrize(
    ("estimator", "stage", "within"),
    [
        pytest.param(GAE, {"critic": {**CRITIC, "detach": True}}, 2e-4, id="ppo"),
        pytest.param(GAE, {"critic": CRITIC}, 1e-3, id="ppo-shared-trunk", marks=pytest.mark.slow),
        pytest.param(GAE, {"critic": {**CRITIC, "kind": "trunk"}}, 1e-3, id="ppo-own-trunk", marks=pytest.mark.slow),
        pytest.param(RLOO, {}, 1e-4, id="rloo"),
        pytest.param(DR_GRPO, {}, 1e-4, id="dr-grpo", marks=pytest.mark.slow),
    ],
)
def test_a_kl_in_the_reward_ends_at_the_closed_form(
    tmp_path: Path, estimator: Estimator, stage: dict[str, Any], within: float
) -> None:
    """PPO with four epochs over each batch, a critic that learns, and nothing whitened."""
    critic = estimator is GAE
    stage |= {"algorithm": "ppo" if critic else estimator.name, "kl": KL, "steps": 400 if critic else 200}
    trainer = {"learning_rate": 0.02, "num_iterations": 4 if critic else 1}
    before, after = trained(tmp_path, estimator, trainer=trainer, **stage)
    wanted = optimum(before, KL["coef"])
    assert float((before - wanted).abs().max()) > 0.2, "there was a way to go"
    assert float((after - wanted).abs().max()) < within


@pytest.mark.slow
def test_whitened_advantages_end_elsewhere(tmp_path: Path) -> None:
    """They do not shrink on the way to the optimum, and so do not settle there."""
    stage = {"algorithm": "ppo", "kl": KL, "steps": 400, "critic": {**CRITIC, "detach": True}}
    trainer = {"learning_rate": 0.02, "num_iterations": 4}
    before, after = trained(tmp_path, GAE, trainer=trainer, estimator_options={"whitened": "batch"}, **stage)
    assert float((after - optimum(before, KL["coef"])).abs().max()) > 1e-3


def test_a_cost_is_held_at_its_threshold(tmp_path: Path) -> None:
    """The best paid token costs 1, the next one -1. Left alone, the policy ends at a mean cost of .38; held to -.2, it
    moves around that, and its multiplier with it."""

    def cost(completion: Completion) -> float:
        return {"a": 1.0, "b": -1.0}.get(completion.text.strip(), 0.0)

    domain = world.domain({"r": worth, "cost": cost}, {"r": 1.0, "cost": 0.0})
    mean = {}
    for name, constraints in (("free", {}), ("held", {"cost": {"threshold": -0.2, "lambda_lr": 0.1, "window": 64}})):
        ctx, trainer = world.context(tmp_path / name), {"learning_rate": 0.01, "max_completion_length": 1}
        stage = world.rl_stage(prompts=1, samples=64, steps=200, estimator="rloo", constraints=constraints, kl=KL,
                               trainer=trainer)  # fmt: skip
        with world.scorer(domain) as judge:
            train_rl(ctx, stage, policy(), [TASK], judge, RLOO)
        numbers = ctx.store.metrics("rl")
        late = [numbers[step]["rewards/cost/mean"] for step in range(81, 201)]
        mean[name] = sum(late) / len(late)
    assert mean["free"] > 0.3
    assert abs(mean["held"] + 0.2) < 0.1
    multipliers = [numbers[step]["lambda/cost"] for step in numbers]
    assert min(multipliers) < 1.0 < max(multipliers) < 10.0
