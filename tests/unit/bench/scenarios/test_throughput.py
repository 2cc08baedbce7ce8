import pytest
from bench.guest.house import House
from bench.guest.stage import Look
from bench.scenario import Order, Seen
from bench.scenarios.throughput import POINTS, Settings, Throughput, Work, command, work_of

HACKBENCH = """\
Running in process mode with 1 groups using 40 file descriptors each (== 40 tasks)
Each sender will pass 400 messages of 100 bytes
Time: 2.004
"""
SYSBENCH = """\
CPU speed:
    events per second:   886.95

General statistics:
    total time:                          3.0005s
    total number of events:              2662

Latency (ms):
         min:                                    1.09
"""
ORDER = Order("throughput", 3, ("stock", "temper"), POINTS)


@pytest.mark.parametrize(
    ("point", "text", "work"),
    [
        ("hackbench", HACKBENCH, Work(20 * 20 * 400, 2.004)),
        ("sysbench-cpu", SYSBENCH, Work(2662, 3.0005)),
        ("sysbench-threads", SYSBENCH, Work(2662, 3.0005)),
        ("compile", "", Work(24, 4.0)),
    ],
)
def test_what_a_program_says_that_it_did(point, text, work):
    assert work_of(point, text, Settings(), 4.0) == work


@pytest.mark.parametrize("point", ["hackbench", "sysbench-cpu"])
def test_a_program_that_says_nothing_is_named(point):
    with pytest.raises(ValueError, match=f"{point} said nothing"):
        work_of(point, "Segmentation fault", Settings(), 4.0)


def judged(tmp_path, *, text=HACKBENCH, used=2.5):
    (tmp_path / "log").write_text(text)
    window = {"start_ns": 0, "end_ns": 4 * 10**9, "cpu_us": {"work": used * 4e6}}
    data = {"window": window, "log": "log", "status": {"state": "enforcing", "layers": [{"name": "normal"}]}}
    look = Look("enabled", "temper", 1)
    (figure,) = Throughput(ORDER).judge(Seen("temper", "hackbench", look, look, data, tmp_path))
    return figure


def test_a_figure_is_work_per_second(tmp_path):
    figure = judged(tmp_path)
    assert (figure.value, figure.unit, figure.n) == (round(160_000 / 2.004, 3), "messages/s", 160_000)
    assert figure.doubts == ()


def test_too_little_to_tell_is_said(tmp_path):
    assert judged(tmp_path, text="Time: 0.100\n").doubts == ("it took 0.10 s only",)
    assert judged(tmp_path, used=0.2).doubts == ("the pod used 0.20 cpus",)


def test_commands_use_twice_as_many_threads_as_cpus(tmp_path):
    house = House(tmp_path / "share", tmp_path / "work", ORDER)
    cc1 = house.packages / "usr/libexec/gcc/x86_64-linux-gnu/14/cc1"
    cc1.parent.mkdir(parents=True)
    cc1.write_text("")
    words = {point: command(point, house, Settings(seconds=0.2), 3) for point in POINTS}
    assert words["sysbench-cpu"][2:] == [
        str(house.packages / "usr/bin/sysbench"), "cpu", "--threads=6", "--time=1", "--cpu-max-prime=2000", "run",
    ]  # fmt: skip
    assert words["compile"][-6:] == ["-P", "6", str(cc1), "-quiet", "-o", "/dev/null"]
    assert words["hackbench"] == ["hackbench", "-g", "1", "-f", "20", "-l", "400"]
