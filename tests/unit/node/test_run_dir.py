import errno

import pytest

from temper.errors import Refused
from temper.node.run_dir import RunDir, write_atomically


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def run_dir(tmp_path):
    return RunDir(tmp_path / "temper")


def test_the_lock_is_held_by_one(run_dir):
    assert not run_dir.agent_alive()
    with run_dir.take_lock():
        assert run_dir.agent_alive()
        with pytest.raises(Refused, match="another Temper agent"):
            run_dir.take_lock()
    assert not run_dir.agent_alive()


def test_the_switch_holds_its_reason(run_dir):
    assert run_dir.safe_mode_reason() is None
    run_dir.engage("p99, 03:12")
    assert run_dir.safe_mode_reason() == "p99, 03:12"
    run_dir.release()
    run_dir.release()
    assert run_dir.safe_mode_reason() is None


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_switch_made_by_hand_is_on(run_dir, content):
    run_dir.make()
    run_dir.switch.write_bytes(content)
    assert run_dir.safe_mode_reason()


def test_an_unreadable_switch_is_on(run_dir):
    run_dir.make()
    run_dir.switch.mkdir()
    assert "unreadable" in run_dir.safe_mode_reason()


def test_others_may_read_but_not_write(run_dir):
    run_dir.engage("x")
    assert run_dir.root.stat().st_mode & 0o777 == 0o755
    assert run_dir.switch.stat().st_mode & 0o777 == 0o644


def test_a_failed_write_leaves_the_old_text_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "file"
    write_atomically(target, "old")
    monkeypatch.setattr("pathlib.Path.rename", no_room)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
