"""The cache's keys, and entries that are whole or absent."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

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


def test_two_that_build_at_once_may_both_remove_what_is_old() -> None:
    count, together = 4, Barrier(4, timeout=10)
    for number in range(200):
        old = cache.folder() / f"kind/old-{number}"
        old.mkdir(parents=True)
        os.utime(old, (0, 0))

    with ThreadPoolExecutor(count) as pool:
        built = [pool.submit(cache.entry, "kind", str(n), lambda _: together.wait(), keep=count) for n in range(count)]
    assert {one.result().name for one in built} == {path.name for path in (cache.folder() / "kind").iterdir()}
