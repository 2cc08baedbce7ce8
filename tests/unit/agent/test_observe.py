import msgspec
import pytest

from temper.agent.observe import VERSION, Document, decode, encode
from temper.agent.observing import observe
from temper.agent.states import State
from temper.plan.layers import Size
from temper.plan.lint import Invariant, Verdict
from temper.wire.messages import LayerStats

PRESSURE = "some avg10=1.50 avg60=0.20 avg300=0.00 total=99\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def layers(document):
    return {layer.name: layer for layer in document.layers}


def test_it_says_what_is_in_force_and_why(node):
    document = observe(node.facts())
    assert (document.state, document.generation, document.node, document.mode) == ("enforcing", 3, "n1", "enforce")
    assert (document.machine.cpus, document.machine.cores, document.machine.reserve) == (4, 4, "0-1")
    critical = layers(document)["critical"]
    assert (critical.kind, critical.cpus, critical.may_use, critical.nr_pods) == ("confined", [2, 3], "2-3", 1)
    assert critical.total.nr_runs == 1000
    assert (critical.smooth_periods, critical.ceiling_millicpu) == (10, 0)
    assert layers(document)["background"].smooth_periods == 0
    assert critical.size == Size("critical", requested=2, owned=2, room=3, least=2, most=2)
    assert layers(document)["background"].size is None
    assert layers(document)["background"].may_use == "0-1"
    web = document.pods[0]
    assert (web.pod, web.tier, web.layer, web.cpus, web.reason) == (
        "shop/web",
        "critical",
        "critical",
        [2, 3],
        "because",
    )
    assert (document.pods[2].tier, document.pods[2].layer) == ("system", "system")


def test_rates_are_of_the_last_two_readings(node):
    node.measured.hear(node.status)
    more = {"run_ns": 4_000_000_000, "wait_ns": 600_000_000, "nr_runs": 1500}
    node.status.stats = {"critical": msgspec.structs.replace(node.status.stats["critical"], **more)}
    node.measured.hear(node.status)
    node.measured.growth = msgspec.structs.replace(node.measured.growth, over_ns=2_000_000_000)
    critical = layers(observe(node.facts()))["critical"]
    assert (critical.used_cpus, critical.runs_per_s, critical.mean_wait_us) == (0.5, 250, 200)


def test_percentiles_of_waits_are_of_the_last_readings_and_since_the_attach(node):
    node.measured.hear(node.status)
    critical = layers(observe(node.facts()))["critical"]
    assert (critical.p50_wait_us, critical.p99_wait_us) == (None, None)
    assert (critical.total_p50_wait_us, critical.total_p99_wait_us) == (8, 16)
    before = node.status.stats["critical"]
    waits = (*before.wait_hist[:13], 60, *before.wait_hist[14:])
    node.status.stats = {"critical": msgspec.structs.replace(before, nr_runs=1050, wait_hist=waits)}
    node.measured.hear(node.status)
    critical = layers(observe(node.facts()))["critical"]
    assert (critical.p50_wait_us, critical.p99_wait_us) == (7000, 7000)  # of 4 to 8 ms, but the longest took 7
    assert (critical.total_p50_wait_us, critical.total_p99_wait_us) == (8, 7000)


def test_growth_that_outlives_the_counters_tells_no_waits(node):
    node.measured.hear(node.status)
    node.status.stats = {"critical": msgspec.structs.replace(node.status.stats["critical"], nr_runs=1050)}
    node.measured.hear(node.status)
    node.status.stats = {}
    critical = layers(observe(node.facts()))["critical"]
    assert (critical.total, critical.p99_wait_us, critical.total_p99_wait_us) == (None, None, None)


