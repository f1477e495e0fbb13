"""Names that are the same in the server's eyes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from postmand.biff.casemap import CaseMapping, fold, plain


def test_rfc1459() -> None:
    """Brackets, backslash and caret have a lower case there (RFC 1459 2.2)."""
    assert fold(b"Br[]\\^", CaseMapping.RFC1459) == b"br{}|~"


def test_strict() -> None:
    """The strict variant leaves the caret and the tilde apart."""
    assert fold(b"Br[]\\^", CaseMapping.STRICT) == b"br{}|^"


def test_ascii() -> None:
    """Letters only."""
    assert fold(b"Br[]\\^", CaseMapping.ASCII) == b"br[]\\^"


def test_only_ascii_letters() -> None:
    """Octets beyond ASCII are nobody's upper case: Latin-1 knows better, IRC not."""
    assert fold(b"\xc4\xe4", CaseMapping.ASCII) == b"\xc4\xe4"


def test_named() -> None:
    """A server's word for its mapping is taken in any case."""
    assert CaseMapping.named(b"ASCII") is CaseMapping.ASCII
    assert CaseMapping.named(b"strict-rfc1459") is CaseMapping.STRICT


def test_unknown() -> None:
    """What a server calls by another name is ASCII's, which joins the fewest."""
    for name in (b"rfc7613", b"utf-8", b""):
        assert CaseMapping.named(name) is CaseMapping.ASCII


@given(st.binary(max_size=40), st.sampled_from(CaseMapping))
def test_folded_twice(name: bytes, mapping: CaseMapping) -> None:
    """A folded name stays as it is, and as long as it was."""
    once = fold(name, mapping)
    assert fold(once, mapping) == once
    assert len(once) == len(name)


@given(st.binary(max_size=40), st.sampled_from(CaseMapping))
def test_plain_is_the_finest(name: bytes, mapping: CaseMapping) -> None:
    """What accounts are compared by joins no two names that any mapping keeps apart."""
    assert fold(plain(name), mapping) == fold(name, mapping)
    assert plain(b"Br[]") == b"br[]" != plain(b"br{}")
