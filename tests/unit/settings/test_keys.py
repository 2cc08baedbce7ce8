from enum import StrEnum
from typing import Annotated

import pytest

from temper.settings.keys import Keys, Section, as_text, build, flatten, live, restart


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Deep(Section, frozen=True):
    size: Annotated[int, live("A size.", ge=-1, le=9)] = 3


class Inner(Section, frozen=True):
    on: Annotated[bool, restart("A switch.")] = True
    deep: Deep = Deep()
    colour: Annotated[Colour, live("A colour.")] = Colour.RED


class Tree(Section, frozen=True):
    name: Annotated[str, restart("A name.", allowed="a short name", is_valid=lambda text: len(text) < 5)] = ""
    inner: Inner = Inner()


KEYS = Keys(Tree)


def test_keys_come_from_the_structs_in_their_order():
    assert list(KEYS) == ["name", "inner.on", "inner.deep.size", "inner.colour"]
    size = KEYS["inner.deep.size"]
    assert (size.default, size.about, size.live) == (3, "A size.", True)
    assert not KEYS["inner.on"].live


@pytest.mark.parametrize(
    ("path", "text", "value"),
    [
        ("inner.deep.size", "-1", -1),
        ("inner.on", "false", False),
        ("inner.on", "True", True),
        ("inner.colour", "blue", Colour.BLUE),
        ("name", "", ""),
        ("name", "true", "true"),
    ],
)
def test_texts_become_values_of_the_keys_own_type(path, text, value):
    parsed = KEYS[path].parse(text)
    assert (parsed, type(parsed)) == (value, type(value))


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("inner.deep.size", "10", '"10" is not a whole number from -1 to 9'),
        ("inner.deep.size", "", '"" is not a whole number from -1 to 9'),
        ("inner.deep.size", "9" * 5000, f'"{"9" * 80}…" is not a whole number from -1 to 9'),
        ("inner.on", "yes", '"yes" is not true or false'),
        ("inner.colour", "Red", '"Red" is not one of red, blue'),
        ("name", "four5", '"four5" is not a short name'),
        ("name", "a\x1b", '"a\\x1b" is not a short name'),
        ("name", "a\udcff", '"a\\udcff" is not a short name'),
    ],
)
def test_a_wrong_text_is_told_with_what_is_allowed(path, text, message):
    with pytest.raises(ValueError, match="is not") as caught:
        KEYS[path].parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("nam", 'unknown key, did you mean "name"?; allowed are name, inner'),
        ("inner.color", 'unknown key, did you mean "colour"?; allowed are on, deep, colour'),
        ("iner.deep.size", 'unknown key, did you mean "inner.deep.size"?; allowed are name, inner'),
        ("iner.sizes", 'unknown key, did you mean "inner.deep.size"?; allowed are name, inner'),
        ("size", 'unknown key, did you mean "inner.deep.size"?; allowed are name, inner'),
        ("zzz", "unknown key; allowed are name, inner"),
        ("inner", "is a section; set one of its keys: on, deep, colour"),
        ("", "is a section; set one of its keys: name, inner"),
    ],
)
def test_unknown_keys(path, why):
    assert KEYS.unknown(path) == why


def test_flatten_and_build_are_inverse():
    tree = Tree(name="a", inner=Inner(deep=Deep(size=7), colour=Colour.BLUE))
    assert flatten(tree) == {"name": "a", "inner.on": True, "inner.deep.size": 7, "inner.colour": "blue"}
    assert build(Tree, flatten(tree)) == tree
    assert build(Tree, {}) == Tree()


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (0, "0"), ("", "''"), (Colour.RED, "red")]
)
def test_as_text(value, text):
    assert as_text(value) == text
