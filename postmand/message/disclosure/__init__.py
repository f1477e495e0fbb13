"""What a message tells of its sender, and what the wash leaves of that."""

from postmand.message.disclosure.disclose import disclose
from postmand.message.disclosure.finding import (
    MEANINGS,
    SCORE_RULE,
    Disclosed,
    Finding,
)
from postmand.message.disclosure.spoken import Spoken

__all__ = ["MEANINGS", "SCORE_RULE", "Disclosed", "Finding", "Spoken", "disclose"]
