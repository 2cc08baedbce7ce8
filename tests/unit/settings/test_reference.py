from pathlib import Path

from temper.settings.agent import KEYS, load
from temper.settings.reference import EXAMPLE, markdown
from temper.settings.sources import Sources

PAGE = Path(__file__).parents[3] / "docs/configuration.md"


def test_the_page_is_what_is_generated():
    assert PAGE.read_text() == markdown(), "run: temper config docs > docs/configuration.md"


def test_every_key_has_its_row():
    rows = [line for line in markdown().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == sorted(KEYS, key=_section_of)
    assert all(row.count(" | ") == 4 for row in rows)


def _section_of(path):
    sections = list(dict.fromkeys(key.rpartition(".")[0] for key in KEYS))
    return sections.index(path.rpartition(".")[0])


def test_the_example_is_good(tmp_path):
    file = tmp_path / "agent.yaml"
    file.write_text(EXAMPLE)
    assert load(Sources(file)).settings.tiers.thresholds.critical == 9500
