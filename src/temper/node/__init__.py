"""The machine's edge: /sys, /proc, cgroup v2. Every reader takes a root path, so a temporary tree is a machine."""
