import subprocess
import sys

# In a process of its own: structlog's configuration and what was kept are of the process.
CODE = """
import sys
from temper.agent import events
events.event("attached", engine_pid=7)
assert "structlog" not in sys.modules
events.load()
events.load()
events.event("lost", reason="the engine is gone")
"""


LEVELS = """
from temper.agent import events
events.load()
events.event("heard")
events.set_level("warning")
events.event("not_heard")
events.warning("heard_too")
"""


def test_less_important_events_are_left_out():
    done = subprocess.run([sys.executable, "-c", LEVELS], check=True, capture_output=True, text=True)
    assert [line.rpartition("event=")[2] for line in done.stderr.splitlines()] == ["heard", "heard_too"]


def test_events_are_kept_until_the_library_is_there():
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    first, second = done.stderr.splitlines()
    assert first.startswith("timestamp=2")
    assert first.endswith("level=info event=attached engine_pid=7")
    assert second.endswith('event=lost reason="the engine is gone"')
