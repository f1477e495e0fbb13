"""Measurements of the node, side by side with real servers on the same machine."""
