from hypothesis import given
from hypothesis import strategies as st

from temper.plan.tiers import DEFAULT_BANDWIDTHS, QUOTAS, Bandwidth, Quota, Tier, bandwidths

TIERS = st.sampled_from(Tier)


def test_who_serves_requests_is_smooth():
    assert {tier for tier, each in DEFAULT_BANDWIDTHS.items() if each.smooth_periods} == {Tier.CRITICAL, Tier.HIGH}
    assert {each.ceiling_millicpu for each in DEFAULT_BANDWIDTHS.values()} == {0}


@given(
    st.dictionaries(TIERS, st.sampled_from(Quota)), st.integers(2, 100), st.dictionaries(TIERS, st.integers(10, 10**9))
)
def test_what_is_set_holds_and_the_rest_is_the_default(quotas, periods, ceilings):
    found = bandwidths(quotas, periods, ceilings)
    assert list(found) == list(Tier)
    for tier, each in found.items():
        is_smooth = quotas.get(tier, QUOTAS[tier]) is Quota.SMOOTH
        assert each == Bandwidth(periods if is_smooth else 0, ceilings.get(tier, 0))
