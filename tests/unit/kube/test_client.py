import json
import re
import socket

import httpx2 as httpx
import pytest
from lightkube.core.exceptions import ApiError
from lightkube.models.meta_v1 import Status

from temper.errors import InvalidInput
from temper.kube import client as client_module
from temper.kube.client import TROUBLES, annotate_node, connect, describe, is_gone, retry_after_s
from temper.kube.resources import Node


def answer(status, **headers):
    """The error of a response."""
    request = httpx.Request("GET", "http://x")
    return httpx.HTTPStatusError("no", request=request, response=httpx.Response(status, headers=headers))


NO_CA = """
current-context: x
clusters: [{name: c, cluster: {server: "https://h", certificate-authority: /gone}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
users: [{name: u, user: {}}]
"""


@pytest.mark.parametrize(
    "text", [None, "", "{", "\0", "[]", "clusters: []", "{current-context: x, clusters: [], contexts: []}", NO_CA]
)
def test_a_kubeconfig_that_cannot_be_used_is_named(tmp_path, text):
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        connect(str(path))
    (finding,) = caught.value.findings
    assert finding.place == f"kubernetes.kubeconfig: {path}"
    assert re.match(r"can't be used: \S", finding.message)


def test_without_a_kubeconfig_it_is_the_service_account():
    with pytest.raises(InvalidInput, match=r"^the service account: can't be used: "):
        connect("")


@pytest.fixture
def proxy(monkeypatch):
    """What would send everything elsewhere, if it were asked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")


async def test_the_kubeconfigs_token_is_sent_and_no_proxy_asked(proxy, api, client):
    api.says("200 OK", {"metadata": {"name": "n1"}})
    found = await client.request("get", Node, name="n1")
    assert found.metadata.name == "n1"
    assert api.asked[0].headers["authorization"] == "Bearer secret"


async def test_annotations_are_merged_and_null_removes_one(api, client):
    api.says("200 OK", {"metadata": {"name": "n1"}})
    await annotate_node(client, "n1", {"a/b": "1", "a/c": None})
    (asked,) = api.asked
    assert (asked.method, asked.path) == ("PATCH", "/api/v1/nodes/n1")
    assert asked.headers["content-type"] == "application/merge-patch+json"
    assert json.loads(asked.body) == {"metadata": {"annotations": {"a/b": "1", "a/c": None}}}


async def test_a_dead_connection_is_found_in_twenty_seconds(api, client):
    api.streams(then="stand")
    request = client.prepare_request("list", Node, watch=True)
    response = await client.send(client.build_adapter_request(request), stream=True)
    connection = response.extensions["network_stream"].get_extra_info("socket")
    assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    idle_s, every_s, probes = (
        connection.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle_s + every_s * probes == 20
    assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
    await response.aclose()


async def get_node(client):
    return await client.request("get", Node, name="n1")


class TestReadAgain:
    """The kubeconfig, after a rotation."""

    @pytest.fixture(autouse=True)
    def at_once(self, monkeypatch):
        monkeypatch.setattr(client_module, "REREAD_S", 0.0)

    async def refused(self, api, client):
        api.fails(401, "Unauthorized")
        with pytest.raises(ApiError):
            await get_node(client)

    async def test_after_a_401_the_next_request_has_the_new_token(self, api, client, tmp_path):
        config = tmp_path / "kubeconfig"
        config.write_text(config.read_text().replace("secret", "rotated"))
        await self.refused(api, client)
        api.says("200 OK", {"metadata": {"name": "n1"}})
        await get_node(client)
        assert [asked.headers["authorization"] for asked in api.asked] == ["Bearer secret", "Bearer rotated"]

    @pytest.mark.parametrize("text", ["", "{", None])
    async def test_one_that_is_half_written_is_left_for_the_next_time(self, api, client, tmp_path, text):
        config = tmp_path / "kubeconfig"
        before = config.read_text()
        config.unlink() if text is None else config.write_text(text)
        await self.refused(api, client)
        config.write_text(before.replace("secret", "rotated"))
        await self.refused(api, client)
        api.says("200 OK", {"metadata": {"name": "n1"}})
        await get_node(client)
        assert [asked.headers["authorization"] for asked in api.asked] == [*["Bearer secret"] * 2, "Bearer rotated"]

    async def test_not_more_often_than_every_few_seconds(self, api, client, tmp_path, monkeypatch):
        monkeypatch.setattr(client_module, "REREAD_S", 60.0)
        config = tmp_path / "kubeconfig"
        config.write_text(config.read_text().replace("secret", "rotated"))
        await self.refused(api, client)
        await self.refused(api, client)
        assert {asked.headers["authorization"] for asked in api.asked} == {"Bearer secret"}

    async def test_a_certificate_that_is_not_taken_is_a_reason_too(self, api, client, tmp_path):
        config = tmp_path / "kubeconfig"
        url, text = api.url, config.read_text()
        config.write_text(text.replace(url, url.replace("http:", "https:")))
        await self.refused(api, client)  # from now on TLS, which this server doesn't speak
        config.write_text(text)
        api.says("200 OK", {"metadata": {"name": "n1"}})
        with pytest.raises(httpx.TransportError):
            await get_node(client)
        api.says("200 OK", {"metadata": {"name": "n1"}})
        assert (await get_node(client)).metadata.name == "n1"


@pytest.mark.parametrize(
    ("status", "body", "headers", "said"),
    [
        ("403 Forbidden", {"code": 403, "message": "nodes is forbidden"}, ("application/json",), "403 nodes is forb"),
        ("409 Conflict", {"code": 409, "reason": "Conflict"}, ("application/json",), "409 Conflict"),
        ("503 Service Unavailable", b"", (), "503 Service Unavailable"),
        ("503 Service Unavailable", b"{", ("application/json",), "503 Service Unavailable"),
        ("200 OK", b"{", ("application/json",), "DecodeError: "),
    ],
)
async def test_every_refusal_is_one_of_the_troubles(api, client, status, body, headers, said):
    api.says(status, body, tuple(f"Content-Type: {kind}" for kind in headers))
    with pytest.raises(TROUBLES) as caught:
        await annotate_node(client, "n1", {})
    assert describe(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ApiError(status=Status(code=410, message="too old")), "410 too old"),
        (ApiError(status=Status(code=500, reason="InternalError")), "500 InternalError"),
        (ApiError(status=Status(message="odd")), "ApiError: odd"),
        (ApiError(status=Status(code=500, message="x" * 1000)), "500 " + "x" * 196),
        (answer(502), "502 Bad Gateway"),
        (TimeoutError(), "TimeoutError"),
        (httpx.ConnectError("All connection attempts failed"), "ConnectError: All connection attempts failed"),
        (OSError("x" * 1000), "OSError: " + "x" * 191),
    ],
)
def test_a_trouble_is_one_short_line(error, said):
    assert describe(error) == said


@pytest.mark.parametrize(
    ("error", "gone"),
    [
        (ApiError(status=Status(code=410)), True),
        (answer(410), True),
        (ApiError(status=Status(code=500)), False),
        (ApiError(status=Status()), False),
        (answer(404), False),
        (TimeoutError(), False),
    ],
)
def test_only_410_means_gone(error, gone):
    assert is_gone(error) is gone


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (answer(429, **{"Retry-After": "3"}), 3.0),
        (answer(503, **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}), 0.0),
        (answer(503), 0.0),
        (ApiError(status=Status(code=429)), 0.0),
        (TimeoutError(), 0.0),
    ],
)
def test_how_long_the_server_asks_to_stay_away(error, seconds):
    assert retry_after_s(error) == seconds
