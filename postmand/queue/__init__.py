"""Accepted, or about to be, and not yet delivered."""
