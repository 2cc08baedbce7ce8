import pytest
from hypothesis import given
from hypothesis import strategies as st

from temper.plan.pod_sizes import limit_millicpu, request_millicpu
from temper.plan.pods import Container, ContainerKind, Pod

KINDS = {"i": ContainerKind.INIT, "s": ContainerKind.SIDECAR, "a": ContainerKind.APP, "e": ContainerKind.EPHEMERAL}


def containers(text):
    """`s100 i900 a-`: kinds with millicpu, asked and limited alike; `-` states none, `500/200` has 200 in force."""
    return tuple(_container(word[0], word[1:]) for word in text.split())


def _container(letter, amounts):
    spec, _, actuated = amounts.partition("/")
    stated, in_force = (int(amount) if amount.isdigit() else None for amount in (spec, actuated))
    return Container(
        name=letter,
        kind=KINDS[letter],
        cpu_request_millicpu=stated,
        cpu_limit_millicpu=stated,
        actuated_request_millicpu=in_force,
        actuated_limit_millicpu=in_force,
    )


def pod(text="", **fields):
    return Pod(uid="u", namespace="n", name="p", containers=containers(text), **fields)


@pytest.mark.parametrize(
    ("text", "overhead", "request_", "limit"),
    [
        ("s100 i900 s200 a500 a50", 10, 1010, 1010),  # the example of the module's docstring
        ("i900 s100 s200 a500 a50", 0, 900, 900),
        ("i100 s100 s200 a500 a50", 0, 850, 850),
        ("i100 i300 i200 a250", 0, 300, 300),
        ("a500 a250", 0, 750, 750),
        ("a500", 100, 600, 600),
        ("a500 e9000", 0, 500, 500),
        ("a500 e-", 0, 500, 500),
        ("a500 a-", 0, 500, None),
        ("i- a500", 0, 500, None),
        ("s- a500", 100, 600, None),
        ("a500 a0", 0, 500, None),  # a limit of 0 is none, a request of 0 is one
        ("a0", 0, 0, None),
        ("a-", 0, None, None),
        ("a- i-", 100, 100, None),  # as Kubernetes counts it: the overhead alone
        ("e100", 0, None, None),
        ("", 0, None, None),
        ("a500/200", 0, 200, 200),
        ("a500/2000 a100", 50, 2150, 2150),
        ("a-/300", 0, 300, 300),
        ("s500/100 i900/100 a1", 0, 200, 200),
    ],
)
def test_sizes(text, overhead, request_, limit):
    sized = pod(text, overhead_millicpu=overhead)
    assert (request_millicpu(sized), limit_millicpu(sized)) == (request_, limit)


@pytest.mark.parametrize(
    ("fields", "request_", "limit"),
    [
        ({"request_millicpu": 700}, 710, 610),
        ({"limit_millicpu": 900}, 610, 910),
        ({"request_millicpu": 700, "limit_millicpu": 900}, 710, 910),
        ({"request_millicpu": 0, "limit_millicpu": 0}, 10, 610),
        ({"request_millicpu": 99_000, "actuated_request_millicpu": 300}, 310, 610),
        ({"limit_millicpu": 99_000, "actuated_limit_millicpu": 300}, 610, 310),
        ({"actuated_request_millicpu": 1, "actuated_limit_millicpu": 1}, 610, 610),  # a sum, not a wish
    ],
)
def test_the_amounts_of_the_pod_as_a_whole_win(fields, request_, limit):
    sized = pod("a500 s100", overhead_millicpu=10, **fields)
    assert (request_millicpu(sized), limit_millicpu(sized)) == (request_, limit)


def test_a_limit_of_the_pod_covers_containers_without_one():
    assert limit_millicpu(pod("a- a500", limit_millicpu=800)) == 800


@st.composite
def starts(draw):
    """Containers as a pod lists them: those that start one by one, then those that start together."""
    amounts = st.integers(0, 5000)
    first = draw(st.lists(st.tuples(st.sampled_from("is"), amounts), max_size=6))
    then = draw(st.lists(st.tuples(st.sampled_from("ae"), amounts), max_size=4))
    return [*first, *then]


def _moments(listed):
    """What runs at each moment of a pod's start."""
    running = []
    for kind, millicpu in listed:
        if kind == "i":
            yield [*running, millicpu]
        elif kind == "s":
            running.append(millicpu)
    yield [*running, *(millicpu for kind, millicpu in listed if kind == "a")]


@given(starts(), st.integers(0, 500))
def test_a_pod_is_as_large_as_its_widest_moment(listed, overhead):
    sized = pod(" ".join(f"{kind}{millicpu}" for kind, millicpu in listed), overhead_millicpu=overhead)
    widest = max(sum(moment) for moment in _moments(listed)) + overhead
    assert (request_millicpu(sized) or 0) == widest
    assert limit_millicpu(sized) in {None, widest}


@given(starts(), st.integers(0, 5000))
def test_one_more_container_never_makes_a_pod_smaller(listed, millicpu):
    text = " ".join(f"{kind}{amount}" for kind, amount in listed)
    assert (request_millicpu(pod(f"{text} a{millicpu}")) or 0) >= (request_millicpu(pod(text)) or 0)
