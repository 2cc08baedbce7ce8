import msgspec
import pytest

from temper.kube.token_review import TokenReview, whose_token


class Server:
    """Answers one request as lightkube's client would."""

    def __init__(self, body):
        self.body = body
        self.asked = None

    async def request(self, method, resource, obj):
        self.asked = method, resource, obj
        return msgspec.json.decode(self.body, type=resource)


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (
            b'{"status": {"authenticated": true, "user": {"username": "system:serviceaccount:a:b"}}}',
            "system:serviceaccount:a:b",
        ),
        (b'{"status": {"authenticated": true}}', "unnamed"),
        (b'{"status": {"authenticated": false, "user": {"username": "x"}}}', None),
        (b'{"status": {"user": {}, "error": "expired"}}', None),
        (b'{"metadata": {}, "spec": {"token": "t"}}', None),
    ],
)
async def test_only_what_the_server_authenticates_is_somebody(body, user):
    server = Server(body)
    assert await whose_token(server, "t") == user
    method, resource, review = server.asked
    assert (method, resource) == ("post", TokenReview)
    assert review["spec"] == {"token": "t"}
    assert review["kind"] == "TokenReview"


def test_the_path_is_the_apis():
    from lightkube.core.generic_client import GenericClient

    request = GenericClient.prepare_request.__get__(type("C", (), {"_field_manager": None, "_dry_run": False})())(
        "post", TokenReview, {"spec": {}}
    )
    assert (request.method, request.url) == ("POST", "apis/authentication.k8s.io/v1/tokenreviews")
