"""The deciding process: snapshot, plan, commit, observe."""
