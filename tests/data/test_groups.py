"""What is joined to one of a group is joined to all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.data.groups import Groups


@given(st.integers(1, 12), st.data())
def test_groups_are_what_paths_connect(count, data):
    things = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(things, things), max_size=20))
    groups, sets = Groups(count), [{thing} for thing in range(count)]
    for pair in pairs:
        groups.join(pair)
        both = sets[pair[0]] | sets[pair[1]]
        for thing in both:
            sets[thing] = both
    assert groups.marks() == [min(own) for own in sets]


def test_more_things():
    groups = Groups()
    assert [groups.add(), groups.add(), groups.add()] == [0, 1, 2] and len(groups) == 3
    assert groups.join((2, 1)) == 1 and groups.marks() == [0, 1, 1]
    with pytest.raises(ValueError):
        groups.join(())
