import os
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from temper.agent.metrics import CATALOGUE, Collector, Kind
from temper.agent.metrics_reference import markdown
from temper.agent.states import State
from temper.plan.lint import ABOUT, Invariant, Verdict
from temper.wire.messages import NoRoom

LABELS = ("namespace", "pod", "container", "cgroup")
PAGE = Path(__file__).parents[3] / "docs/metrics.md"


def scrape(node):
    text = Collector(node.facts).text().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    return families, values


def test_the_page_is_what_is_generated():
    assert PAGE.read_text() == markdown(), "run: python -m temper.agent.metrics_reference > docs/metrics.md"


def test_every_entry_is_exported_and_nothing_else(node):
    families, _ = scrape(node)
    expected = {entry.name.removesuffix("_total"): entry.kind for entry in CATALOGUE}
    assert {name: family.type for name, family in families.items()} == expected


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_names_follow_prometheus_conventions(entry):
    assert entry.name.startswith("temper_")
    assert entry.name.endswith("_total") == (entry.kind is Kind.COUNTER)
    assert entry.about.endswith(".")
    bounded = {"version", "mode", "state", "step", "part", "tier", "layer", "process", "invariant", "table"}
    assert set(entry.labels) <= bounded or entry.name.startswith("temper_cpu_max_")


def test_labels_have_only_the_values_that_the_catalogue_names(node):
    node.status.timings_ns = {"load": 5, "plan": 2}
    families, _ = scrape(node)
    known = {entry.name.removesuffix("_total"): entry.labels for entry in CATALOGUE}
    for name, family in families.items():
        for label, value in ((label, value) for sample in family.samples for label, value in sample.labels.items()):
            assert label in ("le", "version") or value in known[name][label].split(", "), (name, label, value)


def test_values(node):
    _, values = scrape(node)
    assert values["temper_state", "enforcing"] == values["temper_enforcing",] == 1
    assert values["temper_state", "safe-mode"] == 0
    assert values["temper_tier_pods", "critical"] == values["temper_tier_pods", "system"] == 1
    assert values["temper_tier_request_millicpu", "critical"] == 2000
    assert values["temper_tier_pods", "high"] == 0
    assert values["temper_layer_run_seconds_total", "critical"] == 3
    assert values["temper_layer_guest_run_seconds_total", "critical"] == 0.25
    assert values["temper_layer_wakes_total", "critical"] == 950
    assert values["temper_layer_spills_total", "critical"] == 40
    assert values["temper_layer_cpus", "critical"] == values["temper_layer_requested_cpus", "critical"] == 2
    assert values["temper_resizes_total",] == 0
    assert values["temper_api_requests_total",] == 7
    assert values["temper_api_trouble", "annotations"] == 1
    assert values["temper_process_resident_bytes", "agent"] > 1e6
    assert values["temper_lint_violations", "rt_hog"] == 0


def test_a_finite_cpu_max_is_counted_by_pod_and_container_and_others_by_path(node, limit):
    (node.cgroups / "web/cpu.stat").write_text("usage_usec 5\nnr_periods 9\nnr_throttled 2\nthrottled_usec 30\n")
    limit("web")
    limit("web/app", nr_throttled=7)
    limit("system.slice/a b.service", nr_periods=5)
    families, _ = scrape(node)

    def by_labels(name):
        samples = families[f"temper_cpu_max_{name}"].samples
        return {tuple(each.labels[key] for key in LABELS): each.value for each in samples}

    web, app, other = ("shop", "web", "", ""), ("shop", "web", "", "web/app"), ("", "", "", "system.slice/a b.service")
    assert by_labels("periods") == {web: 600, app: 600, other: 5}
    assert by_labels("throttled_periods") == {web: 30, app: 7, other: 30}
    assert by_labels("throttled_seconds") == {web: 1.5, app: 1.5, other: 1.5}
    assert by_labels("kernel_periods") == {web: 9}  # the others have no cpu.stat
    assert by_labels("kernel_throttled_periods") == {web: 2}
    assert by_labels("kernel_throttled_seconds") == {web: 3e-05}


