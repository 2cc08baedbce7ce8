import pytest
from bench.guest import stage


@pytest.fixture
def pod(tmp_path, monkeypatch):
    """A pod's cgroup, as files."""
    monkeypatch.setattr(stage, "ROOT", tmp_path)
    (tmp_path / "web").mkdir()
    return tmp_path / "web"


def test_counters_are_the_kernels(pod):
    (pod / "cpu.stat").write_text("usage_usec 1500\nuser_usec 900\nnr_periods 7\nnr_throttled 2\n")
    assert stage.cpu_us("web") == 1500
    assert stage.cpu_stat("web")["nr_throttled"] == 2


@pytest.mark.parametrize("frozen", [0, 1])
def test_a_cgroup_is_frozen_when_the_kernel_says_so(pod, frozen):
    (pod / "cgroup.events").write_text(f"populated 1\nfrozen {frozen}\n")
    assert stage.is_frozen("web") is bool(frozen)


def test_a_limit_is_lifted_at_the_end_whatever_happens(pod):
    seen = []

    def fail():
        with stage.limited("web", 25_000, 100_000, 5_000):
            seen.append(((pod / "cpu.max").read_text(), (pod / "cpu.max.burst").read_text()))
            raise TimeoutError

    with pytest.raises(TimeoutError):
        fail()
    assert seen == [("25000 100000", "5000")]
    assert (pod / "cpu.max").read_text() == "max"


def test_a_program_that_fails_is_told_with_its_words(tmp_path):
    with pytest.raises(stage.subprocess.SubprocessError, match="status 3: no such thing"):
        stage.run(tmp_path, ["sh", "-c", "echo no such thing; exit 3"], tmp_path / "log")
    stage.run(tmp_path, ["true"], tmp_path / "log")
