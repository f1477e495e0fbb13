"""A real browser before the pages of a running node."""
