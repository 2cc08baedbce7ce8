"""Numbers that `temper run` has fixed and that `temper agent` has as the defaults of its settings.

Apart from the settings' tree, because `temper run` attaches before it would have imported that (14 ms).
"""

from __future__ import annotations

# Without a heartbeat for this long the scheduler leaves by itself. Beats come every second.
DEADMAN_MS, LEAST_DEADMAN_MS, MOST_DEADMAN_MS = 10_000, 2_000, 120_000

# Changes come in bursts (an editor's rename, a pod's containers): wait until it is quiet, but not for ever.
QUIET_MS = 10
LONGEST_WAIT_MS = 100
# Without any event the cgroup tree is looked at this often: inotify can drop events when its queue is full.
RESYNC_S = 30

# Five losses in ten minutes are no accident. Ejections (the kernel or our own guard threw the scheduler out)
# weigh more than an engine that was killed: two of them in that time latch.
WINDOW_S = 600
MOST_LOSSES = 5
MOST_EJECTIONS = 2
