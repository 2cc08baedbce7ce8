"""Real inotify, on folders of the test's own."""

from __future__ import annotations

import asyncio

import pytest
from asyncinotify import Inotify, Mask

from temper.agent import watching
from temper.agent.watching import CGROUP_MASK, Directories, Following
from temper.errors import Refused


@pytest.fixture
def inotify():
    with Inotify() as opened:
        yield opened


async def heard(inotify, mask):
    """The next event of this kind."""
    async with asyncio.timeout(10):
        while True:
            event = await inotify.get()
            if event.mask & mask:
                return event


async def test_a_directory_made_anew_is_watched_anew(tmp_path, inotify):
    unit = tmp_path / "foo.service"
    unit.mkdir()
    directories = Directories(inotify, CGROUP_MASK)
    assert directories.follow([unit])
    assert not directories.follow([unit])
    unit.rmdir()
    unit.mkdir()  # before anybody has heard of the end of the first
    directories.forget((await heard(inotify, Mask.IGNORED)).watch)
    assert directories.follow([unit])
    (unit / "worker").mkdir()
    event = await heard(inotify, Mask.CREATE)
    assert (event.path, directories.has(event.watch)) == (unit / "worker", True)


async def test_the_watch_of_a_new_directory_is_not_forgotten(tmp_path, inotify):
    unit = tmp_path / "foo.service"
    unit.mkdir()
    directories = Directories(inotify, CGROUP_MASK)
    directories.follow([unit])
    unit.rmdir()
    gone = await heard(inotify, Mask.IGNORED)
    directories.follow([])
    unit.mkdir()
    directories.follow([unit])
    directories.forget(gone.watch)
    assert not directories.follow([unit])


async def test_a_storm_of_events_is_few_walks(tmp_path, inotify, monkeypatch):
    monkeypatch.setattr(watching, "FOLLOW_PACE_S", 0.05)
    walks, told = [], []

    def wanted():
        walks.append(1)
        return [tmp_path]

    following = Following(Directories(inotify, CGROUP_MASK), wanted, lambda: told.append(1))
    task = asyncio.create_task(following.run())
    for _ in range(100):
        following.soon()
        await asyncio.sleep(0.001)
    task.cancel()
    assert 2 <= len(walks) <= 10
    assert len(told) == 1  # new but once


async def test_no_cgroup_tree_just_now_is_no_end(tmp_path, inotify):
    def wanted():
        raise Refused("not cgroup v2", remedy="")

    following = Following(Directories(inotify, CGROUP_MASK), wanted, lambda: pytest.fail("nothing is new"))
    following.now()
