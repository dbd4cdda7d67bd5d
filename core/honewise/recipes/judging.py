"""The section ``judge:`` of a recipe, which also stands alone in a file: who is asked, and what that may cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["BudgetSpec", "JudgeSpec", "LocalSpec", "PriceSpec"]

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0)]
Amount = Annotated[float, Field(ge=0)]
Switch = Literal["auto", "on", "off"]


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


def _address(value: str) -> str:
    scheme, found, rest = value.partition("://")
    if scheme not in ("http", "https") or not found or not rest.strip("/"):
        raise ValueError("must be an address such as http://127.0.0.1:8000/v1")
    if "@" in rest.partition("/")[0] or "?" in rest or "#" in rest:
        # What is wrong here is likely to be a password, and messages are read by others.
        raise ValueError("must hold neither a name and password nor a query; a key goes into api_key_env")
    return value


class LocalSpec(_Section):
    """A model that judges in this process, through transformers. Exactly one of `hub` and `path`."""

    hub: str | None = None
    """A model id on the Hugging Face hub."""
    path: str | None = None
    """A folder with a saved model and tokenizer (looked up beside the recipe, then in the working directory)."""
    revision: str | None = None
    """Commit, tag or branch of a hub model."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the weights; `auto` is float32 on a CPU, else the model's own."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it computes."""
    batch: Positive = 16
    """Most questions answered at once."""


class BudgetSpec(_Section):
    """The most that a run may use, over all resumes; then it stops with a checkpoint. What is left out has no limit."""

    calls: Positive | None = None
    """Answers paid for; those from the cache cost nothing."""
    tokens: Positive | None = None
    """Of prompts and replies together; calls under way may pass it."""
    cost: Annotated[float, Field(gt=0)] | None = None
    """In the currency of `prices`; calls under way may pass it."""


class PriceSpec(_Section):
    """What a million tokens cost, in any one currency."""

    input: Amount = 0.0
    """Of prompts."""
    output: Amount = 0.0
    """Of replies."""


class JudgeSpec(_Section):
    """Who judges: a chat endpoint at `url`, a `local` model, or the `policy` itself. Exactly one of the three."""

    url: Annotated[str, AfterValidator(_address)] | None = None
    """An OpenAI-compatible endpoint, such as `http://127.0.0.1:8000/v1`: vLLM, Ollama, llama.cpp, a hosted service."""
    model: str | None = None
    """The model's name at the endpoint."""
    api_key_env: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)] | None = None
    """The name of the environment variable that holds the key; the key itself is stored and logged nowhere."""
    local: LocalSpec | None = None
    """A model in this process."""
    policy: Literal["adapter-off"] | None = None
    """The policy that is trained, with its adapter switched off; needs `policy.lora`."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """Of sampling; 0 is greedy."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Nucleus of sampling."""
    max_tokens: Positive = 512
    """Longest reply."""
    seed: Annotated[int, Field(ge=0)] | None = None
    """Sent along where it is said; few endpoints promise anything for it."""
    structured: Switch = "auto"
    """Whether templates with a schema ask the endpoint to hold replies to it; `auto` tries once."""
    logprobs: Switch = "auto"
    """Whether log-probabilities are asked for where a protocol needs them; `auto` tries once."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of every request, such as `{chat_template_kwargs: {enable_thinking: false}}`."""
    identity: str | None = None
    """What the cache knows the model as; left out, `model` at `url`. Say it where only the address changes."""
    timeout: Seconds = 60.0
    """Seconds for one attempt."""
    deadline: Seconds = 300.0
    """Seconds for one question with all its attempts; also how long an endpoint that is down is waited for."""
    attempts: Positive = 8
    """Attempts for one question, but for those that do not reach the endpoint."""
    backoff: Seconds = 0.5
    """Seconds before the second attempt, doubled for each further one up to 30; `Retry-After` is honoured."""
    concurrency: Positive = 32
    """Most questions at a time; fewer while the endpoint says that it has too much to do."""
    budget: BudgetSpec = Field(default_factory=BudgetSpec)
    """What may be used."""
    prices: PriceSpec = Field(default_factory=PriceSpec)
    """What tokens cost; left out, nothing."""
    cache: str | Literal[False] | None = None
    """The file of the cache; left out, `honewise/judge.sqlite` in the user's cache folder; `false`: none."""
