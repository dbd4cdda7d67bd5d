"""Clients of language models: endpoints and local ones, with retries, a cache, a budget and a ledger. No torch here."""

from .budget import Budget, Spent
from .cache import Cache, CacheEntry, default_path
from .client import Client, Patience
from .endpoint import Endpoint
from .ledger import CallRecord, Ledger, Prices, judge_numbers
from .local import LocalBackend
from .request import Backend, CallFailed, Request

__all__ = [
    "Backend",
    "Budget",
    "Cache",
    "CacheEntry",
    "CallFailed",
    "CallRecord",
    "Client",
    "Endpoint",
    "Ledger",
    "LocalBackend",
    "Patience",
    "Prices",
    "Request",
    "Spent",
    "default_path",
    "judge_numbers",
]
