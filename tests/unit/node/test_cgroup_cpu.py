import pytest

from temper.node.cgroup_cpu import CpuUse, read_cpu_use, read_machine_pressure, read_pressure, sum_cpu_use

FULL = "some avg10=1.50 avg60=0.20 avg300=0.00 total=99\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=7\n"


def write(root, **files):
    for name, text in files.items():
        (root / name.replace("_", ".")).write_text(text)
    return str(root)


def test_counters_and_quota(tmp_path):
    stat = "usage_usec 5\nuser_usec 3\nnr_periods 9\nnr_throttled 2\nthrottled_usec 30\nnr_bursts 0\n"
    assert read_cpu_use(write(tmp_path, cpu_stat=stat, cpu_max="150000 100000\n")) == CpuUse(5, 9, 2, 30, 1500)


@pytest.mark.parametrize(
    ("text", "millicpu"),
    [("max 100000", None), ("10000 100000", 100), ("1000 0", None), ("", None), ("x y", None), ("1 2 3", None)],
)
def test_quota(tmp_path, text, millicpu):
    assert read_cpu_use(write(tmp_path, cpu_max=text)).quota_millicpu == millicpu


def test_nothing_there_is_zeros(tmp_path):
    assert read_cpu_use(str(tmp_path / "gone")) == CpuUse()
    assert read_pressure(str(tmp_path / "gone")) == {}


@pytest.mark.parametrize(
    ("quotas", "expected"), [([], None), ([1000], 1000), ([1000, 500], 1500), ([1000, None], None), ([None], None)]
)
def test_a_sum_has_a_quota_only_if_each_part_has(quotas, expected):
    total = sum_cpu_use([CpuUse(1, 2, 3, 4, quota) for quota in quotas])
    assert (total.usage_usec, total.throttled_usec) == (len(quotas), 4 * len(quotas))
    assert total.quota_millicpu == expected


def test_pressure_of_a_cgroup_and_of_the_machine(tmp_path):
    write(tmp_path, cpu_pressure=FULL, memory_pressure=FULL.splitlines()[0], io_pressure="rubbish x=y")
    found = read_pressure(str(tmp_path))
    assert set(found) == {"cpu", "memory"}
    assert (found["cpu"].some_avg10, found["cpu"].full_avg10, found["cpu"].full_total_usec) == (1.5, 0.25, 7)
    assert found["memory"].full_total_usec == 0
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure/io").write_text(FULL)
    assert set(read_machine_pressure(str(tmp_path))) == {"io"}


@pytest.mark.parametrize("text", ["", "\n", "some\n", "all avg10=1 avg60=1 total=1", "some avg10=x avg60=1 total=1"])
def test_what_is_no_pressure(tmp_path, text):
    assert read_pressure(write(tmp_path, cpu_pressure=text)) == {}
