import pytest

from temper.errors import InvalidInput
from temper.plan.tiers import DEFAULT_BANDWIDTHS, Bandwidth, Tier
from temper.settings.workloads import MAX_BYTES, load, parse

GOOD = """
version = 1
[[workload]]
name = "memcached"
tier = "critical"
cgroup = "demo.slice/memcached*"
cpus = 3
[[workload]]
name = "batch"
tier = "background"
unit = 'batch@\\x2d1.service'
cpus = "1500m"
[[workload]]
name = "web"
tier = "normal"
cgroup = "a/**/b[0-9]"
"""


def findings(text):
    with pytest.raises(InvalidInput) as caught:
        parse(text, "f")
    return [str(finding) for finding in caught.value.findings]


def entry(**keys):
    """The findings of one otherwise good entry; a key that is None is left out."""
    merged = {"name": '"a"', "tier": '"low"', "cgroup": '"x"', **keys}
    lines = [f"{key} = {value}" for key, value in merged.items() if value is not None]
    return findings("\n".join(["version = 1", "[[workload]]", *lines]))


def test_a_good_file():
    file = parse(GOOD, "workloads.toml")
    assert [(r.name, r.tier, r.cgroup, r.unit, r.millicpu) for r in file.rules] == [
        ("memcached", Tier.CRITICAL, "demo.slice/memcached*", None, 3000),
        ("batch", Tier.BACKGROUND, None, "batch@\\x2d1.service", 1500),
        ("web", Tier.NORMAL, "a/**/b[0-9]", None, None),
    ]
    assert file.rules[1].place == "workloads.toml: workload[1]"


def test_no_workloads_is_a_good_file():
    assert parse("version = 1", "f").rules == ()


@pytest.mark.parametrize(
    ("keys", "finding"),
    [
        ({"name": None}, "f: workload[0].name: is missing"),
        ({"name": '""'}, 'f: workload[0].name: "" is not a text, or is empty'),
        ({"name": "7"}, "f: workload[0].name: 7 is not a text, or is empty"),
        (
            {"name": '" a"'},
            'f: workload[0].name: " a" is not 1 to 128 printable characters without blanks around',
        ),
        ({"name": '"a\\u001b[2J"'}, 'f: workload[0].name: "a\\x1b[2J" is not 1 to 128 printable'),
        ({"tier": None}, "f: workload[0].tier: is missing; one of critical, high, normal, low, background"),
        (
            {"tier": '"urgent"'},
            'f: workload[0].tier: "urgent" is not one of critical, high, normal, low, background',
        ),
        ({"tier": '"Critical"'}, 'low, background, did you mean "critical"?'),
        ({"tier": "[1]"}, "f: workload[0].tier: [1] is not one of"),
        ({"tier": "0x" + "f" * 5000}, "f: workload[0].tier: a huge number is not one of"),
        ({"cgroup": None}, "f: workload[0].cgroup: write exactly one of cgroup and unit"),
        ({"unit": '"a.service"'}, "f: workload[0].cgroup: write exactly one of cgroup and unit"),
        ({"cgroup": '"/a"'}, 'f: workload[0].cgroup: "/a" is not relative'),
        ({"cgroup": '"a/../b"'}, 'f: workload[0].cgroup: "a/../b" has a . or .. in it'),
        ({"cgroup": '"./b"'}, "has a . or .. in it"),
        ({"cgroup": '"a//b"'}, 'f: workload[0].cgroup: "a//b" has an empty component'),
        ({"cgroup": '"a/"'}, "has an empty component"),
        ({"cgroup": '"a\\u0000"'}, 'f: workload[0].cgroup: "a\\x00" has a NUL in it'),
        ({"cgroup": '"a**"'}, "** stands alone"),
        ({"cgroup": f'"{"a" * 4097}"'}, "is longer than 4096 characters"),
        (
            {"cgroup": None, "unit": '"memcached"'},
            'f: workload[0].unit: "memcached" is not a unit with a cgroup',
        ),
        ({"cgroup": None, "unit": '"a/b.service"'}, "is not a unit with a cgroup"),
        ({"cpus": "0"}, "f: workload[0].cpus: must be more than 0"),
        ({"cpus": "-1"}, "f: workload[0].cpus: the number of cpus is not from 0 to"),
        ({"cpus": "inf"}, "f: workload[0].cpus: the number of cpus is not from 0 to"),
        ({"cpus": "nan"}, "f: workload[0].cpus: the number of cpus is not from 0 to"),
        ({"cpus": "true"}, "f: workload[0].cpus: a bool is not a number of cpus such as"),
        (
            {"cpus": '"2x"'},
            'f: workload[0].cpus: "2x" is not a number of cpus such as 2, 1.5, "0.5" or "1500m"',
        ),
        (
            {"teir": '"low"'},
            'f: workload[0].teir: unknown key, did you mean "tier"?; allowed are name, tier, cgroup,',
        ),
        ({"colour": "1"}, "f: workload[0].colour: unknown key; allowed are"),
    ],
)
def test_one_wrong_key(keys, finding):
    (found,) = entry(**keys)
    assert finding in found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["f: version: is missing; write version = 1"]),
        ("version = 2", ["f: version: 2 is not supported; this Temper reads version 1"]),
        ("version = true", ["f: version: True is not supported; this Temper reads version 1"]),
        ("version = 1\nworkloads = 1", ['f: workloads: unknown key, did you mean "workload"?; allowed are']),
        ("version = 1\n[workload]", ["f: workload: is not a list of tables; write [[workload]]"]),
        ("version = 1\nworkload = [1]", ["f: workload[0]: 1 is not a table; write [[workload]]"]),
        ("version = 1\nx = = 2", ["f:2:5: is not TOML: Invalid value"]),
        (
            "version = 1\n[[workload",
            ["f:2:11: is not TOML: Expected ']]' at the end of an array declaration"],
        ),
        ("version = 1\nx = [", ["f:2:6: is not TOML: Invalid value"]),
        (f"x = {'9' * 5000}", ["f: is not usable TOML: Exceeds the limit"]),
        (f"x = {'[' * 100_000}", ["f: is not usable TOML"]),
    ],
)
def test_a_wrong_file(text, expected):
    found = findings(text)
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True)), found


