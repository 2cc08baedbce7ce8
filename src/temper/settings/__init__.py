"""What a person wrote, typed and validated in one pass that reports every finding with its place."""
