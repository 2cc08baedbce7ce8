from bench.switches import Switch, parse, spans

TRACE = """\
# tracer: nop
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
          <idle>-0       [001] d..2.    12.000100: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a [b] c next_pid=77 next_prio=120
         a [b] c-77      [001] d..2.    12.000300: sched_switch: prev_comm=a [b] c prev_pid=77 prev_prio=120 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120
 migration/0-18          [000] d..3.    12.000200: sched_switch: prev_comm=migration/0 prev_pid=18 prev_prio=-1 prev_state=R+ ==> next_comm=spin next_pid=80 next_prio=139
            spin-80      [000] d.h2.    12.000250: sched_stat_runtime: comm=spin pid=80 runtime=50000 [ns]
"""  # noqa: E501 - as the kernel writes it


def test_every_switch_is_read_in_the_order_of_time():
    found = parse(TRACE.splitlines())
    assert found.switches == [
        Switch(12_000_100_000, 1, 0, 77),
        Switch(12_000_200_000, 0, 18, 80),
        Switch(12_000_300_000, 1, 77, 0),
    ]
    assert found.names[77] == "a [b] c"
    assert found.names[18] == "migration/0"


def cut(switches, start, end):
    return [(length, dict(running)) for length, running in spans(switches, start, end)]


def test_the_window_is_cut_at_every_switch():
    switches = [Switch(10, 0, 1, 2), Switch(20, 1, 3, 4), Switch(20, 0, 2, 5), Switch(40, 0, 5, 6)]
    assert cut(switches, 0, 50) == [
        (10, {0: 1, 1: 3}),
        (10, {0: 2, 1: 3}),
        (20, {0: 5, 1: 4}),
        (10, {0: 6, 1: 4}),
    ]


def test_what_is_outside_of_the_window_only_tells_who_runs():
    switches = [Switch(10, 0, 1, 2), Switch(30, 0, 2, 3), Switch(90, 0, 3, 4)]
    assert cut(switches, 20, 50) == [(10, {0: 2}), (20, {0: 3})]
    assert cut(switches, 95, 99) == [(4, {0: 4})]


def test_the_spans_fill_the_window():
    switches = [Switch(t, t % 3, t, t + 1) for t in range(0, 300, 7)]
    assert sum(length for length, _ in cut(switches, 50, 250)) == 200
