"""Work is done in order, ahead of who asks, on so many things and no more."""

import pytest

from seesay.data.ahead import ahead


def test_everything_in_order_and_only_so_much_ahead():
    taken = []

    def things():
        for number in range(50):
            taken.append(number)
            yield number

    made = ahead(lambda number: number * 2, things(), threads=2, most=3)
    assert next(made) == 0 and len(taken) == 6
    assert [next(made) for _ in range(10)] == list(range(2, 22, 2)) and len(taken) == 16
    assert list(made) == list(range(22, 100, 2))
    assert list(ahead(str, [], threads=1)) == []


def test_what_is_raised_comes_when_its_turn_does():
    made = ahead(lambda number: 1 // number, [1, 0, 1], threads=1)
    assert next(made) == 1
    with pytest.raises(ZeroDivisionError):
        next(made)
