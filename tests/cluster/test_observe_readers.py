"""Who may read /observe, as a real API server answers it for accounts with and without a ClusterRole."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request

import pytest
from testbed.cluster import ServiceAccount
from tests.cluster.harness.agent import ACCOUNT, STATUS
from tests.cluster.harness.guest import HTTP_PORT, REPO

READER, STRANGER = ServiceAccount("default", "reader"), ServiceAccount("default", "stranger")


@pytest.fixture(scope="module")
def tokens(node):
    """Of two accounts, of which one is bound to the role that agent-rbac.yaml has for readers."""
    node.cluster.run(
        *("create", "clusterrolebinding", "reads-observe", "--clusterrole=temper-observe-reader"),
        f"--serviceaccount={READER.namespace}:{READER.name}",
    )
    for account in (READER, STRANGER):
        node.cluster.run("create", "serviceaccount", account.name, f"-n={account.namespace}")
    return {account.name: node.cluster.token(account) for account in (READER, STRANGER)}


@pytest.fixture(scope="module")
def observing(node):
    """An agent that asks, and may: the lines that agent-rbac.yaml has commented out are in force."""
    rights = re.sub(
        r"^  # (- apiGroups|  )", r"  \1", (REPO / "docs/kubernetes/agent-rbac.yaml").read_text(), flags=re.M
    )
    node.cluster.run("apply", "-f", "-", stdin=rights)
    node.start_agent("http.observe_token_review=true", mode="observe")
    node.await_annotation(STATUS, "observing")
    node.until(lambda: answers(node), "HTTP, which is imported after that")
    return node


def answers(node):
    """Does the agent's HTTP stand?"""
    try:
        return get(node, "/metrics")[0] == 200
    except OSError:
        return False


def get(node, path, token=""):
    """(status, body)."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"http://127.0.0.1:{node.guest.ports[HTTP_PORT]}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


@pytest.mark.parametrize(("who", "expected"), [("reader", 200), ("stranger", 403), ("nobody", 401)])
def test_only_who_has_the_role_reads_the_document(observing, tokens, who, expected):
    status, body = get(observing, "/observe", tokens.get(who, "made.up.token"))
    assert status == expected, body
    if status == 200:
        assert json.loads(body)["mode"] == "observe"
    assert get(observing, "/metrics")[0] == 200


def test_without_a_token_nothing_is_asked(observing):
    before = len(reviews(observing))
    assert get(observing, "/observe")[0] == 401
    assert len(reviews(observing)) == before


def test_a_reader_who_comes_every_moment_is_asked_about_once(observing, tokens):
    get(observing, "/observe", tokens["reader"])
    before = len(reviews(observing))
    assert {get(observing, "/observe", tokens["reader"])[0] for _ in range(5)} == {200}
    assert len(reviews(observing)) == before


def reviews(node):
    """What the agent asked about tokens and their holders."""
    kinds = ("tokenreviews", "subjectaccessreviews")
    return [event for event in node.cluster.asked_by(ACCOUNT) if event["objectRef"]["resource"] in kinds]
