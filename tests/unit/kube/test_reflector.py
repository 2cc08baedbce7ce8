"""The reflector against a real socket; its waits are noted and not waited for."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from temper.kube import backoff
from temper.kube import reflector as module
from temper.kube.reflector import FIRST_WAIT_S, LEAST_PACE_S, LONGEST_WAIT_S, PAGE, Reflector
from temper.kube.resources import Pod

JSON = ("Content-Type: application/json",)


def pod(name, version="1", **annotations):
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": version}
    return {"kind": "Pod", "metadata": metadata | ({"annotations": annotations} if annotations else {})}


def event(kind, found):
    return {"type": kind, "object": found}


def bookmark(version):
    return event("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": version}, "spec": {"containers": None}})


def gone():
    return event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"})


@pytest.fixture
def waits(monkeypatch):
    """Every wait of the reflector, in seconds, with its jitter taken out of it."""
    noted, sleep = [], asyncio.sleep

    async def note(seconds):
        noted.append(seconds)
        await sleep(0)

    monkeypatch.setattr(module, "asyncio", SimpleNamespace(sleep=note))
    unspread = SimpleNamespace(uniform=lambda low, high: (low + high) / 2, randint=lambda low, high: low)
    monkeypatch.setattr(module, "random", unspread)
    monkeypatch.setattr(backoff, "random", unspread)
    return noted


@pytest.fixture
async def pods(client, waits):
    """A reflector of a node's pods that runs from `start` on. changes: the names it held at each change."""
    changes = []
    relist = SimpleNamespace(seconds=600.0)

    def tell():
        changes.append(sorted(name for name, _ in made.objects.values()))

    made = Reflector(
        client,
        Pod,
        keep=lambda found: (found.metadata.name, found.metadata.annotations),
        fields="spec.nodeName=n1",
        namespace="*",
        on_change=tell,
        relist_s=lambda: relist.seconds,
    )
    task = None

    def start():
        nonlocal task
        task = asyncio.create_task(made.run())

    async def until(holds):
        async with asyncio.timeout(2):
            while not holds():
                assert not task.done(), task.result()
                await asyncio.sleep(0.001)

    yield SimpleNamespace(reflector=made, changes=changes, start=start, until=until, relist=relist)
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def asked(pods, api, number):
    """Run until so many requests came."""
    pods.start()
    await pods.until(lambda: len(api.asked) == number)


def kinds(api):
    return ["watch" if request.is_watch else "list" for request in api.asked]


async def test_pages_become_one_list_and_one_change(pods, api):
    api.lists(pod("a"), more="there is more")
    api.lists(pod("b"), version="12")
    await asked(pods, api, 3)
    first, second, watching = api.asked
    assert first.path == second.path == watching.path == "/api/v1/pods"
    assert first.query == {"fieldSelector": "spec.nodeName=n1", "limit": str(PAGE)}
    assert second.query == first.query | {"continue": "there is more"}
    assert (pods.changes, pods.reflector.synced) == ([["a", "b"]], True)
    assert pods.reflector.objects.keys() == {"uid-a", "uid-b"}


async def test_the_watch_starts_at_the_lists_version_with_bookmarks(pods, api):
    api.lists(version="12")
    await asked(pods, api, 2)
    assert api.asked[1].query == {
        "fieldSelector": "spec.nodeName=n1",
        "watch": "true",
        "resourceVersion": "12",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "240",
    }
    assert pods.reflector.nr_requests == 2


async def test_an_empty_list_is_a_list(pods, api):
    api.lists()
    await asked(pods, api, 2)
    assert (pods.changes, pods.reflector.synced, pods.reflector.objects) == ([[]], True, {})


async def test_half_a_list_is_none(pods, api):
    api.lists(pod("a"), more="t")
    api.fails(410, "The provided continue parameter is too old")
    await asked(pods, api, 3)
    assert (pods.changes, pods.reflector.synced, pods.reflector.objects) == ([], False, {})
    assert kinds(api) == ["list"] * 3
    assert "continue" not in api.asked[2].query


async def test_events_change_the_copy_one_by_one(pods, api):
    api.lists(pod("a"))
    changed = pod("a", "13", tier="low")
    api.streams(
        event("ADDED", pod("b", "11")),
        event("DELETED", pod("b", "12")),
        event("MODIFIED", changed),
        event("DELETED", pod("never seen", "14")),
        then="stand",
    )
    pods.start()
    await pods.until(lambda: len(pods.changes) == 4)
    assert pods.changes == [["a"], ["a", "b"], ["a"], ["a"]]
    assert pods.reflector.objects["uid-a"] == ("a", {"tier": "low"})
    assert pods.reflector.heard_ns > 0


