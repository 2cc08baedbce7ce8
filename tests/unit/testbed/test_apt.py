"""The machine's apt sources, in both formats."""

from __future__ import annotations

import pytest
from testbed import apt
from testbed.progress import TestbedError

ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/one.gpg] http://mirror.example/debian bookworm main contrib # why
deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian-security bookworm-security main
deb broken
"""

DEB822 = """\
Types: deb deb-src
# a comment inside
URIs: http://a.example/debian
  http://b.example/debian
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/two.gpg

Types: deb
URIs: http://off.example/debian
Suites: trixie
Components: main
Enabled: no

Types: deb
URIs: http://inline.example/debian
Suites: trixie
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 -----END PGP PUBLIC KEY BLOCK-----
"""


def test_one_line_format() -> None:
    first, second = apt.parse_one_line(ONE_LINE)
    assert first == apt.Source(
        "http://mirror.example/debian", ("bookworm",), ("main", "contrib"), "/usr/share/keyrings/one.gpg"
    )
    assert second.uri == "http://mirror.example/debian-security"
    assert second.signed_by == ""


@pytest.mark.parametrize("options", ["[ signed-by=/k.gpg ]", "[signed-by=/k.gpg arch=amd64]", "[Signed-By=/k.gpg]"])
def test_options_with_any_spacing(options: str) -> None:
    (source,) = apt.parse_one_line(f"deb {options} http://m.example/debian sid main")
    assert source == apt.Source("http://m.example/debian", ("sid",), ("main",), "/k.gpg")


def test_deb822_format() -> None:
    found = apt.parse_deb822(DEB822)
    assert [source.uri for source in found] == [
        "http://a.example/debian",
        "http://b.example/debian",
        "http://inline.example/debian",
    ]
    assert found[0].suites == ("trixie", "trixie-updates")
    assert found[0].signed_by == "/usr/share/keyrings/two.gpg"
    assert found[2].signed_by == ""


def test_machine_sources_reads_both(tmp_path) -> None:
    parts = tmp_path / "etc/apt/sources.list.d"
    parts.mkdir(parents=True)
    (tmp_path / "etc/apt/sources.list").write_text(ONE_LINE)
    (parts / "debian.sources").write_text(DEB822)
    (parts / "off.list.disabled").write_text("deb http://off.example/debian sid main\n")
    assert len(apt.machine_sources(tmp_path)) == 5


def test_archive_is_neither_security_nor_another_vendor(monkeypatch) -> None:
    monkeypatch.delenv(apt.MIRROR_VARIABLE, raising=False)
    vendor = apt.Source("http://vendor.example/apt", ("stable-cloud",), ("contrib",))
    security = apt.Source("http://mirror.example/debian-security", ("trixie-security",), ("main",))
    main = apt.Source("http://mirror.example/debian", ("trixie", "trixie-updates"), ("main",), "/k.gpg")
    archive = apt.debian_archive([vendor, security, main])
    assert archive.line("trixie-backports") == (
        "deb [signed-by=/k.gpg] http://mirror.example/debian trixie-backports main"
    )
    with pytest.raises(TestbedError, match=apt.MIRROR_VARIABLE):
        apt.debian_archive([vendor, security])


def test_the_variable_names_another_archive(monkeypatch) -> None:
    monkeypatch.setenv(apt.MIRROR_VARIABLE, "http://own.example/debian")
    assert apt.debian_archive([]).uri == "http://own.example/debian"
