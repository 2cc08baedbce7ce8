import msgspec
import pytest
from lightkube.core.generic_client import GenericClient

from temper.kube.client import TROUBLES
from temper.kube.reviews import Access, SubjectAccessReview, TokenReview, may_get

KNOWN = {"authenticated": True, "user": {"username": "system:serviceaccount:a:b"}}
YES = {"allowed": True}


class Server:
    """Answers as lightkube's client would: the status of each kind, or none of it. asked: what came."""

    def __init__(self, token_status, access_status=None):
        self.statuses = {TokenReview: token_status, SubjectAccessReview: access_status}
        self.asked = []

    async def request(self, method, kind, obj):
        self.asked.append((method, obj))
        status = self.statuses[kind]
        return msgspec.json.decode(msgspec.json.encode({} if status is None else {"status": status}), type=kind)


@pytest.mark.parametrize(
    ("token_status", "access_status", "expected"),
    [
        (KNOWN, YES, Access.ALLOWED),
        (KNOWN, {"allowed": False, "reason": "no RBAC policy matched"}, Access.FORBIDDEN),
        (KNOWN, {"allowed": False, "denied": True}, Access.FORBIDDEN),
        (KNOWN, {"evaluationError": "webhook away"}, Access.FORBIDDEN),
        (KNOWN, None, Access.FORBIDDEN),
        ({"authenticated": False, "user": {"username": "x"}}, YES, Access.UNKNOWN),
        ({"user": {}, "error": "expired"}, YES, Access.UNKNOWN),
        (None, YES, Access.UNKNOWN),
    ],
)
async def test_only_whom_the_server_knows_and_lets(token_status, access_status, expected):
    server = Server(token_status, access_status)
    assert await may_get(server, "/observe", "t") is expected
    assert len(server.asked) == (1 if expected is Access.UNKNOWN else 2)


async def test_everything_that_is_known_of_a_user_is_asked_with():
    user = {"username": "ada", "uid": "7", "groups": ["ops"], "extra": {"scopes": ["a"]}}
    server = Server({"authenticated": True, "user": user}, YES)
    await may_get(server, "/observe", "t")
    assert server.asked == [
        ("post", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "t"}}),
        (
            "post",
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {
                    **{"user": "ada", "uid": "7", "groups": ["ops"], "extra": {"scopes": ["a"]}},
                    "nonResourceAttributes": {"path": "/observe", "verb": "get"},
                },
            },
        ),
    ]


async def test_an_answer_that_makes_no_sense_is_trouble_and_lets_nobody_in():
    with pytest.raises(TROUBLES):
        await may_get(Server(KNOWN, {"allowed": "yes"}), "/observe", "t")


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        (TokenReview, "apis/authentication.k8s.io/v1/tokenreviews"),
        (SubjectAccessReview, "apis/authorization.k8s.io/v1/subjectaccessreviews"),
    ],
)
def test_the_path_is_the_apis(kind, url):
    client = type("C", (), {"_field_manager": None, "_dry_run": False})()
    request = GenericClient.prepare_request.__get__(client)("post", kind, {"spec": {}})
    assert (request.method, request.url) == ("POST", url)
