"""Promises of the seams, tested on each implementation; and the fakes."""
