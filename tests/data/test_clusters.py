"""What is joined to one of a cluster is joined to all of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seesay.data.clusters import Clusters


@given(st.integers(1, 12), st.data())
def test_clusters_are_what_paths_connect(count, data):
    things = st.integers(0, count - 1)
    pairs = data.draw(st.lists(st.tuples(things, things), max_size=20))
    clusters, sets = Clusters(count), [{thing} for thing in range(count)]
    for pair in pairs:
        clusters.join(pair)
        both = sets[pair[0]] | sets[pair[1]]
        for thing in both:
            sets[thing] = both
    assert clusters.marks() == [min(own) for own in sets]


def test_more_things():
    clusters = Clusters()
    assert [clusters.add(), clusters.add(), clusters.add()] == [0, 1, 2] and len(clusters) == 3
    assert clusters.join((2, 1)) == 1 and clusters.marks() == [0, 1, 1]
    with pytest.raises(ValueError):
        clusters.join(())
