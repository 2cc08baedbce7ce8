import os

from temper.node.processes import read_cost
from temper.node.shape import Shape
from temper.node.small_files import read_bytes, read_numbers


def test_the_cost_of_this_very_process():
    cost = read_cost(os.getpid())
    assert cost.cpu_s > 0
    assert cost.resident_bytes > 1_000_000


def test_a_process_that_is_gone_or_no_process(tmp_path):
    assert read_cost(2**22 + 1) is None
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("7 (x) S 1 2")
    assert read_cost(7, str(tmp_path)) is None


def test_small_files(tmp_path):
    (tmp_path / "a").write_text("usage_usec 5\nrubbish\nx y\nneg -3\n")
    assert read_numbers(str(tmp_path / "a")) == {"usage_usec": 5}
    assert read_bytes(str(tmp_path / "gone")) == read_bytes(str(tmp_path)) == b""


def test_the_machine_is_read_again_only_when_it_changed(tmp_path, monkeypatch):
    cpus = tmp_path / "devices/system/cpu"
    cpus.mkdir(parents=True)
    (cpus / "online").write_text("0-3\n")
    shape = Shape(tmp_path)
    first = shape.read()
    assert shape.read() is first
    (cpus / "online").write_text("0-1\n")
    assert [cpu.id for cpu in shape.read().cpus] == [0, 1]
    (tmp_path / "fs/cgroup").mkdir(parents=True)
    (tmp_path / "fs/cgroup/cpuset.cpus.effective").write_text("1\n")
    assert [cpu.id for cpu in shape.read().cpus] == [1]
