"""The door to the API server: who we are, and what its troubles are called.

lightkube's generic client reads kubeconfigs and service accounts, re-reads rotated tokens, and speaks HTTP; it takes
our trimmed resources. It lives behind this module and `kube.reflector`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import yaml
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core import decoders
from lightkube.core.exceptions import ApiError, ConfigError, LoadResourceError, NotReadyError
from lightkube.core.generic_client import BasicRequest, GenericAsyncClient
from lightkube.types import PatchType

from temper.errors import Finding, InvalidInput
from temper.kube.resources import Node


class Client(GenericAsyncClient):
    """lightkube's, but for an error whose body is no Status: a proxy's, say, without a type or with one that lies."""

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

REQUEST_TIMEOUT_S = 10.0
GONE = 410
_UNUSABLE = (ConfigError, LoadResourceError, yaml.YAMLError)  # of a kubeconfig
_SHOWN = 200  # characters of a server's message that a status repeats


def connect(kubeconfig: str) -> Client:
    """A client of the cluster; nothing is asked of it yet.

    kubeconfig: a file's path; empty means the service account of the pod that we run in. InvalidInput when it can't
    be used.
    """
    try:
        config = KubeConfig.from_file(Path(kubeconfig)) if kubeconfig else KubeConfig.from_service_account()
        # trust_env off: no proxy variable and no kubeconfig of somebody's decides whom a privileged agent talks to.
        return Client(ConnectionParams(timeout=httpx.Timeout(REQUEST_TIMEOUT_S), trust_env=False), config=config)
    except (*_UNUSABLE, OSError, ValueError, TypeError, KeyError, AttributeError, AssertionError) as error:
        place = f"kubernetes.kubeconfig: {kubeconfig}" if kubeconfig else "the service account"
        why = " ".join(str(error).split()) or type(error).__name__  # PyYAML's take several lines
        raise InvalidInput([Finding(place, f"can't be used: {why}")]) from error


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
    response = await client.send(client.build_adapter_request(request), stream=True)  # type: ignore[no-untyped-call]
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
