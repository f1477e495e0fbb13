"""How a section's keys are declared where a default and a check is all there is."""

from __future__ import annotations

from typing import Any

from attrs import field

from postmand.config import checks


def size(default: int, low: int = 1, high: int = 2**40) -> Any:
    """Declare a whole number within bounds."""
    return field(default=default, validator=checks.between(low, high))


def checked(default: Any, check: Any) -> Any:
    """Declare a key with a check of its own (see `checks`)."""
    return field(default=default, validator=check)
