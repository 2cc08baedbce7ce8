from pathlib import Path

from bench import guests
from bench.guests import Shape


def words(shape, kernel=None):
    return " ".join(guests.command(shape, Path("/s"), kernel=kernel, timeout_s=900)[1:])


def test_a_guest_that_uses_fewer_cpus_than_it_has():
    expected = "--clock virtual --cpus 8 --timeout 900 --append nr_cpus=4 --share /s --kernel 6.19"
    assert words(Shape.even(4), "6.19") == expected


def test_a_guest_of_exactly_one_cpu():
    assert words(Shape(1, 1)) == "--clock virtual --cpus 1 --timeout 900 --share /s"


def test_a_topology():
    assert (
        words(Shape(9, 12, (3, 2, 2))) == "--clock virtual --topology 3,2,2 --timeout 900 --append nr_cpus=9 --share /s"
    )
