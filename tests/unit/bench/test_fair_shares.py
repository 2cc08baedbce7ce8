import pytest
from bench.fair_shares import Group, fill, ideal, leaves
from hypothesis import given
from hypothesis import strategies as st

claims = st.lists(st.tuples(st.integers(1, 10_000), st.integers(0, 64)), min_size=1, max_size=8)
capacities = st.floats(0, 64)


def split(pairs):
    return [weight for weight, _ in pairs], [most for _, most in pairs]


@given(capacities, claims)
def test_all_is_given_that_anybody_can_use(cpus, pairs):
    weights, most = split(pairs)
    given_cpus = fill(cpus, weights, most)
    assert sum(given_cpus) == pytest.approx(min(cpus, sum(most)))
    assert all(-1e-9 <= share <= limit for share, limit in zip(given_cpus, most, strict=True))


@given(capacities, claims)
def test_nobody_gets_more_for_its_weight_than_who_could_use_more(cpus, pairs):
    weights, most = split(pairs)
    given_cpus = fill(cpus, weights, most)
    levels = [share / weight for share, weight in zip(given_cpus, weights, strict=True)]
    short = [level for level, share, limit in zip(levels, given_cpus, most, strict=True) if share < limit]
    for level in short:
        assert level == pytest.approx(max(short))
        assert level >= max(levels) - 1e-9


@given(capacities, claims, st.integers(2, 9))
def test_only_the_weights_ratio_counts_and_not_the_order(cpus, pairs, factor):
    weights, most = split(pairs)
    expected = pytest.approx(fill(cpus, weights, most), abs=1e-9)
    assert fill(cpus, [factor * weight for weight in weights], most) == expected
    assert fill(cpus, weights[::-1], most[::-1])[::-1] == expected


@given(claims)
def test_a_group_alone_in_a_group_changes_nothing(pairs):
    flat = [Group(str(number), weight, threads) for number, (weight, threads) in enumerate(pairs)]
    wrapped = [Group(group.name, group.weight, children=(Group("only", 7, group.threads),)) for group in flat]
    expected = {(*path, "only"): share for path, share in ideal(flat, 4).items()}
    assert ideal(wrapped, 4) == pytest.approx(expected)


def test_shares_of_levels_multiply():
    inner = (Group("a", 100, 8), Group("b", 300, 8))
    found = ideal((Group("x", 100, children=inner), Group("y", 100, children=inner)), 4)
    assert found == {("x", "a"): 0.5, ("x", "b"): 1.5, ("y", "a"): 0.5, ("y", "b"): 1.5}


def test_what_a_child_can_not_use_stays_with_its_siblings_first():
    inner = (Group("a", 400, 1), Group("b", 100, 8))
    groups = (Group("x", 100, children=inner), Group("y", 100, 8))
    assert ideal(groups, 8) == {("x", "a"): 1, ("x", "b"): 3, ("y",): 4}
    assert [path for path, _ in leaves(groups)] == [("x", "a"), ("x", "b"), ("y",)]