@pytest.mark.parametrize(
    ("last", "version", "changes"),
    [
        (bookmark("99"), "99", 1),
        (event("MODIFIED", pod("a", "20", tier="low")), "20", 2),
        (event("MODIFIED", pod("a", "21")), "21", 1),  # something in it changed that isn't kept
    ],
)
async def test_the_next_watch_goes_on_where_the_last_ended(pods, api, last, version, changes):
    api.lists(pod("a"))
    api.streams(last)
    await asked(pods, api, 3)
    assert kinds(api) == ["list", "watch", "watch"]
    assert api.asked[2].query["resourceVersion"] == version
    assert len(pods.changes) == changes


@pytest.mark.parametrize("how", ["event", "status", "status of something else"])
async def test_a_version_that_is_gone_brings_a_new_list(pods, api, how):
    api.lists(pod("a"), pod("b"))
    if how == "event":
        api.streams(gone())
    elif how == "status":
        api.fails(410, "too old resource version")
    else:
        api.says("410 Gone", b"gone", ("Content-Type: text/plain",))
    api.lists(pod("b"), pod("c"), version="50")
    await asked(pods, api, 4)
    assert kinds(api) == ["list", "watch", "list", "watch"]
    assert "resourceVersion" not in api.asked[2].query
    assert api.asked[3].query["resourceVersion"] == "50"
    assert pods.changes == [["a", "b"], ["b", "c"]]
    assert pods.reflector.trouble == ""


async def test_a_new_list_of_the_same_is_no_change(pods, api):
    api.lists(pod("a"))
    api.streams(gone())
    api.lists(pod("a"))
    await asked(pods, api, 4)
    assert pods.changes == [["a"]]


async def test_versions_that_are_always_gone_are_no_storm(pods, api, waits):
    for _ in range(5):
        api.lists(pod("a"))
        api.streams(gone())
    await asked(pods, api, 11)
    assert waits == [FIRST_WAIT_S * 2**number for number in range(5)]


async def test_after_its_time_the_list_is_had_anew(pods, api):
    pods.relist.seconds = 0.0
    api.lists(pod("a"))
    api.streams(bookmark("20"))
    api.lists()
    await asked(pods, api, 4)
    assert kinds(api) == ["list", "watch", "list", "watch"]
    assert pods.changes == [["a"], []]


async def test_a_server_that_asks_for_a_pause_gets_it(pods, api, waits):
    api.fails(429, "too many requests", ("Retry-After: 10",))
    await asked(pods, api, 2)
    assert waits == [11.0]
    assert pods.reflector.trouble == "429 too many requests"


REFUSALS = [
    ("403 Forbidden", {"code": 403, "message": 'pods is forbidden: User "x"'}, JSON, "403 pods is forbidden"),
    ("500 Internal", {"code": 500, "message": "etcdserver: no leader"}, JSON, "500 etcdserver: no leader"),
    ("500 Internal", {"code": 500, "reason": "InternalError"}, JSON, "500 InternalError"),
    ("502 Bad Gateway", b"<html>", ("Content-Type: text/html",), "502 Bad Gateway"),
    ("503 Service Unavailable", b"no type", (), "503 Service Unavailable"),
    ("503 Service Unavailable", b"not json", JSON, "503 Service Unavailable"),
    ("503 Service Unavailable", b"\xff\xfe", JSON, "503 Service Unavailable"),
    ("503 Service Unavailable", b"[]", JSON, "503 Service Unavailable"),
    ("503 Service Unavailable", b"{}", JSON, "503 Service Unavailable"),
    ("302 Found", b"{}", ("Location: /elsewhere", *JSON), "302 Found"),
]
NO_LISTS = [
    ("200 OK", b"<html>a captive portal", ("Content-Type: text/html",), "DecodeError: JSON is malformed"),
    ("200 OK", {"items": None, "metadata": {"resourceVersion": "1"}}, JSON, "ValidationError: Expected `array`"),
    ("200 OK", {"items": [], "metadata": {}}, JSON, "NotReadyError: resourceVersion"),
]


@pytest.mark.parametrize(("status", "body", "headers", "trouble"), [*REFUSALS, *NO_LISTS])
async def test_a_list_that_fails_is_tried_again(pods, api, waits, status, body, headers, trouble):
    for _ in range(3):
        api.says(status, body, headers)
    await asked(pods, api, 4)
    assert pods.reflector.trouble.startswith(trouble)
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert kinds(api) == ["list"] * 4
    assert (pods.changes, pods.reflector.synced, pods.reflector.nr_failures) == ([], False, 3)


@pytest.mark.parametrize(("status", "body", "headers", "trouble"), REFUSALS)
async def test_a_watch_that_fails_is_tried_again_and_what_was_known_stays(
    pods, api, waits, status, body, headers, trouble
):
    api.lists(pod("a"))
    for _ in range(3):
        api.says(status, body, headers)
    await asked(pods, api, 5)
    assert pods.reflector.trouble.startswith(trouble)
    assert waits == [FIRST_WAIT_S, 2 * FIRST_WAIT_S, 4 * FIRST_WAIT_S]
    assert kinds(api) == ["list", *["watch"] * 4]
    assert (pods.changes, pods.reflector.synced, pods.reflector.nr_failures) == ([["a"]], True, 3)


