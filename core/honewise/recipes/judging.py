"""The section ``judge:`` of a recipe, which also stands alone in a file: who is asked, and what that may cost."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

__all__ = ["BudgetSpec", "JudgeSpec", "LocalSpec", "MemberSpec", "PriceSpec", "VoteSpec"]

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


def _ascending(value: list[float]) -> list[float]:
    if not value[0] < value[1]:
        raise ValueError("must be the lower end and then the higher one")
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


class MemberSpec(_Section):
    """One judge of several: a chat endpoint at `url`, a `local` model, or the `policy` itself. Exactly one of them."""

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
    prices: PriceSpec = Field(default_factory=PriceSpec)
    """What tokens cost; left out, nothing."""
    cache: str | Literal[False] | None = None
    """The file of the cache; left out, `honewise/judge.sqlite` in the user's cache folder; `false`: none."""


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=100)]
Range = Annotated[list[float], Field(min_length=2, max_length=2), AfterValidator(_ascending)]


class VoteSpec(_Section):
    """How the judges of a panel decide together."""

    rule: Literal["mean", "median", "majority", "approval", "veto"] = "mean"
    """For verdicts about one answer. `majority`: the most frequent; `approval`: the share of judges whose verdict is
    `threshold` or more; `veto`: the mean, unless a verdict is below `threshold`: then the lowest."""
    ranking: Literal["mean", "majority", "borda", "copeland", "approval", "veto"] = "mean"
    """For answers that are compared with one another; `majority`: the share of judges who put it first."""
    weights: dict[Name, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    """By judge, for `mean`; 1 where nothing is said."""
    threshold: float = 0.5
    """From which value on a verdict approves, and below which it vetoes."""
    ranges: dict[Name, Range] = Field(default_factory=dict)
    """By judge: the lowest and highest verdict that it really gives, mapped to 0 and 1 before the vote."""
    normalise: Literal["none", "range", "rank"] = "none"
    """Of each judge's scores over answers that are compared, before the vote."""
    ties: Literal["low", "mean", "high"] = "low"
    """Which of equally frequent verdicts a `majority` means."""
    tie_break: Literal["none", "mean", "seed"] = "none"
    """What orders answers that the ranking rule leaves equal."""
    quorum: Positive | None = None
    """Judges that must have answered; left out, all. With fewer there is no verdict."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of the draws of `tie_break: seed`."""


class JudgeSpec(MemberSpec):
    """Who judges: a chat endpoint at `url`, a `local` model, the `policy` itself, or a `panel` of several. Exactly one
    of them."""

    panel: Annotated[dict[Name, MemberSpec], Field(min_length=2)] | None = None
    """Several judges by name, each described by the keys of this section."""
    vote: VoteSpec = Field(default_factory=VoteSpec)
    """How the judges of a panel decide together."""
    budget: BudgetSpec = Field(default_factory=BudgetSpec)
    """What may be used, by all judges together."""
