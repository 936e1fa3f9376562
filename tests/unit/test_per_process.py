"""`PerProcess` makes one object per process, and another one in a forked child process."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from weelo_api.per_process import PerProcess


def test_threads_get_the_same_object() -> None:
    made: list[object] = []

    def make() -> object:
        made.append(object())
        return made[-1]

    per_process = PerProcess(make)
    with ThreadPoolExecutor(4) as threads:
        objects = list(threads.map(lambda _: per_process(), range(100)))
    assert len(made) == 1
    assert all(each is made[0] for each in objects)


def test_a_forked_child_makes_its_own_even_while_the_parent_makes_one() -> None:
    per_process = PerProcess(os.getpid)
    parent = per_process()
    with per_process._making:
        child = os.fork()
        if child == 0:
            os._exit(0 if per_process() == os.getpid() else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert per_process() == parent
