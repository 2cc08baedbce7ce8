"""Asks the API server whose token this is: TokenReview, for who may read /observe. Needs `create` on tokenreviews."""

from __future__ import annotations

from typing import Any

import msgspec
from lightkube.core.resource import ApiInfo, GlobalResource, ResourceDef

from temper.kube.client import Client

_VERSION = "authentication.k8s.io/v1"


class UserInfo(msgspec.Struct, frozen=True):
    """Whose token it is."""

    username: str | None = None


class TokenReviewStatus(msgspec.Struct, frozen=True):
    """authenticated: left out by the server where it is false."""

    authenticated: bool | None = None
    user: UserInfo | None = None


class TokenReview(GlobalResource, msgspec.Struct, frozen=True):
    """What comes back; the token in `spec` is not decoded again."""

    status: TokenReviewStatus | None = None

    _api_info = ApiInfo(
        resource=ResourceDef("authentication.k8s.io", "v1", "TokenReview"), plural="tokenreviews", verbs=["post"]
    )


async def whose_token(client: Client, token: str) -> str | None:
    """The user that a bearer token stands for; None when the API server doesn't know it. Raises one of TROUBLES."""
    review: dict[str, Any] = {"apiVersion": _VERSION, "kind": "TokenReview", "spec": {"token": token}}
    answer = await client.request("post", TokenReview, obj=review)
    status = answer.status
    if status is None or not status.authenticated:
        return None
    return (status.user.username if status.user else None) or "unnamed"