def test_cgroups_that_found_no_room_are_counted_by_table(node):
    node.status.no_room = NoRoom(quotas=3)
    _, values = scrape(node)
    assert (values["temper_no_room_total", "cpu_max"], values["temper_no_room_total", "cpu_weight"]) == (3, 0)


@pytest.mark.parametrize("name", [b"a\nb", b'"', b"\xff", b"x" * 255])
def test_no_cgroup_s_name_spoils_a_scrape(node, limit, name):
    path = Path("user.slice", *[os.fsdecode(name)] * 2)
    limit(path)
    families, _ = scrape(node)
    (sample,) = families["temper_cpu_max_periods"].samples
    assert sample.value == 600
    assert len(sample.labels["cgroup"]) <= 256


def test_a_stand_down_is_in_the_histograms_once(node):
    node.status.nr_stand_downs, node.status.state = 1, State.SAFE_MODE
    node.status.stand_down_ns = {"decide": 1_000, "detach": 3_000_000, "reap": 2_000_000, "total": 6_000_000}
    node.measured.hear(node.status)
    node.measured.hear(node.status)
    _, values = scrape(node)
    assert values["temper_stand_down_seconds_count",] == 1
    assert values["temper_stand_down_seconds_sum",] == 0.006
    assert values["temper_stand_down_seconds_bucket", "0.005"] == 0
    assert values["temper_stand_down_seconds_bucket", "0.01"] == 1
    assert values["temper_stand_down_step_seconds_bucket", "0.005", "detach"] == 1


def test_commits_are_in_the_histograms(node):
    node.status.nr_commits, node.status.last_commit_ns = 4, {"kernel": 30_000, "commit": 700_000}
    node.measured.hear(node.status)
    _, values = scrape(node)
    assert values["temper_commits_total",] == 4
    assert values["temper_commit_seconds_count", "kernel"] == 1
    assert values["temper_commit_seconds_count", "from_change_seen"] == 0


def test_waits_are_a_histogram_with_the_scheduler_s_own_bounds(node):
    families, values = scrape(node)
    name = "temper_layer_wait_seconds"
    bounds = [sample.labels["le"] for sample in families[name].samples if sample.name == f"{name}_bucket"]
    assert [float(bound) for bound in bounds] == [*(2**bucket / 1e6 for bucket in range(23)), float("inf")]
    assert (bounds[0], bounds[22]) == ("1e-06", "4.194304")
    at = {bound: values[f"{name}_bucket", bound, "critical"] for bound in ("4e-06", "8e-06", "0.004096", "0.008192")}
    assert list(at.values()) == [0, 900, 990, 1000]
    assert (values[f"{name}_count", "critical"], values[f"{name}_sum", "critical"]) == (1000, 0.5)


def test_nothing_attached_leaves_the_layers_out(node):
    node.status.plan, node.status.stats, node.status.state = None, {}, State.SAFE_MODE
    families, values = scrape(node)
    assert not families["temper_layer_runs"].samples
    assert not families["temper_layer_wait_seconds"].samples
    assert not families["temper_no_room"].samples
    assert values["temper_enforcing",] == 0


def test_verdicts_are_counted_by_invariant(node):
    node.linter._remember([Verdict(Invariant.RT_HOG, "shop/a", "m"), Verdict(Invariant.RT_HOG, "shop/b", "m")])
    node.linter._remember([Verdict(Invariant.RT_HOG, "shop/a", "m")])
    _, values = scrape(node)
    assert values["temper_lint_violations", "rt_hog"] == 1
    assert values["temper_lint_found_total", "rt_hog"] == 2


def test_every_invariant_is_explained():
    assert set(ABOUT) == set(Invariant)
    assert all(f"| `{name}` |" in markdown() for name in Invariant)
