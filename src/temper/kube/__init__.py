"""The API server's edge: its client, and its objects turned into what the plan knows. lightkube is seen only here."""
