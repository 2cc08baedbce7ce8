"""The process that owns the BPF link and nothing else."""
