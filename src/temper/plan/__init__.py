"""Pure decisions: from a snapshot of workloads and cpus to one frozen Plan. No clock, no files."""
