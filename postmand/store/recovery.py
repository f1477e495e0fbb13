"""A recovery code as people write it: eight groups of five, each with a check letter.

160 random bits in Crockford's base32, which has no I, L, O or U. The fifth letter of
a group checks the other four and the group's place: one letter written wrong, two
neighbours exchanged or two groups exchanged are noticed, and the group is named.
"""

from __future__ import annotations

import os

CODE_BYTES = 20

_LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_VALUES |= {"O": 0, "I": 1, "L": 1}
_GROUPS = 8
_DATA = 4  # letters of a group before its check letter
_BITS = 5


class BadCodeError(ValueError):
    """The code is not one we could have printed; the text says where."""


def new_code() -> bytes:
    """Return a new code, 160 random bits."""
    return os.urandom(CODE_BYTES)


def print_code(code: bytes) -> str:
    """Return the code as it is shown to its owner."""
    number = int.from_bytes(code, "big")
    count = _GROUPS * _DATA
    values = [number >> _BITS * (count - 1 - at) & 31 for at in range(count)]
    groups = [values[at : at + _DATA] for at in range(0, count, _DATA)]
    return "-".join(
        "".join(_LETTERS[value] for value in (*group, _check(place, group)))
        for place, group in enumerate(groups)
    )


def read_code(text: str) -> bytes:
    """Return the code that `text` shows; capitals, spaces and dashes do not matter.

    Raises BadCodeError, naming the first group that was written wrong.
    """
    letters = "".join(text.replace("-", " ").split()).upper()
    size = _DATA + 1
    if len(letters) != _GROUPS * size:
        raise BadCodeError(
            f"a recovery code has {_GROUPS * size} letters and digits, "
            f"this has {len(letters)}"
        )
    number = 0
    for place in range(_GROUPS):
        values = [_VALUES.get(c, -1) for c in letters[place * size :][:size]]
        if -1 in values or _check(place, values[:_DATA]) != values[_DATA]:
            raise BadCodeError(f"group {place + 1} of the code is mistyped")
        for value in values[:_DATA]:
            number = number << _BITS | value
    return number.to_bytes(CODE_BYTES, "big")


def _check(place: int, values: list[int]) -> int:
    """Return a group's check value: a weighted sum in GF(32), the place included.

    The weights differ and none is 0 or 1, which the check letter itself weighs.
    """
    check = _times(place, 16)
    for at, value in enumerate(values):
        check ^= _times(value, at + 2)
    return check


def _times(a: int, b: int) -> int:
    """Multiply in GF(32), modulo x^5 + x^2 + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 32:
            a ^= 0b100101
        b >>= 1
    return product
