"""A small shop, and ways to ask about it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from honewise import Completion, Domain, Score, Task, Unscored
from honewise_text_to_sql.domain import text_to_sql
from honewise_text_to_sql.schema import read_schema
from honewise_text_to_sql.serialise import SchemaStyle
from honewise_text_to_sql.tasks import make_task, show_schema

SHOP = '''
CREATE TABLE customer (id INTEGER PRIMARY KEY, name TEXT, city TEXT);
CREATE TABLE "Order Details" (
  id INTEGER PRIMARY KEY,
  customer_id INTEGER REFERENCES customer(id),
  amount REAL,
  note TEXT
);
CREATE TABLE sänger (größe REAL, "select" TEXT, "a ""b""" BLOB);
CREATE VIEW rich AS SELECT name FROM customer WHERE id = 1;
INSERT INTO customer VALUES (1, 'Ann', 'Oslo'), (2, 'Bo', 'Rome'), (3, 'Cy', NULL), (4, 'Ann', 'Oslo');
INSERT INTO "Order Details" VALUES (1, 1, 10.5, 'it''s'), (2, 1, 3, NULL), (3, 2, 7, ''), (4, 4, 1, 'x');
INSERT INTO sänger VALUES (1.8, 'a', x'00ff'), (NULL, 'b', x'01');
'''


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SHOP)
    return path


@pytest.fixture(scope="session")
def domain() -> Domain:
    return text_to_sql(seconds=1.0)


@pytest.fixture
def ask(shop: Path) -> Callable[..., Task]:
    """A task about the shop, by its accepted queries."""

    def make(*sql: str, **fields: Any) -> Task:
        task = make_task("0", "What?", list(sql), **{"database": shop, **fields})
        return show_schema(task, read_schema(shop), SchemaStyle())

    return make


@pytest.fixture
def judge_text(domain: Domain) -> Callable[..., Any]:
    """Score the whole text of a reply by one reward, called as it is."""
    rewards = {reward.name: reward for reward in domain.rewards}

    def call(name: str, task: Task, text: str, **options: Any) -> Score | Unscored:
        wanted = rewards[name]
        given: dict[str, Task | Completion] = {"task": task, "completion": domain.parse(text, task)}
        result = wanted.fn(**{key: value for key, value in given.items() if key in wanted.arguments}, **options)
        return result if isinstance(result, Score | Unscored) else Score(float(result))

    return call


@pytest.fixture
def reply() -> Callable[[str], str]:
    """A whole reply around a query."""
    return lambda sql: f"<reasoning>\nbecause\n</reasoning>\n<answer>\n```sql\n{sql}\n```\n</answer>"
