"""A local model as a judge: batched, deterministic, with log-probabilities, and harmless to what trains."""

from __future__ import annotations

import asyncio
import math
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_world as world
import torch
from chat_server import ChatServer
from judge_world import SCORE_JSON, judge_at

from honewise.clients import Client, LocalBackend, Request
from honewise.contracts import Generation, JudgeTemplate, TokenChoice, Verdict
from honewise.errors import UserError
from honewise.judges import build_judge
from honewise.models.generator import ModelGenerator, load_generator
from honewise.models.policy import Policy, save_policy
from honewise.models.text import prompt_ids
from honewise.recipes.judge_file import load_judge_spec
from honewise.recipes.judging import LocalSpec
from honewise.recipes.schema import LoraSpec
from honewise.stages.judging import lent, open_judge

PROMPTS: list[Any] = [[{"role": "user", "content": f"Say {word}" + " again" * n}] for n, word in enumerate(world.WORDS)]
LENGTH = JudgeTemplate("judge_templates/score_json.md", lambda reply: Verdict(float(len(reply))), package="judge_world")


@pytest.fixture(scope="module")
def policy() -> Policy:
    return world.policy()


@pytest.fixture(scope="module")
def folder(policy: Policy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_policy(policy, tmp_path_factory.mktemp("tiny"))


def test_batches_do_not_matter_and_seeds_do(policy: Policy) -> None:
    alone, together = ModelGenerator(policy, batch=1), ModelGenerator(policy, batch=8)
    greedy = {"temperature": 0.0, "max_tokens": 8}
    assert [each.text for each in alone.generate(PROMPTS, **greedy)] == [
        each.text for each in together.generate(PROMPTS, **greedy)
    ]
    drawn = {"temperature": 1.0, "max_tokens": 8}
    one = together.generate(PROMPTS, seeds=range(8), **drawn)
    assert one == together.generate(PROMPTS, seeds=range(8), **drawn)
    assert one != together.generate(PROMPTS, seeds=range(8, 16), **drawn)
    first = one[0]
    assert first.prompt_tokens == len(prompt_ids(policy.tokenizer, PROMPTS[0]))
    assert 1 <= first.tokens <= 8
    assert first.truncated == (first.tokens == 8)


def test_logprobs_are_those_of_the_model(policy: Policy) -> None:
    (reply,) = ModelGenerator(policy).generate(PROMPTS[:1], temperature=0.0, max_tokens=4, top_logprobs=3)
    assert len(reply.logprobs) == reply.tokens
    with torch.no_grad():
        ids = torch.tensor([prompt_ids(policy.tokenizer, PROMPTS[0])])
        expected = torch.log_softmax(policy.model(input_ids=ids).logits[0, -1].float(), -1)
    first = reply.logprobs[0]
    assert first.logprob == pytest.approx(expected.max().item(), abs=1e-5)
    assert first.top[0] == (first.token, first.logprob), "greedy takes the likeliest"
    assert [value for _, value in first.top] == pytest.approx(expected.topk(3).values.tolist(), abs=1e-5)
    (bare,) = ModelGenerator(policy).generate(PROMPTS[:1], temperature=0.0, max_tokens=4, top_logprobs=0)
    assert [each.top for each in bare.logprobs] == [()] * bare.tokens
    assert ModelGenerator(policy).generate(PROMPTS[:1], temperature=0.0, max_tokens=4)[0].logprobs == ()


def openai_choice(reply: Generation) -> dict[str, Any]:
    def told(choice: TokenChoice) -> dict[str, Any]:
        top = [{"token": token, "logprob": logprob} for token, logprob in choice.top]
        return {"token": choice.token, "logprob": choice.logprob, "top_logprobs": top}

    finish = "length" if reply.truncated else "stop"
    logprobs = {"content": [told(choice) for choice in reply.logprobs]}
    return {"message": {"content": reply.text}, "finish_reason": finish, "logprobs": logprobs}


def test_logprobs_over_http_are_the_local_ones(policy: Policy, tmp_path: Path) -> None:
    generator = ModelGenerator(policy)

    def answer(body: Any) -> dict[str, Any]:
        assert body["logprobs"] is True
        (reply,) = generator.generate(
            [body["messages"]],
            temperature=body["temperature"],
            max_tokens=body["max_tokens"],
            top_logprobs=body["top_logprobs"],
        )
        return openai_choice(reply)

    async def ask(judge: Any) -> Any:
        try:
            return await judge.ask(LENGTH, {"answer": "heap"}, top_logprobs=5)
        finally:
            await judge.aclose()

    spec = load_judge_spec(
        {"local": {"path": str(save_policy(policy, tmp_path / "tiny"))}, "max_tokens": 6, "cache": False}
    )
    with ChatServer(answer) as server, judge_at(server.url, tmp_path, max_tokens=6) as remote:
        over_http = asyncio.run(ask(remote))
        from_cache = asyncio.run(ask(remote))
        assert len(server.calls) == 1
    with build_judge(spec, generator=generator) as local:
        here = asyncio.run(ask(local))
    assert over_http.reply.text == here.reply.text
    assert over_http.reply.logprobs == here.reply.logprobs == from_cache.reply.logprobs
    assert len(here.reply.logprobs) == here.reply.tokens
    assert all(math.isfinite(choice.logprob) and len(choice.top) == 5 for choice in here.reply.logprobs)


def test_a_judge_of_this_process_by_its_folder(folder: Path, policy: Policy, tmp_path: Path) -> None:
    spec = load_judge_spec(
        {"local": {"path": str(folder), "device": "cpu", "batch": 4}, "max_tokens": 6, "cache": str(tmp_path / "c")}
    )

    async def ask(judge: Any) -> list[float]:
        try:
            verdicts = await asyncio.gather(*(judge(LENGTH, answer=word) for word in world.WORDS))
            return [verdict.value for verdict in verdicts]
        finally:
            await judge.aclose()

    with open_judge(spec) as judge:
        first = asyncio.run(ask(judge))
        assert {call.source for call in judge.take_calls()} == {"endpoint"}
    with open_judge(spec) as judge:
        assert asyncio.run(ask(judge)) == first
        assert {call.source for call in judge.take_calls()} == {"cache"}
    (folder / "model.safetensors").touch()
    with open_judge(spec) as judge:
        assert asyncio.run(ask(judge)) == first
        assert {call.source for call in judge.take_calls()} == {"endpoint"}, "other files may be another model"


def test_the_policy_with_its_adapter_off(tmp_path: Path) -> None:
    adapted = world.policy(lora=LoraSpec(r=4))
    with torch.no_grad():
        for name, value in adapted.model.named_parameters():
            if "lora_" in name:
                value.normal_(std=0.5)
    base = world.policy()
    settings: dict[str, Any] = {"temperature": 0.0, "max_tokens": 8, "top_logprobs": 2}
    want = ModelGenerator(base).generate(PROMPTS, **settings)
    with_adapter = ModelGenerator(adapted).generate(PROMPTS, **settings)
    adapted.model.train()
    random.seed(7)
    torch.manual_seed(7)
    states = random.getstate(), torch.random.get_rng_state()
    off = ModelGenerator(adapted, adapter_off=True).generate(PROMPTS, **settings)
    assert [each.text for each in off] == [each.text for each in want]
    assert off[0].logprobs[0].logprob == pytest.approx(want[0].logprobs[0].logprob, abs=1e-5)
    assert with_adapter[0].logprobs[0].logprob != pytest.approx(want[0].logprobs[0].logprob, abs=1e-3)
    assert adapted.model.training
    assert random.getstate() == states[0]
    assert torch.equal(torch.random.get_rng_state(), states[1])
    assert ModelGenerator(adapted).generate(PROMPTS, **settings) == with_adapter, "the adapter is on again"
    assert all(value.requires_grad for name, value in adapted.model.named_parameters() if "lora_" in name)
    with pytest.raises(UserError, match="no adapter that could be switched off"):
        ModelGenerator(base, adapter_off=True)


def test_a_policy_is_lent_for_a_while(policy: Policy) -> None:
    spec = load_judge_spec({"url": "http://127.0.0.1:1/v1", "model": "x", "cache": False})
    with build_judge(spec) as endpoint, lent(endpoint, policy):
        pass
    with lent(None, policy):
        pass
    client = Client(LocalBackend("p", "p", awaits_policy=True))

    class Holder:
        def __init__(self) -> None:
            self.client = client
            self.members = {"judge": self}

    adapted = world.policy(lora=LoraSpec(r=2))
    question = Request(({"role": "user", "content": "Say heap"},), max_tokens=4)
    with lent(Holder(), adapted):  # type: ignore[arg-type]
        reply, _ = asyncio.run(client.complete(question))
    assert reply.tokens > 0
    assert client.backend._generator is None  # type: ignore[attr-defined]


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no folder"):
        load_generator(LocalSpec(path=str(tmp_path / "none")))


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``transformers serve`` with the tiny model, offline."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", "serve", str(folder)]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen([*command, *options], env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        give_up = time.monotonic() + 150
        while time.monotonic() < give_up:
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).read()
                break
            except OSError:
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow  # it takes about 20 s, most of it imports of the server
def test_transformers_serve_is_an_endpoint(served: str, folder: Path, policy: Policy, tmp_path: Path) -> None:
    """It answers as the local model does. ``response_format`` and ``logprobs`` it passes over without a word, where
    others refuse them; neither is in the way."""
    notes: list[str] = []
    patience = {"timeout": 60.0, "deadline": 120.0, "max_tokens": 8}
    any_reply = JudgeTemplate(
        LENGTH.file, lambda reply: Verdict(float(len(reply))), package="judge_world", schema=SCORE_JSON.schema
    )

    async def ask(judge: Any) -> list[Any]:
        try:
            asked = (judge.ask(any_reply, {"answer": word}, top_logprobs=2) for word in world.WORDS[:4])
            return [answer.reply for answer in await asyncio.gather(*asked)]
        finally:
            await judge.aclose()

    with judge_at(served, tmp_path, notes.append, model=str(folder), **patience) as judge:
        replies = asyncio.run(ask(judge))
        calls = judge.take_calls()
    spec = load_judge_spec({"local": {"path": str(folder), "device": "cpu"}, "max_tokens": 8, "cache": False})
    with build_judge(spec, generator=ModelGenerator(policy)) as local:
        here = asyncio.run(ask(local))
    assert [reply.text for reply in replies] == [reply.text for reply in here]
    assert [reply.prompt_tokens for reply in replies] == [reply.prompt_tokens for reply in here]
    assert {call.source for call in calls} == {"endpoint"}
    assert [reply.logprobs for reply in replies] == [()] * 4
    assert notes == []
