from __future__ import annotations

from temper.agent.spawn import spawn_engine


def test_modules_of_the_working_folder_are_not_run(tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    for name in ("temper", "msgspec", "socket"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    spawned = spawn_engine()
    with spawned.end:
        spawned.end.shutdown(2)
        spawned.process.wait(30)
    assert not marker.exists()
