"""Asks the API server whose a token is, and what they may: TokenReview, then SubjectAccessReview.

Needs `create` on tokenreviews and subjectaccessreviews, as the role system:auth-delegator gives it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any

import msgspec
from lightkube.core.resource import ApiInfo, GlobalResource, ResourceDef

from temper.kube.client import Client

_AUTHENTICATION = ResourceDef("authentication.k8s.io", "v1", "TokenReview")
_AUTHORIZATION = ResourceDef("authorization.k8s.io", "v1", "SubjectAccessReview")


class Access(Enum):
    """What the API server says of a token. UNKNOWN: it is nobody's; FORBIDDEN: its holder may not."""

    UNKNOWN = auto()
    FORBIDDEN = auto()
    ALLOWED = auto()


# Path and token -> what the token's holder may do there.
Review = Callable[[str, str], Awaitable[Access]]


class UserInfo(msgspec.Struct, frozen=True):
    """Whose token it is. Authorizers go by any of it, so all of it is passed on."""

    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class TokenReviewStatus(msgspec.Struct, frozen=True):
    """authenticated: left out by the server where it is false."""

    authenticated: bool | None = None
    user: UserInfo | None = None


class TokenReview(GlobalResource, msgspec.Struct, frozen=True):
    """What comes back; the token in `spec` is not decoded again."""

    status: TokenReviewStatus | None = None

    _api_info = ApiInfo(resource=_AUTHENTICATION, plural="tokenreviews", verbs=["post"])


class AccessReviewStatus(msgspec.Struct, frozen=True):
    """allowed: whether any authorizer of the cluster says yes."""

    allowed: bool = False


class SubjectAccessReview(GlobalResource, msgspec.Struct, frozen=True):
    """What comes back."""

    status: AccessReviewStatus | None = None

    _api_info = ApiInfo(resource=_AUTHORIZATION, plural="subjectaccessreviews", verbs=["post"])


async def may_get(client: Client, path: str, token: str) -> Access:
    """May the holder of a bearer token `get` this non-resource URL? Raises one of TROUBLES."""
    user = await _whose(client, token)
    if user is None:
        return Access.UNKNOWN
    named = {"user": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra}
    answer = await _ask(client, SubjectAccessReview, named | {"nonResourceAttributes": {"path": path, "verb": "get"}})
    return Access.ALLOWED if answer.status is not None and answer.status.allowed else Access.FORBIDDEN


async def _whose(client: Client, token: str) -> UserInfo | None:
    """None when the API server doesn't know the token."""
    status = (await _ask(client, TokenReview, {"token": token})).status
    return (status.user or UserInfo()) if status is not None and status.authenticated else None


async def _ask(client: Client, kind: Any, spec: dict[str, Any]) -> Any:
    resource = kind._api_info.resource
    body = {"apiVersion": f"{resource.group}/{resource.version}", "kind": resource.kind, "spec": spec}
    return await client.request("post", kind, obj=body)
