import pytest

from temper.agent.live_settings import LiveSettings
from temper.errors import InvalidInput
from temper.settings.sources import SET, Sources


@pytest.fixture
def live(tmp_path, events):
    """Settings of a file. told: once for each change; logged: (name, details) each."""
    file = tmp_path / "agent.yaml"
    file.write_text("node_name: n1\ncommit:\n  quiet_ms: 7\n")
    made = LiveSettings(Sources(file, {}, ((SET, "lint.interval_s=3"),)))
    made.file, made.told, made.logged = file, [], events
    made.on_change = lambda: made.told.append(made())
    return made


def test_the_first_tree_must_be_right(tmp_path):
    with pytest.raises(InvalidInput, match="node_name: is missing"):
        LiveSettings(Sources())
    with pytest.raises(InvalidInput, match="gone"):
        LiveSettings(Sources(tmp_path / "gone.yaml", {"NODE_NAME": "n1"}))


def test_the_same_again_is_no_change(live):
    before = live()
    live.reload()
    assert live() is before
    assert (live.told, live.logged) == ([], [])


def test_a_live_key_is_adopted_and_told(live):
    live.file.write_text("node_name: n1\ncommit:\n  quiet_ms: 9\n")
    live.reload()
    assert (live().commit.quiet_ms, live().lint.interval_s) == (9, 3)
    assert live.told == [live()]  # told with the new tree in force
    assert live.logged == [("settings_changed", {"keys": "commit.quiet_ms"})]
    live.reload()
    assert len(live.told) == 1


def test_a_flag_still_wins_over_the_file(live):
    live.file.write_text("node_name: n1\ncommit:\n  quiet_ms: 7\nlint:\n  interval_s: 99\n")
    live.reload()
    assert (live().lint.interval_s, live.told) == (3, [])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("node_name: n1\ncommit:\n  quiet_ms: 9\nmode: sideways\n", "agent.yaml:4: mode"),
        ("commit:\n  quiet_ms: 9\n", "node_name"),
        ("node_name: n1\ncommit: {quiet_ms: 9\n", "agent.yaml"),
        (None, "agent.yaml"),
    ],
)
def test_a_wrong_tree_changes_nothing_and_every_finding_is_logged(live, text, place):
    before = live()
    if text is None:
        live.file.unlink()
    else:
        live.file.write_text(text)
    live.reload()
    assert live() is before
    assert live.told == []
    assert {name for name, _ in live.logged} == {"settings_refused"}
    assert any(place in details["place"] and details["reason"] for _, details in live.logged)


def test_a_tree_that_is_put_right_is_adopted(live):
    live.file.write_text("rubbish: 1\n")
    live.reload()
    live.file.write_text("node_name: n1\ncommit:\n  quiet_ms: 9\n")
    live.reload()
    assert live().commit.quiet_ms == 9
    assert len(live.told) == 1


def test_keys_that_need_a_restart_are_named_and_wait(live):
    live.file.write_text("node_name: n2\nmode: observe\ncommit:\n  quiet_ms: 7\n")
    live.reload()
    assert (live().node_name, live().mode, live.told) == ("n1", "enforce", [])
    assert live.logged == [("settings_need_restart", {"keys": "node_name,mode"})]


def test_of_both_kinds_the_live_ones_are_adopted(live):
    live.file.write_text("node_name: n1\nmode: observe\ncommit:\n  quiet_ms: 9\n")
    live.reload()
    assert (live().mode, live().commit.quiet_ms, len(live.told)) == ("enforce", 9, 1)
    assert [name for name, _ in live.logged] == ["settings_need_restart", "settings_changed"]
