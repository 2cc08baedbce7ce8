"""The door to the API server: who we are, and what its troubles are called.

lightkube's generic client reads kubeconfigs and service accounts, re-reads rotated tokens, and speaks HTTP; it takes
our trimmed resources. It lives behind this module and `kube.reflector`.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import yaml
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core import decoders
from lightkube.core.exceptions import ApiError, ConfigError, LoadResourceError, NotReadyError
from lightkube.core.generic_client import BasicRequest, GenericAsyncClient
from lightkube.types import PatchType

from temper.errors import Finding, InvalidInput
from temper.kube.resources import Node

# What lightkube makes of a kubeconfig that can't be used.
_UNREADABLE = (
    ConfigError,
    LoadResourceError,
    yaml.YAMLError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    AssertionError,
)

REQUEST_TIMEOUT_S = 10.0
# After a rotation the kubeconfig's certificates, authority or token are others: it is read again, but not more often.
REREAD_S = 10.0
# A connection whose other end is gone without a word (a crashed balancer, a cable) is dead after 20 s, not after the
# minutes of a watch that hears nothing; what was sent and is not acknowledged, too.
KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
]


def _http_client(config: SingleConfig, conn_parameters: ConnectionParams) -> httpx.AsyncClient:
    """lightkube's, on connections of ours."""
    arguments = conn_parameters.httpx_params(config)
    transport = httpx.AsyncHTTPTransport(verify=arguments.pop("verify"), trust_env=False, socket_options=KEEPALIVE)
    return httpx.AsyncClient(**arguments | {"transport": transport})


class Client(GenericAsyncClient):
    """lightkube's, which reads its configuration again when the server no longer takes it, or is no longer taken.

    And but for an error whose body is no Status: a proxy's, say, without a type or with one that lies.
    """

    AdapterClient = staticmethod(_http_client)

    def __init__(self, parameters: ConnectionParams, read_config: Callable[[], SingleConfig]) -> None:
        super().__init__(parameters, config=read_config())
        self._parameters = parameters
        self._read_config = read_config
        self._read_at_s = time.monotonic()
        self._retired: httpx.AsyncClient | None = None

    async def close(self) -> None:
        """Every connection."""
        for each in filter(None, (self._retired, self._client)):
            await each.aclose()

    async def send(self, req: httpx.Request, stream: bool = False) -> httpx.Response:
        """The response, whatever its status. A configuration that is read anew is for the next request."""
        try:
            response: httpx.Response = await self._client.send(req, stream=stream)
        except (httpx.TransportError, ssl.SSLError) as error:  # an alert of TLS 1.3 comes with the answer, as it is
            if _is_about_tls(error):
                await self._read_again()
            raise
        if response.status_code == httpx.codes.UNAUTHORIZED:
            await response.aread()
            await self._read_again()
        return response

    async def _read_again(self) -> None:
        now_s = time.monotonic()
        if now_s - self._read_at_s < REREAD_S:
            return
        self._read_at_s = now_s
        try:
            config = self._read_config()
            before, self._client = self._client, _http_client(config, self._parameters)
        except _UNREADABLE:
            return  # half written, or gone: the server's answer is the trouble to tell of
        self.config = config
        # What another server of the cluster still answers on the old connections may end by itself until the next time.
        retired, self._retired = self._retired, before
        if retired is not None:
            await retired.aclose()

    @staticmethod
    def raise_for_status(resp: httpx.Response) -> None:
        """Raises nothing but an httpx.HTTPError."""
        try:
            GenericAsyncClient.raise_for_status(resp)  # type: ignore[no-untyped-call]
        except (KeyError, ValueError, msgspec.MsgspecError):
            resp.raise_for_status()


# What a request may end with that another attempt may not: the server is away, says no, or answers nonsense.
# OSError: the token file is being replaced, the resolver is away. NotReadyError: a list without a version.
TROUBLES = (httpx.HTTPError, ApiError, ConfigError, NotReadyError, msgspec.MsgspecError, TimeoutError, OSError)

GONE = 410
_SHOWN = 200  # characters of a server's message that a status repeats


def connect(kubeconfig: str) -> Client:
    """A client of the cluster; nothing is asked of it yet.

    kubeconfig: a file's path; empty means the service account of the pod that we run in. InvalidInput when it can't
    be used.
    """

    def read_config() -> SingleConfig:
        found = KubeConfig.from_file(Path(kubeconfig)) if kubeconfig else KubeConfig.from_service_account()
        config = found.get()
        if config is None:
            raise ConfigError("it has no current context")
        return config

    try:
        # trust_env off: no proxy variable and no kubeconfig of somebody's decides whom a privileged agent talks to.
        return Client(ConnectionParams(timeout=httpx.Timeout(REQUEST_TIMEOUT_S), trust_env=False), read_config)
    except _UNREADABLE as error:
        place = f"kubernetes.kubeconfig: {kubeconfig}" if kubeconfig else "the service account"
        why = " ".join(str(error).split()) or type(error).__name__  # PyYAML's take several lines
        raise InvalidInput([Finding(place, f"can't be used: {why}")]) from error


def _is_about_tls(error: BaseException | None) -> bool:
    """Was it a certificate, theirs or ours? httpx keeps what it comes from as its cause."""
    return error is not None and (
        isinstance(error, ssl.SSLError) or _is_about_tls(error.__cause__ or error.__context__)
    )


def describe(error: BaseException) -> str:
    """One line for a person: what the API server, or the way to it, said."""
    if isinstance(error, ApiError) and error.status.code:
        return f"{error.status.code} {error.status.message or error.status.reason}"[:_SHOWN]
    if isinstance(error, httpx.HTTPStatusError) and error.response is not None:
        return f"{error.response.status_code} {error.response.reason_phrase}"
    return f"{type(error).__name__}: {error}"[:_SHOWN].rstrip(": ")


def is_gone(error: BaseException) -> bool:
    """Has the server forgotten the version that we watch from? Then only a new list helps."""
    response = getattr(error, "response", None)  # None: an event of a watch
    return GONE in (isinstance(error, ApiError) and error.status.code, response is not None and response.status_code)


def retry_after_s(error: BaseException) -> float:
    """How long the server asks us to stay away (429, 503); 0 when it doesn't."""
    response = getattr(error, "response", None)
    try:
        return float(response.headers.get("Retry-After", 0)) if response is not None else 0.0
    except ValueError:
        return 0.0  # a date: no API server of Kubernetes sends one


async def watch(
    client: Client, request: BasicRequest, on_open: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[str, Any]]:
    """Events of one watch, as (type, object), until the server ends it. BOOKMARKs too. on_open: the watch stands."""
    response = await client.send(client.build_adapter_request(request), stream=True)
    try:
        if not response.is_success:
            await response.aread()  # the reason is in the body
        client.raise_for_status(response)
        on_open()
        async for line in _lines(response):
            event = decoders.decode_watch_event(line)
            if event.type == "ERROR":
                raise ApiError(status=decoders.decode_status(event.object))
            yield event.type, decoders.decode_object(event.object, request.response_type)  # type: ignore[arg-type]
    finally:
        await response.aclose()


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Events end with a newline. httpx's own splitting knows more ends, which a pod's annotation may hold (U+0085)."""
    rest = b""
    async for chunk in response.aiter_bytes():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield line


async def annotate_node(client: Client, name: str, annotations: dict[str, str | None]) -> None:
    """Set these annotations of a node, and remove those that are None. Raises one of TROUBLES."""
    patch = {"metadata": {"annotations": annotations}}
    await client.request("patch", Node, name=name, obj=patch, headers={"Content-Type": PatchType.MERGE.value})
