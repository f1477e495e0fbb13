"""A whole node, and what becomes of a message in it."""
