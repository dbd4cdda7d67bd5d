"""One table of named things: duplicates name both owners, misses name the nearest."""

from __future__ import annotations

import pytest

from honewise.errors import DuplicateName, UnknownName
from honewise.registry import Entry, Registry


@pytest.fixture
def table() -> Registry[int]:
    made: Registry[int] = Registry("number")
    made.add("two", 2, "plugin a")
    made.add("one", 1, "plugin b")
    return made


def test_what_is_added_is_found_with_its_owner(table: Registry[int]) -> None:
    assert table.get("one") == 1
    assert table.entry("two") == Entry("two", 2, "plugin a")
    assert list(table) == table.names() == ["one", "two"]
    assert [entry.value for entry in table.entries()] == [1, 2]
    assert len(table) == 2
    assert "one" in table
    assert "three" not in table


def test_a_second_owner_is_refused_and_both_are_named(table: Registry[int]) -> None:
    with pytest.raises(DuplicateName, match="number 'two' of plugin c is already registered by plugin a"):
        table.add("two", 3, "plugin c")
    assert table.get("two") == 2


def test_merge_is_all_or_nothing(table: Registry[int]) -> None:
    with pytest.raises(DuplicateName, match="already registered by plugin b"):
        table.merge({"new": 5, "one": 6}, "plugin c")
    assert table.names() == ["one", "two"]
    table.merge({"new": 5}, "plugin c")
    assert table.entry("new").owner == "plugin c"


def test_a_miss_names_the_nearest_or_everything(table: Registry[int]) -> None:
    with pytest.raises(UnknownName, match=r"no number 'tow'; did you mean 'two'\?") as caught:
        table.get("tow")
    assert (caught.value.kind, caught.value.name, caught.value.allowed) == ("number", "tow", ("one", "two"))
    with pytest.raises(UnknownName, match="no number 'zzzz'; there are: one, two"):
        table.get("zzzz")
    with pytest.raises(UnknownName, match="no thing 'x'; there are none"):
        Registry("thing").get("x")
