import msgspec
import pytest

from temper.engine import libbpf
from temper.engine.generations import LayerIds, write_config
from temper.errors import CommitRejected
from temper.plan.layers import DEFAULT, SYSTEM, Layer, Plan
from temper.plan.tiers import MOST_SMOOTH_PERIODS, LayerKind
from temper.plan.units import MAX_CPUS, MILLI

OWNER_NONE = libbpf.constant("TEMPER_OWNER_NONE")


def layer(name, rank, kind=LayerKind.OPEN, cpus=()):
    return Layer(name, rank, kind, kind is LayerKind.CONFINED, False, False, 5000, cpus)


SMALL = Plan((layer(SYSTEM, 0), layer(DEFAULT, 1)), ())
LARGE = Plan((layer(SYSTEM, 0), layer("critical", 1, LayerKind.CONFINED, (2, 3)), layer(DEFAULT, 2)), ())


def filled(plan, ids, nr_cpus=4):
    config = libbpf.ffi.new("struct temper_config *")
    config.owner[0] = 1  # left from an earlier generation
    write_config(config[0], plan, ids, nr_cpus=nr_cpus)
    return config


def test_a_name_keeps_its_id():
    ids = LayerIds().extended(SMALL)
    more = ids.extended(LARGE)
    assert {name: more[name] for name in ids} == dict(ids)
    assert more.extended(SMALL) == more


def test_more_names_than_ids_are_rejected():
    many = Plan(tuple(layer(f"layer-{rank}", rank) for rank in range(17)), ())
    with pytest.raises(CommitRejected, match="17 layers"):
        LayerIds().extended(many)


def test_the_slot_is_written_whole():
    ids = LayerIds().extended(LARGE)
    config = filled(LARGE, ids)
    assert config.generation == 0
    assert list(config.owner)[:5] == [OWNER_NONE, OWNER_NONE, ids["critical"], ids["critical"], OWNER_NONE]
    assert [config.order[rank] for rank in range(config.nr_layers)] == [ids[item.name] for item in LARGE.layers]


def test_what_its_cgroups_may_save_up_and_its_ceiling():
    smooth = msgspec.structs.replace(layer("high", 1), smooth_periods=10, ceiling_millicpu=1_000_000_000)
    plan = Plan((layer(SYSTEM, 0), smooth, layer(DEFAULT, 2)), ())
    ids = LayerIds().extended(plan)
    layers = filled(plan, ids).layers
    assert (layers[ids["high"]].smooth_periods, layers[ids["high"]].ceiling_millicpu) == (10, 1_000_000_000)
    assert (layers[ids[SYSTEM]].smooth_periods, layers[ids[SYSTEM]].ceiling_millicpu) == (0, 0)


def test_the_most_that_the_settings_allow_fits_the_fields():
    fields = dict(libbpf.ffi.typeof("struct temper_layer").fields)
    assert 256 ** libbpf.ffi.sizeof(fields["smooth_periods"].type) > MOST_SMOOTH_PERIODS
    assert 256 ** libbpf.ffi.sizeof(fields["ceiling_millicpu"].type) > MAX_CPUS * MILLI


def test_a_layer_left_out_is_served_last():
    ids = LayerIds().extended(LARGE)
    config = filled(SMALL, ids)
    assert config.nr_layers == 3
    assert config.order[2] == ids["critical"]
    assert config.layers[ids["critical"]].kind == 0
    assert config.layers[ids["critical"]].slice_us > 0


def test_a_cpu_that_does_not_exist_is_rejected():
    with pytest.raises(CommitRejected, match="cpu 2; this machine has 2"):
        filled(LARGE, LayerIds().extended(LARGE), nr_cpus=2)
