import pytest

from temper.errors import Refused
from temper.node.topology import isolated_cpus, read_machine
from temper.plan.machine import Cpu


def tree(root, files):
    """A /sys below `root`: path under devices/system -> text."""
    for name, text in files.items():
        path = root / "devices/system" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return root


def cpu(number, *, core=0, package=0, siblings=None, caches=None):
    """One cpu's files. caches: level -> shared_cpu_list."""
    base = f"cpu/cpu{number}"
    files = {f"{base}/topology/core_id": core, f"{base}/topology/physical_package_id": package}
    if siblings is not None:
        files[f"{base}/topology/core_cpus_list"] = siblings
    for level, shared in (caches or {}).items():
        files[f"{base}/cache/index{level}/level"] = level
        files[f"{base}/cache/index{level}/shared_cpu_list"] = shared
    return files


def shape(machine):
    return [(c.id, c.core, c.llc, c.node) for c in machine.cpus]


def test_two_packages_with_smt_caches_and_nodes(tmp_path):
    files = {"cpu/online": "0-7", "node/node0/cpulist": "0-1,4-5", "node/node3/cpulist": "2-3,6-7"}
    for number in range(8):
        core, package = number % 4 % 2, number % 4 // 2  # core_id repeats in each package
        shared = "0-1,4-5" if package == 0 else "2-3,6-7"
        siblings = f"{number % 4},{number % 4 + 4}"
        files |= cpu(
            number,
            core=core,
            package=package,
            siblings=siblings,
            caches={1: siblings, 2: siblings, 3: shared},
        )
    assert shape(read_machine(tree(tmp_path, files))) == [
        *[(0, 0, 0, 0), (1, 1, 0, 0), (2, 2, 1, 3), (3, 3, 1, 3)],
        *[(4, 0, 0, 0), (5, 1, 0, 0), (6, 2, 1, 3), (7, 3, 1, 3)],
    ]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu/online": "0-1"}, [(0, 0, 0, 0), (1, 1, 0, 0)]),
        # no lists: siblings by core_id within the package; package stands in for cache and node
        (
            {"cpu/online": "0-3"} | cpu(0) | cpu(1) | cpu(2, package=1) | cpu(3, core=1, package=1),
            [(0, 0, 0, 0), (1, 0, 0, 0), (2, 1, 1, 1), (3, 2, 1, 1)],
        ),
        # the older name of the list
        (
            {"cpu/online": "0-1"} | {f"cpu/cpu{n}/topology/thread_siblings_list": "0-1" for n in (0, 1)},
            [(0, 0, 0, 0), (1, 0, 0, 0)],
        ),
        # offline cpus are left out
        ({"cpu/online": "0,2"} | cpu(0) | cpu(1, core=1) | cpu(2, core=2), [(0, 0, 0, 0), (2, 1, 0, 0)]),
        # no third level: the last one that is shared; a private first level says nothing
        (
            {"cpu/online": "0-3"}
            | {k: v for n in range(4) for k, v in cpu(n, core=n, caches={2: "0-1" if n < 2 else "2-3"}).items()},
            [(0, 0, 0, 0), (1, 1, 0, 0), (2, 2, 1, 0), (3, 3, 1, 0)],
        ),
        (
            {"cpu/online": "0-1"} | cpu(0, caches={1: "0"}) | cpu(1, core=1, caches={1: "1"}),
            [(0, 0, 0, 0), (1, 1, 0, 0)],
        ),
        # nodes that don't name every cpu are not believed
        ({"cpu/online": "0-1", "node/node5/cpulist": "0"}, [(0, 0, 0, 0), (1, 1, 0, 0)]),
        # no list of online cpus: directories, less the ones that say 0
        (
            {"cpu/cpu1/online": "0", "cpu/cpuidle/x": ""} | cpu(0) | cpu(2, core=2) | cpu(10, core=10),
            [(0, 0, 0, 0), (2, 1, 0, 0), (10, 2, 0, 0)],
        ),
        # nonsense in a file counts as a missing file
        (
            {"cpu/online": "0-1"} | cpu(0, core="x", package="?", siblings="a-b") | cpu(1, core="", siblings="0"),
            [(0, 0, 0, 0), (1, 1, 1, 1)],
        ),
    ],
)
def test_what_is_missing_falls_back(tmp_path, files, expected):
    assert shape(read_machine(tree(tmp_path, files))) == expected


def test_no_cpus_is_refused(tmp_path):
    with pytest.raises(Refused, match=r"no online cpus under .*cpu.*is sysfs mounted"):
        read_machine(tmp_path)


def test_cores_group_siblings(tmp_path):
    files = {"cpu/online": "0-1"} | cpu(0, siblings="0-1") | cpu(1, siblings="0-1")
    machine = read_machine(tree(tmp_path, files))
    assert machine.cores() == {0: (0, 1)}
    assert machine.cpus[0] == Cpu(0, 0, 0, 0)


def test_cpus_of_a_cpuset_partition_are_left_out(tmp_path):
    files = {"cpu/online": "0-3"}
    for number in range(4):
        files |= cpu(number, core=number)
    root = tree(tmp_path, files)
    effective = root / "fs/cgroup/cpuset.cpus.effective"
    effective.parent.mkdir(parents=True)
    effective.write_text("0-2\n")
    assert [c.id for c in read_machine(root).cpus] == [0, 1, 2]


def test_isolated_cpus_are_those_the_kernel_lists(tmp_path):
    assert isolated_cpus(tmp_path) == ()
    assert isolated_cpus(tree(tmp_path, {"cpu/isolated": "2-3"})) == (2, 3)
