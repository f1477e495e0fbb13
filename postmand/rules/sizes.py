"""Sizes as people read them. Pure."""

from __future__ import annotations


def octets(count: int) -> str:
    """Return a size as people read it, as in `1.2 MiB`."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024 or unit == "GiB":
            break
    return f"{size:.1f} {unit}"
