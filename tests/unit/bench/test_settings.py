from dataclasses import dataclass

import pytest
from bench.demo.scene import Scene
from bench.settings import changed


@dataclass(frozen=True)
class Settings:
    seconds: float = 1.0
    files: int = 3


def test_settings_are_changed_by_name_and_keep_their_kind():
    assert changed(Settings(), ["files=4", "seconds=2"]) == Settings(2.0, 4)
    assert changed(Scene(), ["spinners=8"]).spinners == 8


@pytest.mark.parametrize(
    ("word", "message"),
    [("file=4", "'file' is no setting; they are seconds, files"), ("files=many", "files=many: 'many' is no int")],
)
def test_what_is_wrong_is_named(word, message):
    with pytest.raises(ValueError, match=message):
        changed(Settings(), [word])