def test_the_cgroups_say_what_a_pod_uses_and_how_it_is_held_back(node):
    web = node.cgroups / "web"
    (web / "cpu.stat").write_text("usage_usec 5\nnr_periods 9\nnr_throttled 2\nthrottled_usec 30\n")
    (web / "cpu.max").write_text("150000 100000\n")
    (web / "cpu.pressure").write_text(PRESSURE)
    pod = observe(node.facts()).pods[0]
    assert (pod.cpu.usage_usec, pod.cpu.nr_throttled, pod.cpu.throttled_usec) == (5, 2, 30)
    assert pod.cpu.quota_millicpu == 1500
    assert (pod.pressure["cpu"].some_avg10, pod.pressure["cpu"].some_total_usec) == (1.5, 99)
    assert "memory" not in pod.pressure


def test_each_finite_cpu_max_with_the_kernel_s_own_counters(node, limit):
    (node.cgroups / "web/cpu.stat").write_text("usage_usec 5\nnr_periods 9\nnr_throttled 2\nthrottled_usec 30\n")
    limit("web")
    limit("other.slice", smooth_periods=0)
    web, other = observe(node.facts()).quotas
    assert (web.cgroup, web.pod, web.container, web.smooth_periods) == ("web", "shop/web", "", 10)
    assert (web.quota_millicpu, web.period_usec) == (500, 100_000)
    assert (web.nr_periods, web.nr_throttled, web.throttled_usec) == (600, 30, 1_500_000)
    assert (web.cpu.nr_periods, web.cpu.nr_throttled, web.cpu.throttled_usec) == (9, 2, 30)
    assert (other.cgroup, other.pod, other.smooth_periods) == ("other.slice", "", 0)


async def test_busiest_threads_and_verdicts(node, run_thread, events):
    run_thread("web", 100, cpu=2, ticks=0)
    run_thread("web", 101, cpu=3, ticks=0)
    await node.linter.look()
    node.clock.ns += 1_000_000_000
    (node.cgroups / "web/cpu.stat").write_text("usage_usec 2000000\n")
    run_thread("web", 100, cpu=2, ticks=20)
    run_thread("web", 101, cpu=3, ticks=80)
    await node.linter.look()
    node.linter._remember([Verdict(Invariant.RT_HOG, "shop/web", "m")])
    document = observe(node.facts())
    assert [(thread.tid, thread.share, thread.cpu) for thread in document.threads] == [(101, 0.8, 3), (100, 0.2, 2)]
    assert document.pods[0].used_millicpu == 1000
    (verdict,) = document.lint.verdicts
    assert (verdict.invariant, verdict.subject) == ("rt_hog", "shop/web")
    assert "SCHED_FIFO" in verdict.fix
    assert document.lint.looked_s and verdict.since_s


@pytest.mark.parametrize("state", list(State))
def test_without_a_plan_pods_are_still_told(node, state):
    node.status.state, node.status.plan, node.status.stats = state, None, {}
    document = observe(node.facts())
    assert (document.layers, len(document.pods), document.machine.reserve) == ([], 3, "0-3")
    assert document.pods[0].may_use == ""


def test_no_sysfs_no_machine(node):
    (node.root / "sys/devices/system/cpu/online").unlink()
    document = observe(node.facts())
    assert document.machine is None
    assert document.layers[0].may_use == ""


def test_only_troubles_that_there_are(node):
    api = observe(node.facts()).api
    assert (api.requests, api.trouble) == (7, {"annotations": "409 Conflict"})


def test_it_reads_back(node):
    document = observe(node.facts())
    assert decode(encode(document)) == document


def test_a_reader_takes_more_fields_but_no_other_version(node):
    body = msgspec.to_builtins(observe(node.facts()))
    assert isinstance(decode(msgspec.json.encode(body | {"new": 1})), Document)
    older = dict(body["layers"][0], total={"run_ns": 1, "nr_runs": 2})
    assert decode(msgspec.json.encode(body | {"layers": [older]})).layers[0].total == LayerStats(run_ns=1, nr_runs=2)
    with pytest.raises(ValueError, match=f"version {VERSION + 1}"):
        decode(msgspec.json.encode(body | {"version": VERSION + 1}))
    with pytest.raises(ValueError, match="missing"):
        decode(b"{}")
