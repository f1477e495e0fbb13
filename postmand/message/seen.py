"""Text as a reader sees it: what shows nothing falls, what looks alike is one."""

from __future__ import annotations

import re
import unicodedata

# Default_Ignorable_Code_Point of Unicode 16 (UAX #44), of which Python knows nothing,
# and what NFKC makes of the fillers among them.
_IGNORED = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
_DOTS = re.compile("[\u3002\uff0e\uff61]")  # RFC 3490 3.1


def seen(text: str) -> str:
    """Return a text in small letters and one form, without what shows nothing.

    Full-width letters and dots are the plain ones here. For comparing alone: never to
    be written anywhere.
    """
    if text.isascii():
        return text.lower()
    dotted = _DOTS.sub(".", unicodedata.normalize("NFKC", _IGNORED.sub("", text)))
    shown = [one for one in dotted if unicodedata.category(one) != "Cf"]
    return unicodedata.normalize("NFKC", "".join(shown).casefold())
