import pytest

from temper.settings.texts import (
    is_ceiling_or_empty,
    is_cgroup,
    is_listen,
    is_node_name,
    is_path,
    is_path_or_empty,
    parse_listen,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", None),
        (":9100", ("", 9100)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("[::1]:65535", ("::1", 65535)),
        ("[0::0:1]:1", ("::1", 1)),
    ],
)
def test_listening_addresses(text, address):
    assert parse_listen(text) == address
    assert is_listen(text)


@pytest.mark.parametrize(
    "text",
    ["9100", ":", ":0", ":65536", ":+1", ":٣", "::1:80", "[::1]", "host:80", "127.0.0.1:", "[127.0.0.1]:80", "off"],
)
def test_refused_listening_addresses(text):
    assert not is_listen(text)


@pytest.mark.parametrize(
    ("is_valid", "good", "bad"),
    [
        (
            is_node_name,
            ["", "a", "node-1", "ip-10-0-0-1.ec2.internal", "a" * 253],
            ["A", "a_b", "-a", "a-", "a..b", ".a", "a.", "é", "a" * 254, "a/b"],
        ),
        (is_path, ["/", "/sys/fs/cgroup"], ["", "sys"]),
        (
            is_ceiling_or_empty,
            ["", "2", "1.5", "1500m", "0.01", "10m", "1000000"],
            ["0", "9m", "0.009", "-1", "1e3", "2 cpus", " 2", "nan", "1000001", "none"],
        ),
        (is_path_or_empty, ["", "/a"], ["a"]),
        (
            is_cgroup,
            ["kubepods.slice", "kubelet/kubepods"],
            ["", "/kubepods", "a/../b", "a//b", "a/", "kube*", "a[0]", "a?"],
        ),
    ],
)
def test_predicates(is_valid, good, bad):
    assert [text for text in good if not is_valid(text)] == []
    assert [text for text in bad if is_valid(text)] == []
