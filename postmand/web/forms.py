"""What a form sends, read strictly: each field once, none unknown or too long. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from attrs import frozen

TOKEN = "token"  # noqa: S105 (a field, no secret)
"""The hidden field that every form carries (see session.Signer.token)."""

_MOST_FIELDS = 20
# Of a text in lines, where tabs may be; of any other no control character may come.
_LINES = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f-\x9f]*")


# As hashcash writes them; what else was sent in such a field is not shown again.
_STAMP = re.compile(r"[0-9]{1,2}:[0-9]{1,4}:[!-~]{1,500}")


class FormError(Exception):
    """Not what our forms send: a program's or an attacker's. The text says what."""


@frozen
class Field:
    """A field of a form. `longest` counts characters; `lines` are allowed in a few.

    A field that is `required` must be sent, though it may be empty: what is to be said
    about an empty one the page says.
    """

    name: str
    longest: int = 200
    required: bool = True
    lines: bool = False
    secret: bool = False


def read(body: bytes, fields: tuple[Field, ...]) -> Mapping[str, str]:
    """Return the fields' values by name; those left out are empty. Raises FormError.

    Secrets are as they were typed, all others without space at either end.
    """
    known = {one.name: one for one in (*fields, Field(TOKEN))}
    found: dict[str, str] = {}
    pairs = body.split(b"&") if body else []
    if len(pairs) > _MOST_FIELDS:
        raise FormError("there are too many fields")
    for pair in pairs:
        name, _, raw = pair.partition(b"=")
        field = known.get(_decoded(name))
        if field is None or field.name in found:
            raise FormError("a field is unknown, or there twice")
        found[field.name] = _value(field, _decoded(raw))
    for field in known.values():
        if field.required and field.name not in found:
            raise FormError("a field is missing")
        found.setdefault(field.name, "")
    return found


def _value(field: Field, text: str) -> str:
    if len(text) > field.longest:
        raise FormError(f"the field {field.name} is too long")
    # Browsers send the ends of lines as CRLF.
    text = text.replace("\r\n", "\n") if field.lines else text
    if not (_LINES if field.lines else _PLAIN).fullmatch(text):
        raise FormError(f"the field {field.name} holds a control character")
    return text if field.secret else text.strip()


def _decoded(octets: bytes) -> str:
    try:
        return unquote_to_bytes(octets.replace(b"+", b" ")).decode()
    except UnicodeDecodeError as error:
        raise FormError("a field is not UTF-8") from error


def stamp(body: bytes) -> str:
    """Return the stamp that a form carries, whatever else is wrong with it, else ""."""
    for pair in body.split(b"&")[:_MOST_FIELDS]:
        name, _, raw = pair.partition(b"=")
        if name == b"stamp":
            try:
                text = _decoded(raw[:2_000]).strip()
            except FormError:
                return ""
            return text if _STAMP.fullmatch(text) else ""
    return ""
