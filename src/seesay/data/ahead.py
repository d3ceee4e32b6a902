"""Ahead: work done in threads before it is asked for, in order, and never on too many things."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# Told what is counted, how many are done, and of how many, where that is known.
Seen = Callable[[str, int, int | None], None]

Thing = TypeVar("Thing")
Made = TypeVar("Made")


def unseen(what: str, done: int, total: int | None) -> None:
    """`Seen`, where nobody looks."""


def ahead(
    make: Callable[[Thing], Made],
    things: Iterable[Thing],
    *,
    threads: int | None = None,
    most: int = 8,
) -> Iterator[Made]:
    """What `make` makes of each thing, in their order.

    Args:
        threads: that work side by side; as many as processors if not given.
        most: things that are taken before they are asked for, for each thread: so many are held.
    """
    threads = threads or os.cpu_count() or 1
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for thing in things:
                waiting.append(pool.submit(make, thing))
                if len(waiting) >= most * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for each in waiting:
                each.cancel()
