"""What is known of a peer and its sender when a verdict on its mail is due.

Plain values, to be gathered by whoever can ask, and to be read back from a file by who
wants to know why: texts, truths and tables of them, and "" for what was not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from ipaddress import ip_address
from operator import eq
from typing import Any

import cattrs
from attrs import Attribute, Factory, field, frozen
from cattrs.errors import ClassValidationError

# What DNS says of a name: as in inbound.Records, or not asked.
_DNS = ("", "found", "none", "failed")
SPF_RESULTS = (
    "pass",
    "fail",
    "softfail",
    "neutral",
    "none",
    "temperror",
    "permerror",
)


class FactsError(ValueError):
    """One line: where in the facts, and what has to stand there."""


def _one_of(*words: str) -> Any:
    told = ", ".join(word or '""' for word in words)

    def check(_: object, attribute: Attribute[str], value: str) -> None:
        if value not in words:
            raise ValueError(f"{attribute.name} must be one of {told}")

    return check


def _is_address(_: object, attribute: Attribute[str], value: str) -> None:
    try:
        ip_address(value)
    except ValueError:
        raise ValueError(
            f"{attribute.name} must be an address, as in 192.0.2.1 or 2001:db8::1"
        ) from None


def plain_name(name: str) -> str:
    """Return a domain's name so that equal means same: lower case, no last dot."""
    return name.lower().removesuffix(".")


def plain_names(names: Iterable[str]) -> frozenset[str]:
    """Return several names of domains as `plain_name` does."""
    return frozenset(plain_name(name) for name in names)


@frozen
class Host:
    """A server that a domain names: `kind` is "MX" or "NS", and "A" where it has no MX.

    `place` is where its address lies: "public", "own", or another name of what is no
    part of the Internet ("private", "loopback" …).
    """

    kind: str = field(validator=_one_of("MX", "NS", "A"))
    name: str
    address: str = field(validator=_is_address)
    place: str = "public"


@frozen
class Domain:
    """The sender's domain, "" for the null sender.

    `mx` and `address` (A or AAAA of the name itself, asked where there is no MX) are
    "found", "none", "failed" or "". `null_mx` tells that it takes no mail (RFC 7505).
    `hosts` are the servers whose addresses were found.
    """

    name: str = field(default="", converter=plain_name)
    mx: str = field(default="", validator=_one_of(*_DNS))
    address: str = field(default="", validator=_one_of(*_DNS))
    null_mx: bool = False
    hosts: tuple[Host, ...] = ()


@frozen
class Listing:
    """What a blacklist answered for the peer.

    `codes` are the addresses it gave, none for a peer that is not listed. `points` is
    how it answers for the test points of RFC 5782 5: "good", "lists-all" (127.0.0.1 is
    listed), "lists-none" (127.0.0.2 is not), "failed", or "" where it was not asked.
    """

    zone: str = field(converter=plain_name)
    status: str = field(default="none", validator=_one_of(*_DNS))
    codes: tuple[str, ...] = ()
    points: str = field(
        default="",
        validator=_one_of("", "good", "lists-all", "lists-none", "failed"),
    )


@frozen
class Reverse:
    """The peer's name by its address, and whether that name leads back to it.

    `status` is of the PTR question; `name` the one that leads back, or else the first;
    `confirmed` is also false where the second question failed.
    """

    status: str = field(default="", validator=_one_of(*_DNS))
    name: str = field(default="", converter=plain_name)
    confirmed: bool = False


@frozen
class Session:
    """How the peer behaved. `helo` is its word as it came, `own_names` are ours.

    `helo_address` is what DNS says of that name's addresses. `early` tells that it
    spoke before the banner, `pipelined` that it sent commands before their turn,
    `bare_newlines` that it ended lines with CR or LF alone.
    """

    helo: str = ""
    own_names: tuple[str, ...] = ()
    helo_address: str = field(default="", validator=_one_of(*_DNS))
    early: bool = False
    pipelined: bool = False
    bare_newlines: bool = False


@frozen
class Facts:
    """All that the steps look at; `peer` is the address mail comes from.

    `sender` is the envelope's, "" for the null sender. `callout` is what the sender's
    own server said of it: "accepted", "refused", "failed" or "". `recipient` is an
    address of ours, "" for nobody yet; `greylist` is the table's word on that one
    (rules.greylist): "wait", "known", "excused" or "". All else holds for every
    recipient. `spf` is the result of RFC 7208 2.6.
    """

    peer: str = field(validator=_is_address)
    sender: str = ""
    session: Session = Factory(Session)
    domain: Domain = Factory(Domain)
    reverse: Reverse = Factory(Reverse)
    blacklists: tuple[Listing, ...] = ()
    callout: str = field(
        default="", validator=_one_of("", "accepted", "refused", "failed")
    )
    spf: str = field(default="", validator=_one_of("", *SPF_RESULTS))
    recipient: str = ""
    greylist: str = field(default="", validator=_one_of("", "wait", "known", "excused"))


def facts_from_table(table: Mapping[str, Any]) -> Facts:
    """Read facts from a parsed TOML or JSON table; what is left out was not asked.

    Raises FactsError with one line.
    """
    if not isinstance(table, Mapping):
        raise FactsError("facts: must be a table")
    try:
        return _CONVERTER.structure(table, Facts)
    except ClassValidationError as error:
        faults = cattrs.transform_error(error, path="facts", format_exception=_words)
        place, text = _place_last(faults[0])
        raise FactsError(f"{place}: {text}") from error


def _words(error: BaseException, kind: type | None) -> str:  # noqa: ARG001 (cattrs')
    if isinstance(error, KeyError):
        return "is missing"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        names = ", ".join(sorted(error.extra_fields))
        return f"{names}: unknown key; remove it"
    if isinstance(error, ValueError):
        return str(error)
    return "must be a table"


def _place_last(fault: str) -> tuple[str, str]:
    """Turn cattrs' "what @ where" round, on one line whatever stands in a file."""
    text, _at, place = fault.rpartition(" @ ")
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return "".join(one if one.isprintable() else "?" for one in place), shown


def _exactly(kind: type, words: str) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"must be {words}")
        return value

    return structure


def _list(structure: Any) -> Any:
    def checked(value: Any, kind: Any) -> Any:
        if type(value) is not list:
            raise ValueError("must be a list")
        return structure(value, kind)

    return checked


def _converter() -> cattrs.Converter:
    """Make a converter that takes no type for another and no key it does not know."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_structure_hook(str, _exactly(str, "text in quotes"))
    converter.register_structure_hook(bool, _exactly(bool, "true or false"))
    for many in (tuple[str, ...], tuple[Host, ...], tuple[Listing, ...]):
        structure = _list(converter.get_structure_hook(many))
        converter.register_structure_hook_func(partial(eq, many), structure)
    return converter


_CONVERTER = _converter()
