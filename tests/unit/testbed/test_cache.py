"""The cache's keys, and entries that are whole or absent."""

from __future__ import annotations

import pytest
from testbed import cache


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def test_keys_depend_on_each_part_and_its_ends() -> None:
    assert cache.key("ab", "c") == cache.key(b"ab", b"c")
    assert len({cache.key("ab", "c"), cache.key("a", "bc"), cache.key("abc"), cache.key("c", "ab")}) == 4


def test_an_entry_is_built_once() -> None:
    built = []

    def build(folder) -> None:
        built.append(folder)
        (folder / "file").write_text("content")

    first = cache.entry("kind", "name", build)
    second = cache.entry("kind", "name", build)
    assert first == second == cache.folder() / "kind/name"
    assert (first / "file").read_text() == "content"
    assert len(built) == 1


def test_a_build_that_fails_leaves_nothing() -> None:
    def build(folder) -> None:
        (folder / "half").write_text("")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        cache.entry("kind", "name", build)
    assert list((cache.folder() / "kind").iterdir()) == []
