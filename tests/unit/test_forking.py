"""A fork waits while another thread may hold a lock, because nothing would release this lock in the child process."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from tests.support.waiting import eventually
from weelo_workers import forking


def exit_code_of_child(act: Callable[[], bool]) -> int:
    """Fork; return 0 if `act` returned a true value in the child, 1 otherwise. A child that waits is killed after 10 s."""
    child = os.fork()
    if child == 0:
        os._exit(0 if act() else 1)
    try:
        status = eventually(
            lambda: [code for pid, code in [os.waitpid(child, os.WNOHANG)] if pid], within=10
        )[0]
    except AssertionError:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise
    return os.waitstatus_to_exitcode(status)


def test_a_fork_waits_for_a_thread_that_holds_a_lock() -> None:
    lock, over = threading.Lock(), threading.Event()

    def work() -> None:
        while not over.is_set():
            with forking.delayed(), lock:
                time.sleep(0.01)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(30):
            assert exit_code_of_child(lambda: lock.acquire(timeout=2)) == 0
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_a_fork_waits_only_briefly_for_a_thread_that_waits_for_a_server() -> None:
    entered, over = threading.Event(), threading.Event()

    def wait() -> None:
        with forking.delayed():
            entered.set()
            over.wait(30)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        assert entered.wait(10)
        began = time.monotonic()
        assert exit_code_of_child(lambda: True) == 0
        assert time.monotonic() - began >= forking.LONGEST_DELAY_SECONDS
    finally:
        over.set()
        thread.join()


def test_a_child_that_was_forked_inside_the_block_leaves_it_and_forks_at_once() -> None:
    with forking.delayed():
        child = os.fork()
    if child == 0:
        began = time.monotonic()
        code = exit_code_of_child(lambda: True)
        os._exit(code if time.monotonic() - began < forking.LONGEST_DELAY_SECONDS else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_child_enters_the_block_and_forks_itself() -> None:
    def enter_and_fork() -> bool:
        with forking.delayed():
            pass
        return exit_code_of_child(lambda: True) == 0

    with forking.delayed():
        # A fork waits until no thread is inside `delayed()`. Here the forking thread itself is inside, so the fork goes on
        # only after the longest permitted wait.
        assert exit_code_of_child(enter_and_fork) == 0
