"""Sizes that tell little: Padmé, at most 12 % above the true one."""

from __future__ import annotations

FLOOR = 1024


def padded(size: int) -> int:
    """Return the size in octets that a content of `size` octets is padded to.

    Padmé (Nikitin et al., PETS 2019, section 4): a size keeps as many of its leading
    bits as its exponent has bits, so that O(log log size) is all that is told. What
    is below 1 KiB is 1 KiB: most headers and short bodies look the same.
    """
    if size <= FLOOR:
        return FLOOR
    exponent = size.bit_length() - 1
    low = (1 << (exponent - exponent.bit_length())) - 1
    return (size + low) & ~low
