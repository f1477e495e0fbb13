"""Real mail programs against a running node."""
