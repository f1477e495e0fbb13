"""What each delay does, said honestly; the figures are those of docs/privacy.rst.

A test reads them there anew: whoever measures again changes them in both places.
"""

from __future__ import annotations

from attrs import frozen


@frozen
class Choice:
    """A delay to choose. `hit` is how often an observer guesses the sender right.

    In per cent, by members of the node who write a mail a day each: 5, 20, 100.
    """

    delay: str
    title: str
    text: str
    hit: tuple[int, int, int]


CHOICES = (
    Choice(
        "none",
        "None",
        "Mail leaves at once: whoever watches the network and the recipient knows that "
        "it is yours.",
        (100, 100, 98),
    ),
    Choice(
        "defer",
        "Defer",
        "Mail leaves after 33 to 67 minutes by chance: that hides from the recipient "
        "when you were here, and next to nothing from who watches both ends.",
        (98, 89, 57),
    ),
    Choice(
        "batch",
        "Batch",
        "Mail leaves at 0:00 or 12:00 UTC with all others' of that half day: good "
        "where many write, little where few do.",
        (61, 24, 7),
    ),
    Choice(
        "pool",
        "Pool",
        "Mail leaves once enough other members' mail is there to leave with it, after "
        "24 hours at the latest: the best there is where few write.",
        (47, 20, 15),
    ),
)