def test_every_finding_in_one_pass():
    text = """
    version = 3
    [[workload]]
    tier = "urgent"
    cpus = -1
    [[workload]]
    name = "a"
    tier = "low"
    unit = "a.service"
    [[workload]]
    name = "a"
    tier = "low"
    cgroup = "/x"
    """
    places = [line.split(": ")[1] for line in findings(text)]
    assert places == [
        "version",
        "workload[0].name",
        "workload[0].tier",
        "workload[0].cgroup",
        "workload[0].cpus",
        "workload[2].cgroup",
        "workload[2].name",
    ]


def test_a_duplicate_names_the_first():
    entries = (f'[[workload]]\nname="a"\ntier="low"\ncgroup="{cgroup}"' for cgroup in "xy")
    assert findings("\n".join(["version = 1", *entries])) == [
        'f: workload[1].name: "a" is already the name at f: workload[0]'
    ]


def test_how_much_a_tier_may_take():
    assert parse("version = 1", "f").bandwidths == DEFAULT_BANDWIDTHS
    text = """
    version = 1
    [tiers]
    smooth_periods = 2
    quota.high = "strict"
    quota.normal = "smooth"
    [tiers.ceiling]
    normal = 0.01
    low = 3
    background = "1500m"
    """
    assert parse(text, "f").bandwidths == {
        Tier.CRITICAL: Bandwidth(2),
        Tier.HIGH: Bandwidth(),
        Tier.NORMAL: Bandwidth(2, 10),
        Tier.LOW: Bandwidth(0, 3000),
        Tier.BACKGROUND: Bandwidth(0, 1500),
    }


@pytest.mark.parametrize(
    ("line", "finding"),
    [
        ("tiers = 1", "f: tiers: 1 is not a table"),
        ("tiers.quota = 'smooth'", 'f: tiers.quota: "smooth" is not a table'),
        ("tiers.qouta.low = 'smooth'", 'f: tiers.qouta: unknown key, did you mean "quota"?; allowed are smooth_'),
        ("tiers.quota.lwo = 'smooth'", 'f: tiers.quota.lwo: unknown key, did you mean "low"?; allowed are critical,'),
        ("tiers.quota.low = 'smoth'", 'f: tiers.quota.low: "smoth" is not one of strict, smooth, did you mean "smooth'),
        ("tiers.quota.low = [1]", "f: tiers.quota.low: [1] is not one of strict, smooth"),
        ("tiers.smooth_periods = 1", "f: tiers.smooth_periods: 1 is not a whole number from 2 to 100"),
        ("tiers.smooth_periods = 2.0", "f: tiers.smooth_periods: 2.0 is not a whole number from 2 to 100"),
        ("tiers.smooth_periods = true", "f: tiers.smooth_periods: True is not a whole number from 2 to 100"),
        ("tiers.ceiling.low = 0", "f: tiers.ceiling.low: 0 is less than the least number of cpus, 0.01"),
        ("tiers.ceiling.low = '9m'", "f: tiers.ceiling.low: 0.009 is less than the least number of cpus, 0.01"),
        ("tiers.ceiling.low = -1", "f: tiers.ceiling.low: the number of cpus is not from 0 to"),
        ("tiers.ceiling.low = []", "f: tiers.ceiling.low: a list is not a number of cpus such as"),
    ],
)
def test_one_thing_wrong_with_a_tier(line, finding):
    (found,) = findings(f"version = 1\n{line}")
    assert finding in found


def test_load_names_the_file_as_given(tmp_path):
    path = tmp_path / "workloads.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    file = load(path)
    assert (file.source, len(file.rules)) == (str(path), 3)


@pytest.mark.parametrize(
    ("data", "finding"),
    [
        (None, ": there is no such file"),
        (b"version = 1\n\xff", ":2: byte 0xff is not valid UTF-8"),
        (b"#" * (MAX_BYTES + 1), ": is larger than 1048576 bytes"),
    ],
)
def test_unusable_files(tmp_path, data, finding):
    path = tmp_path / "w.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        load(path)
    assert str(caught.value) == f"{path}{finding}"


def test_a_directory_and_an_impossible_path(tmp_path):
    for path in (tmp_path, tmp_path / "a\0b"):
        with pytest.raises(InvalidInput, match="can't be read: "):
            load(path)
