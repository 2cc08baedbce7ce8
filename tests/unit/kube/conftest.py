"""An API server that says what a test tells it to, on a socket of loopback; and lightkube's own client of it."""

import asyncio
import contextlib
import json
import urllib.parse

import pytest

from temper.kube.client import connect

KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: c, cluster: {{server: "{url}"}}}}]
users: [{{name: u, user: {{token: secret}}}}]
contexts: [{{name: x, context: {{cluster: c, user: u}}}}]
current-context: x
"""


class Request:
    """What came: .method, .path, .query (name -> value), .headers (lower case), .body."""

    def __init__(self, head, body):
        first, *lines = head.decode().split("\r\n")
        self.method, target, _ = first.split(" ")
        self.path, _, query = target.partition("?")
        self.query = dict(urllib.parse.parse_qsl(query))
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
        self.body = body

    @property
    def is_watch(self):
        return self.query.get("watch") == "true"


class ApiServer:
    """Answers requests in the order of `script`; one more than that is kept waiting. asked: all that came."""

    def __init__(self):
        self.script = []
        self.asked = []
        self.url = ""
        self._server = None
        self._open = set()

    async def start(self, port=0):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self):
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self._open.add(task)
        task.add_done_callback(self._open.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            request = Request(head, b"")
            request.body = await reader.readexactly(int(request.headers.get("content-length", 0)))
            self.asked.append(request)
            if not self.script:
                await asyncio.Event().wait()
            await self.script.pop(0)(writer)
        writer.close()

    # ---- answers ----

    def says(self, status, body=b"", headers=("Content-Type: application/json",)):
        """One whole answer; a body that isn't bytes becomes JSON."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()

        async def answer(writer):
            lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
            writer.write("\r\n".join(lines).encode() + body)
            await writer.drain()

        self.script.append(answer)

    def lists(self, *objects, version="10", more=None):
        """A page of a list. more: the token of the next."""
        metadata = {"resourceVersion": version} | ({"continue": more} if more else {})
        self.says("200 OK", {"items": [*objects], "metadata": metadata})

    def fails(self, code, message="", headers=()):
        """A Status, as the API server says no."""
        status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}
        self.says(f"{code} No", status, ("Content-Type: application/json", *headers))

    def streams(self, *events, then="end"):
        """A watch: dicts become lines. then: it may `end`, `break`, or `stand` for ever."""

        async def answer(writer):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
            for event in events:
                line = (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n"
                writer.write(b"%x\r\n%b\r\n" % (len(line), line))
            await writer.drain()
            if then == "stand":
                await asyncio.Event().wait()
            if then == "end":
                writer.write(b"0\r\n\r\n")
                await writer.drain()

        self.script.append(answer)


@pytest.fixture
async def api():
    """A scripted API server."""
    server = ApiServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(api, tmp_path):
    """A client of it, made from a kubeconfig's file."""
    path = tmp_path / "kubeconfig"
    path.write_text(KUBECONFIG.format(url=api.url))
    made = connect(str(path))
    yield made
    await made.close()
