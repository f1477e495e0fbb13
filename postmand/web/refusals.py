"""What the pages say instead of an answer, by status: a title, and what to do."""

from __future__ import annotations

from collections.abc import Mapping


class PageError(Exception):
    """A visitor's request that is not answered as asked; shown with its status."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.text = text


class LoginFirstError(Exception):
    """The page is a member's, and nobody is logged in."""


def refusal(status: int) -> PageError:
    """Return what is said with a status; 404's words stand for those not listed."""
    return PageError(status, *_WORDS.get(status, _WORDS[404]))


_WORDS: Mapping[int, tuple[str, str]] = {
    400: (
        "This request can not be read",
        "What came is not as browsers send it. Go back, and try again.",
    ),
    401: (
        "For members alone",
        "Log in, or have your mail program show your account's name and password.",
    ),
    404: ("There is no such page", "The address may be mistyped, or the page gone."),
    405: ("Not in this way", "This page can not be asked for in this way."),
    413: ("That is too much", "More was sent than a form here may hold."),
    415: ("This form can not be read", "Only what the forms on these pages send is."),
    421: (
        "Not by this name",
        "These pages are not to be had under the name that your browser asked for. "
        "Use the address that the operator of this node has given you.",
    ),
    431: ("That is too much", "Your browser told more of itself than is read here."),
    500: (
        "Something broke here",
        "The fault is ours, and the operator can see it. Try again later.",
    ),
}

STALE = PageError(
    403,
    "This form is used up",
    "It was sent already, was open for too long, or came from elsewhere. "
    "Nothing was changed by it now. Load the page anew, and look there.",
)
WRONG_LOGIN = PageError(
    403,
    "That did not go together",
    "The name and the password are not those of an account here. "
    "Go back and try again.",
)
LOGIN_FIRST = PageError(
    403,
    "Log in first",
    "A session ends by itself when nothing was asked for a while. Nothing was changed.",
)
BUSY = PageError(
    503,
    "Too much to do",
    "The node has more to do than it can. Nothing was changed. "
    "Wait for a minute, and try again.",
)