async def test_waits_grow_to_a_bound_and_start_anew_after_a_recovery(pods, api, waits):
    for _ in range(10):
        api.fails(500, "no")
    api.lists(pod("a"))
    api.streams(bookmark("11"), then="break")
    api.fails(500, "no")
    api.streams()
    api.fails(500, "no")
    await asked(pods, api, 16)
    assert waits[7:10] == [LONGEST_WAIT_S] * 3
    assert waits[10:12] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S]
    assert waits[13] == FIRST_WAIT_S  # a watch that ended as it should is well, too


async def test_recovery_is_told_though_the_objects_are_the_same(pods, api):
    api.lists(pod("a"))
    api.fails(500, "no")
    api.streams(bookmark("11"), then="stand")
    await asked(pods, api, 3)
    await pods.until(lambda: pods.reflector.trouble == "")
    assert pods.changes == [["a"], ["a"]]


async def test_the_trouble_is_over_once_the_watch_stands_though_nothing_happens(pods, api):
    api.lists(pod("a"))
    api.fails(500, "no")
    api.streams(then="stand")
    await asked(pods, api, 3)
    await pods.until(lambda: pods.reflector.trouble == "")


async def test_watches_that_end_at_once_are_paced(pods, api, waits):
    api.lists()
    for _ in range(4):
        api.streams()
    await asked(pods, api, 6)
    assert kinds(api) == ["list", *["watch"] * 5]
    assert all(LEAST_PACE_S - 0.5 < wait <= LEAST_PACE_S for wait in waits)
    assert len(waits) == 4
    assert pods.reflector.trouble == ""


@pytest.mark.parametrize(
    "garbage",
    [
        b"not json",
        b"\xff\xfe",
        b"[]",
        {"type": "ADDED"},
        {"type": "ADDED", "object": 7},
        {"type": "ADDED", "object": {"metadata": None}},
        {"type": "ERROR", "object": "no"},
    ],
)
async def test_an_event_that_cannot_be_read_brings_a_new_list(pods, api, waits, garbage):
    """A watch from the version before it would meet the same event again."""
    api.lists()
    api.streams(event("ADDED", pod("a", "11")), garbage, event("ADDED", pod("b", "12")))
    api.lists(pod("a", "11"), pod("b", "12"), version="12")
    await asked(pods, api, 4)
    assert kinds(api)[:3] == ["list", "watch", "list"]
    assert waits[0] == FIRST_WAIT_S
    assert pods.changes[-1] == ["a", "b"]


async def test_an_error_event_is_trouble_and_the_watch_begun_anew_from_the_last_good_event(pods, api, waits):
    api.lists()
    api.streams(
        event("ADDED", pod("a", "11")),
        event("ERROR", {"code": 500, "message": "etcd event received with PrevKv=nil"}),
        event("ADDED", pod("b", "12")),
    )
    await asked(pods, api, 3)
    assert kinds(api) == ["list", "watch", "watch"]
    assert api.asked[2].query["resourceVersion"] == "11"
    assert pods.reflector.trouble
    assert waits == [FIRST_WAIT_S]
    assert pods.changes == [[], ["a"]]


async def test_only_a_newline_ends_an_event(pods, api):
    """Go writes U+0085 into JSON as it is, and some line splitters end a line there."""
    api.lists()
    odd = pod("a", "11")
    odd["metadata"]["annotations"] = {"note": "one\x85two\u2028three"}
    api.streams(json.dumps(event("ADDED", odd), ensure_ascii=False).encode(), event("ADDED", pod("b", "12")))
    await asked(pods, api, 3)
    assert not pods.reflector.trouble
    assert pods.changes == [[], ["a"], ["a", "b"]]


async def test_a_watch_that_breaks_goes_on_from_the_last_event(pods, api):
    api.lists()
    api.streams(event("ADDED", pod("a", "11")), then="break")
    await asked(pods, api, 3)
    assert api.asked[2].query["resourceVersion"] == "11"
    assert pods.reflector.trouble.startswith("RemoteProtocolError: peer closed connection")


async def test_silence_on_a_watch_is_a_dead_connection(pods, api, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_S", 0.02)
    api.lists()
    api.streams(then="stand")
    pods.start()
    await pods.until(lambda: len(api.asked) >= 3)
    assert kinds(api)[:3] == ["list", "watch", "watch"]
    assert pods.reflector.trouble.startswith("ReadTimeout")


async def test_a_server_that_is_away_and_comes_back(pods, api, waits):
    port = int(api.url.rpartition(":")[2])
    await api.stop()
    pods.start()
    await pods.until(lambda: len(waits) >= 2)
    assert pods.reflector.trouble.startswith("ConnectError: ")
    assert not pods.reflector.synced
    assert waits[:2] == [FIRST_WAIT_S, 2 * FIRST_WAIT_S]
    api.lists(pod("a"))
    await api.start(port)
    await pods.until(lambda: pods.reflector.synced)
    assert pods.reflector.trouble == ""
    assert pods.changes[-1] == ["a"]
