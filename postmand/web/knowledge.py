"""What each stored field about an account is, why it is kept, and until when.

A test walks the schema: a column is told of here, or named in `OTHERS` with the reason
why it tells nothing of one account.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Meaning:
    """One column's, in words for the account's owner."""

    what: str
    why: str
    until: str


@frozen
class Room:
    """One table's, in words for the account's owner."""

    title: str
    text: str


_STAYS = "the account is deleted"
_CHANGED = "it is changed, or the account deleted"
_COLLECTED = "the message is deleted"
_CANCELLED = "the nick says .cancel, the password is new, or the account is deleted"

ROOMS: Mapping[str, Room] = {
    "accounts": Room(
        "Your account", "One row. What opens your mailbox is in it only sealed."
    ),
    "messages": Room(
        "Your mailbox",
        "One row for each message. Sender, subject and text are sealed to your key: "
        "only your password opens them.",
    ),
    "standings": Room(
        "Your quota", "One row, found and opened with the node's key only."
    ),
    "watches": Room(
        "biff", "One row for each nick on IRC that is told of new mail of yours."
    ),
    "public_keys": Room(
        "Your public key", "What you have published; every member can see it."
    ),
}

ABOUT: Mapping[tuple[str, str], Meaning] = {
    ("accounts", "id"): Meaning(
        "A random number", "the other rows name your account by it", _STAYS
    ),
    ("accounts", "name"): Meaning(
        "The account's name", "mail for you has to find you", _STAYS
    ),
    ("accounts", "display_name"): Meaning(
        "The name beside your address", "it stands in all you send", _CHANGED
    ),
    ("accounts", "disabled"): Meaning(
        "Whether the operator has closed it", "a closed one takes no login", _STAYS
    ),
    ("accounts", "created_day"): Meaning(
        "The day it was made", "the first day's quota may be another", _STAYS
    ),
    ("accounts", "version"): Meaning(
        "How often its row was changed", "a change ends the sessions before", _STAYS
    ),
    ("accounts", "delay"): Meaning(
        "Your choice of delay", "mail leaves by it without you", _CHANGED
    ),
    ("accounts", "public_key"): Meaning(
        "The key that seals your mail", "mail is sealed when it comes", _STAYS
    ),
    ("accounts", "salt"): Meaning(
        "Random octets for the password's check", "no two checks are alike", _CHANGED
    ),
    ("accounts", "passes"): Meaning(
        "What checking the password costs, in passes", "to check it", _CHANGED
    ),
    ("accounts", "memory_kib"): Meaning(
        "What checking the password costs, in memory", "to check it", _CHANGED
    ),
    ("accounts", "verifier"): Meaning(
        "What checks the password", "it can not be turned back into it", _CHANGED
    ),
    ("accounts", "wrapped_key"): Meaning(
        "The key that opens your mail, sealed with the password", "to open it", _CHANGED
    ),
    ("accounts", "recovery_salt"): Meaning(
        "Random octets for the recovery code's check", "as with the password", _CHANGED
    ),
    ("accounts", "recovery_verifier"): Meaning(
        "What checks the recovery code", "it can not be turned back into it", _CHANGED
    ),
    ("accounts", "recovery_wrapped_key"): Meaning(
        "The key that opens your mail, sealed with the code", "to open it", _CHANGED
    ),
    ("accounts", "used_bytes"): Meaning(
        "How full the mailbox is", "a full one takes no more", _STAYS
    ),
    ("messages", "id"): Meaning(
        "Each message's number in the order of coming", "to list them so", _COLLECTED
    ),
    ("messages", "account"): Meaning(
        "That it is yours", "to find your messages", _COLLECTED
    ),
    ("messages", "uid"): Meaning(
        "Each message's random name", "your mail client knows it by it", _COLLECTED
    ),
    ("messages", "padded_bytes"): Meaning(
        "Each message's size, rounded up", "to know how full the mailbox is", _COLLECTED
    ),
    ("messages", "file"): Meaning(
        "The random name of a long one's file", "to find it", _COLLECTED
    ),
    ("messages", "sealed_key"): Meaning(
        "Each message's keys, sealed to yours", "you open it with them", _COLLECTED
    ),
    ("messages", "card"): Meaning(
        "Each message's header, sealed and padded", "it is your mail", _COLLECTED
    ),
    ("messages", "body"): Meaning(
        "Each short message's text, sealed and padded", "it is your mail", _COLLECTED
    ),
    ("standings", "tag"): Meaning(
        "A keyed hash of the account's number", "to find the row", "the row goes"
    ),
    ("standings", "sealed"): Meaning(
        "Recipients used and bought today, sealed", "to count them", "the row goes"
    ),
    ("standings", "expires_day"): Meaning(
        "The day after which the row goes", "to forget it", "that day"
    ),
    ("watches", "tag"): Meaning(
        "A keyed hash of the nick and a number", "biff finds the row by it", _CANCELLED
    ),
    ("watches", "account"): Meaning(
        "That it is your account", "new mail finds the row", _CANCELLED
    ),
    ("watches", "sealed"): Meaning(
        "A hash of the nick, whether it is still to be told, the day mail came last",
        "biff tells the nick, and tells it the day when asked",
        _CANCELLED,
    ),
    ("public_keys", "account"): Meaning(
        "That it is your key", "to find it", "you take it back"
    ),
    ("public_keys", "wkd_hash"): Meaning(
        "A hash of your name", "mail programs ask by it", "you take it back"
    ),
    ("public_keys", "fingerprint"): Meaning(
        "The key's fingerprint", "others compare it", "you take it back"
    ),
    ("public_keys", "certificate"): Meaning(
        "The key", "others write to you with it", "you take it back"
    ),
}

OTHERS: Mapping[str, str] = {
    "thread_ids": "found and opened with a key of the member's, which is sealed",
    "queue_bodies": "sealed, and of no account that could be told",
    "queue_items": "sealed, and of no account that could be told",
    "stamps": "a keyed hash of a stamp or token that was used, of nobody",
    "node_keys": "the node's own",
    "closed_names": "a hash of the name of an account that is gone",
}
