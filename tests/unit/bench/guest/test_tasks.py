import os
import threading

from bench.guest import tasks


def test_this_process_is_among_everybody_with_all_that_is_asked():
    me = tasks.everybody()[os.getpid()]
    assert me["cgroup"].startswith("/")
    assert (me["kernel"], me["policy"]) == (False, os.sched_getscheduler(0))
    assert me["allowed"] == sorted(os.sched_getaffinity(0))


def test_threads_are_seen_by_their_own_ids():
    started, done = threading.Event(), threading.Event()

    def wait():
        started.set()
        done.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    started.wait()
    try:
        assert thread.native_id in tasks.everybody()
        ran = tasks.ran_ns([os.getpid(), thread.native_id])
        assert set(ran) == {os.getpid(), thread.native_id}
        assert ran[os.getpid()] != ran[thread.native_id]
    finally:
        done.set()
        thread.join()


def test_only_who_wants_a_cpu_is_runnable_and_who_has_gone_is_left_out():
    assert tasks.runnable([threading.get_native_id(), 2**22 + 1]) == [threading.get_native_id()]
    assert tasks.ran_ns([2**22 + 1]) == {}


def test_a_process_is_told_by_its_words():
    assert "pytest" in tasks.command_line(os.getpid())
    assert tasks.command_line(2**22 + 1) == ""
