"""How a command asks a running agent: GET /observe, from this machine's own unless --url says otherwise."""

from __future__ import annotations

import http.client
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from temper.agent.observe import Document, decode
from temper.errors import Finding, InvalidInput, NotPermitted, TemperError
from temper.settings.quoting import printable, quoted

_Function = TypeVar("_Function", bound=Callable[..., Any])

TIMEOUT_S = 5.0
MOST_BYTES = 64 << 20
REMEDIES = {
    401: "name a token with --token-file",
    403: "a ClusterRole with `get` on the nonResourceURL /observe lets its holder read",
}
_SHOWN = 200
_PORTS = {"http": 80, "https": 443}
_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - what the agent may listen on; we connect to the loopback

_OPTIONS = (
    click.option("--url", default="", metavar="URL", help="The agent's HTTP; else this machine's, at http.listen."),
    click.option(
        "--token-file",
        type=click.Path(path_type=Path),
        help="A bearer token, where the agent asks for one (http.observe_token_review).",
    ),
)


def url_options(function: _Function) -> _Function:
    """Add --url and --token-file: parameters `url` and `token_file`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def fetch(url: str, token_file: Path | None = None, *, timeout_s: float = TIMEOUT_S) -> Document:
    """What the agent says of itself now. TemperError, in one line, when nobody answers or it is no such document."""
    base = url or own_url()
    status, body = _get(base, _headers(token_file), timeout_s)
    said = printable(body[:_SHOWN].decode(errors="replace").strip())
    if status in REMEDIES:
        raise NotPermitted(f"{base} says {status}: {said}", remedy=REMEDIES[status])
    if status != 200:
        raise TemperError(f"{base}/observe says {status}: {said}")
    try:
        return decode(body)
    except ValueError as error:
        raise TemperError(f"{base}/observe is not an agent's: {error}", remedy="agent and command differ?") from error


def own_url() -> str:
    """Where this machine's agent listens, by the settings that it has read too. InvalidInput when they are wrong."""
    from temper.settings.agent import load
    from temper.settings.sources import CONFIG_VARIABLE, Sources

    file = os.environ.get(CONFIG_VARIABLE)
    address = load(Sources(Path(file) if file else None, os.environ, ())).settings.http.address
    if address is None:
        raise TemperError("the agent's HTTP is off (http.listen is empty)", remedy="`temper status` needs none")
    host, port = address
    host = "127.0.0.1" if host in _ANY else host
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _headers(token_file: Path | None) -> dict[str, str]:
    if token_file is None:
        return {}
    try:
        return {"Authorization": f"Bearer {token_file.read_text().strip()}"}
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput([Finding("--token-file", f"{quoted(str(token_file))} can't be read: {error}")]) from error


def _get(base: str, headers: dict[str, str], timeout_s: float) -> tuple[int, bytes]:
    """No proxy of somebody's variables comes between, and no redirect is followed."""
    parts = urlsplit(base)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    try:
        port = parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        port = 0
    if parts.scheme not in kinds or not parts.hostname or not port:
        raise InvalidInput([Finding("--url", f"{quoted(base)} is not a URL such as http://127.0.0.1:9100")])
    connection = kinds[parts.scheme](parts.hostname, port, timeout=timeout_s)
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/observe", headers=headers)
        response = connection.getresponse()
        return response.status, response.read(MOST_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TemperError(
            f"no agent answers at {base}: {why}", remedy="`temper run` has no HTTP: `temper status` shows it"
        ) from error
    finally:
        connection.close()
