import pytest

from temper.settings.quoting import printable, quoted


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("urgent", '"urgent"'),
        ("é", '"é"'),
        ("\x1b[31m", '"\\x1b[31m"'),
        ("\x9b", '"\\x9b"'),
        ("a\nb", '"a\\nb"'),
        (7, "7"),
        ("x" * 100, '"' + "x" * 80 + '…"'),
    ],
)
def test_quoted(value, shown):
    assert quoted(value) == shown


def test_a_number_that_python_does_not_print():
    assert quoted(16**5000) == "a huge number"


def test_undecodable_bytes_are_escaped():
    assert printable(b"a\xff".decode("utf-8", "surrogateescape")) == "a\\udcff"
