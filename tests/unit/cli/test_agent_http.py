import subprocess
import sys

import pytest

from temper.cli.agent_http import fetch, own_url
from temper.errors import InvalidInput, NotPermitted, TemperError


def test_a_document_is_fetched(agent):
    assert fetch(agent.url) == agent.answer
    assert fetch(f"{agent.url}/behind/") == agent.answer
    assert [path for path, _ in agent.asked] == ["/observe", "/behind/observe"]


def test_a_token_is_sent_without_its_line_end(agent, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    fetch(agent.url, tmp_path / "token")
    assert agent.asked[0][1]["Authorization"] == "Bearer secret"


def test_a_token_that_cannot_be_read(agent, tmp_path):
    with pytest.raises(InvalidInput, match="can't be read"):
        fetch(agent.url, tmp_path / "gone")


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        ((401, b"a token is needed\n"), NotPermitted, "401: a token is needed .name a token with --token-file"),
        ((403, b"\x1b[2J"), NotPermitted, r"403: \\x1b\[2J .a ClusterRole with `get` on the nonResourceURL /observe"),
        ((500, b"internal error"), TemperError, "500: internal error"),
        ((302, b""), TemperError, "302"),
        ((200, b"<html>"), TemperError, "not an agent's"),
        ((200, b"{}"), TemperError, "missing required field"),
    ],
)
def test_other_answers_are_one_line(agent, answer, kind, said):
    agent.answer = answer
    with pytest.raises(kind, match=said) as raised:
        fetch(agent.url)
    assert str(raised.value).isprintable()


def test_nobody_there_is_one_line_that_says_what_to_do(agent):
    agent.shutdown()
    agent.server_close()
    with pytest.raises(
        TemperError, match=r"no agent answers .*: Connection refused \(`temper run` has no HTTP"
    ) as raised:
        fetch(agent.url)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("url", ["127.0.0.1:9100", "ftp://a", "http://", "http://a:99999", "file:///etc/passwd"])
def test_what_is_no_url(url):
    with pytest.raises(InvalidInput, match="is not a URL such as"):
        fetch(url)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        (None, "http://127.0.0.1:9100"),
        (":9200", "http://127.0.0.1:9200"),
        ("0.0.0.0:9200", "http://127.0.0.1:9200"),
        ("10.0.0.7:9200", "http://10.0.0.7:9200"),
        ("[::1]:9200", "http://[::1]:9200"),
        ("[::]:9200", "http://127.0.0.1:9200"),
    ],
)
def test_the_own_agent_is_where_the_settings_say(monkeypatch, listen, url):
    monkeypatch.delenv("TEMPER_CONFIG", raising=False)
    if listen is not None:
        monkeypatch.setenv("TEMPER_HTTP_LISTEN", listen)
    assert own_url() == url


def test_http_that_is_off_is_said(monkeypatch, tmp_path):
    (tmp_path / "agent.yaml").write_text("http:\n  listen: ''\n")
    monkeypatch.setenv("TEMPER_CONFIG", str(tmp_path / "agent.yaml"))
    with pytest.raises(TemperError, match="HTTP is off"):
        own_url()


def test_the_agents_own_parts_are_not_imported():
    heavy = "{'lightkube', 'starlette', 'prometheus_client', 'rich', 'yaml', 'structlog'}"
    code = f"import sys, temper.cli.top, temper.cli.explain; sys.exit(bool({heavy} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
