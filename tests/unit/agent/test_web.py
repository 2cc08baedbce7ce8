"""The pages over a real socket, served in the test's own loop as in the agent's."""

import asyncio
import contextlib
import json
import signal
import socket
import time

import pytest

from temper.agent import asides, web
from temper.agent.observe import VERSION, decode
from temper.agent.states import State
from temper.kube.reviews import Access


@contextlib.asynccontextmanager
async def serving(pages):
    listening = web.listen(("127.0.0.1", 0))
    task = asyncio.create_task(web.serve(listening, pages))
    await asyncio.sleep(0)
    try:
        yield listening.getsockname()[:2]
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def get(address, path, *headers):
    """(status, headers, body)."""
    reader, writer = await asyncio.open_connection(*address)
    lines = [f"GET {path} HTTP/1.1", "Host: node", "Connection: close", *headers, "", ""]
    writer.write("\r\n".join(lines).encode())
    async with asyncio.timeout(5):
        answer = await reader.read()
    writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


async def test_each_page_answers(node):
    async with serving(web.Pages(node.facts)) as address:
        status, head, body = await get(address, "/metrics")
        assert (status, b"temper_enforcing 1.0" in body) == (200, True)
        assert "text/plain; version=0.0.4" in head
        status, _, body = await get(address, "/observe")
        assert (status, decode(body).version) == (200, VERSION)
        assert (await get(address, "/healthz"))[0] == 200
        assert (await get(address, "/readyz"))[::2] == (200, b"enforcing\n")
        assert (await get(address, "/other"))[0] == 404


@pytest.mark.parametrize(
    ("state", "ready"),
    [(state, state in (State.ENFORCING, State.SAFE_MODE, State.OBSERVING)) for state in State],
)
async def test_ready_means_that_it_does_what_was_asked_for(node, state, ready):
    node.status.state, node.status.reason = state, "because"
    async with serving(web.Pages(node.facts)) as address:
        status, _, body = await get(address, "/readyz")
    assert (status, body) == (200 if ready else 503, f"{state}: because\n".encode())


async def test_a_loop_without_passes_is_not_healthy(node):
    node.measured.last_pass_s = time.monotonic() - web.HEALTHY_S - 1
    async with serving(web.Pages(node.facts)) as address:
        assert (await get(address, "/healthz"))[0] == 503


async def test_a_page_that_breaks_answers_500_and_the_others_go_on(node, capsys):
    node.views = (None,)
    async with serving(web.Pages(node.facts)) as address:
        assert (await get(address, "/metrics"))[::2] == (500, b"internal error\n")
        assert (await get(address, "/observe"))[0] == 500
        assert (await get(address, "/readyz"))[0] == 200


async def test_answers_are_made_once_a_second_at_most(node):
    made = []
    pages = web.Pages(lambda: made.append(1) or node.facts())
    async with serving(pages) as address:
        bodies = {(await get(address, "/metrics"))[2] for _ in range(5)}
    assert (len(made), len(bodies)) == (1, 1)


async def test_signals_stay_the_agents(node):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with serving(web.Pages(node.facts)) as address:
        await get(address, "/healthz")
        assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


# ---- who may read ----


async def review(path, token):
    assert path == "/observe"
    answers = {"good": Access.ALLOWED, "other": Access.FORBIDDEN, "bad": Access.UNKNOWN}
    if token not in answers:
        raise OSError("no route")
    return answers[token]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), 401),
        (("Authorization: Basic Zm9v",), 401),
        (("Authorization: Bearer ",), 401),
        (("Authorization: Bearer good",), 200),
        (("authorization: bearer good",), 200),
        (("Authorization: Bearer bad",), 401),
        (("Authorization: Bearer other",), 403),
        (("Authorization: Bearer broken",), 503),
    ],
)
async def test_only_who_is_known_and_let_reads_the_document(node, headers, expected):
    async with serving(web.Pages(node.facts, review)) as address:
        status, head, _ = await get(address, "/observe", *headers)
        assert (status, "www-authenticate: bearer" in head) == (expected, expected == 401)
        assert (await get(address, "/metrics"))[0] == 200


# ---- strangers ----


async def hangs_up(reader):
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 1) == b""
    return True


async def test_over_the_limit_the_oldest_of_who_holds_the_most_is_hung_up_on(node, monkeypatch):
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 4)
    async with serving(web.Pages(node.facts)) as address:
        opened = []
        for local in ("127.0.0.3", "127.0.0.2", "127.0.0.2", "127.0.0.2"):
            opened.append(await asyncio.open_connection(*address, local_addr=(local, 0)))
            await asyncio.sleep(0.01)
        assert (await get(address, "/healthz"))[0] == 200  # a third address gets in
        assert await hangs_up(opened[1][0])
        for reader, _ in (opened[0], *opened[2:]):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.05)
        for _, writer in opened:
            writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET /metrics HTTP/1.1\r\nHost:"])
async def test_who_asks_nothing_is_hung_up_on(node, monkeypatch, sent):
    monkeypatch.setattr(web, "FIRST_REQUEST_S", 0.02)
    async with serving(web.Pages(node.facts)) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(), 1) == b""
        writer.close()


@pytest.mark.parametrize(
    "sent", [b"\0\xff" * 100, b"GET / HTTP/9\r\n\r\n", b"A" * 100_000, b"POST /metrics HTTP/1.1\r\n\r\n"]
)
async def test_nonsense_harms_nobody(node, sent):
    async with serving(web.Pages(node.facts)) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(sent)
        with contextlib.suppress(ConnectionResetError):
            assert b"HTTP/1.1 4" in await asyncio.wait_for(reader.read(65_536), 1)
        writer.close()
        assert (await get(address, "/healthz"))[0] == 200


# ---- the part of the agent ----


async def test_a_taken_port_is_waited_for(node, monkeypatch, events):
    monkeypatch.setattr(asides, "PORT_AGAIN_S", 0.01)
    taken = web.listen(("127.0.0.1", 0))
    address = taken.getsockname()[:2]
    task = asyncio.create_task(asides.serve_http(address, node.facts, None))
    await asyncio.sleep(0.1)
    assert [name for name, _ in events] == ["http_off"]
    assert events[0][1]["reason"].startswith("Address already in use")
    taken.close()
    async with asyncio.timeout(2):
        while "http_listening" not in [name for name, _ in events]:
            await asyncio.sleep(0.01)
    assert (await get(address, "/readyz"))[0] == 200
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_breaks_an_aside_is_logged_and_it_starts_again(monkeypatch, events):
    monkeypatch.setattr(asides, "AGAIN_S", 0.0)
    runs = []

    async def part():
        runs.append(1)
        if len(runs) == 3:
            raise asyncio.CancelledError
        raise ZeroDivisionError

    with pytest.raises(asyncio.CancelledError):
        await asides.keep_going("lint", part)
    assert [(name, details["part"]) for name, details in events] == [("part_failed", "lint")] * 2


def test_every_address_is_both_families():
    with web.listen(("", 0)) as listening:
        port = listening.getsockname()[1]
        assert socket.create_connection(("127.0.0.1", port)).close() is None


async def test_the_document_is_plain_json(node):
    body = json.loads(await web.Pages(node.facts)._document.get())
    assert (body["version"], body["node"], body["state"]) == (1, "n1", "enforcing")
