import pytest

from temper.node.sched_ext import KernelState, read_hotplug_seq, read_state, request_stock


def kernel(tmp_path, state, ops=None):
    (tmp_path / "state").write_text(f"{state}\n")
    (tmp_path / "enable_seq").write_text("7\n")
    (tmp_path / "hotplug_seq").write_text("3\n")
    if ops is not None:
        (tmp_path / "root").mkdir()
        (tmp_path / "root" / "ops").write_text(f"{ops}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("state", "ops", "stock", "ours", "left"),
    [
        ("disabled", None, True, False, True),
        ("enabled", "temper", False, True, False),
        ("enabled", "scx_layered", False, False, True),
        ("enabling", "temper", False, False, False),
        ("disabling", "temper", False, False, False),
        ("disabling", None, False, False, False),
    ],
)
def test_read_state(tmp_path, state, ops, stock, ours, left):
    seen = read_state(kernel(tmp_path, state, ops))
    assert seen == KernelState(state, ops or "", 7)
    assert (seen.stock, seen.ours, seen.left) == (stock, ours, left)


def test_a_kernel_without_sched_ext_is_absent(tmp_path):
    assert read_state(tmp_path / "missing") == KernelState("absent", "", 0)
    assert read_state(tmp_path / "missing").stock


def test_hotplug_seq(tmp_path):
    assert read_hotplug_seq(kernel(tmp_path, "disabled")) == 3


def test_request_stock_writes_the_key_of_sysrq(tmp_path):
    request_stock(tmp_path / "trigger")
    assert (tmp_path / "trigger").read_text() == "S"
