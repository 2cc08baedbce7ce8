from bench import packages

SIMULATED = """\
Reading package lists...
The following NEW packages will be installed:
  libluajit-5.1-2 sysbench
Inst libluajit-5.1-2 (2.1.0+openresty20250117-2 Debian:13.8/stable [amd64])
Inst sysbench (1.0.20+ds-7 Debian:13.8/stable [amd64])
Conf libluajit-5.1-2 (2.1.0+openresty20250117-2 Debian:13.8/stable [amd64])
Conf sysbench (1.0.20+ds-7 Debian:13.8/stable [amd64])
"""


def test_what_apt_would_install_is_what_is_fetched():
    assert packages.chosen(SIMULATED) == ["libluajit-5.1-2", "sysbench"]


def test_only_what_programs_need_goes_along(tmp_path):
    for name in ("usr/bin/sysbench", "usr/share/doc/x", "etc/mysql/my.cnf", "usr/lib/x86_64-linux-gnu/a.so.1"):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_text("")
    (tmp_path / "tree/usr/lib/x86_64-linux-gnu/a.so").symlink_to("a.so.1")
    packages.copy(tmp_path / "tree", tmp_path / "into")
    found = {str(path.relative_to(tmp_path / "into")) for path in (tmp_path / "into").rglob("*") if not path.is_dir()}
    assert found == {"usr/bin/sysbench", "usr/lib/x86_64-linux-gnu/a.so.1", "usr/lib/x86_64-linux-gnu/a.so"}
    assert (tmp_path / "into/usr/lib/x86_64-linux-gnu/a.so").is_symlink()
