"""Templates to pages, and the static files beside them."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from attrs import field, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined

from postmand.rules.sizes import octets

# Not the system's own table: what it says of scripts differs from one to another.
_KINDS = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}


@frozen
class Static:
    """A file that never changes under its name: the name has its hash.

    `packed` is the same by gzip, empty where that is not smaller. No secret is in any
    of these; pages are never packed, for their size would tell of their tokens.
    """

    kind: bytes
    octets: bytes = field(repr=False)
    packed: bytes = field(repr=False)


def static_files() -> tuple[Mapping[str, Static], Mapping[str, str]]:
    """Return the static files by the name in their path, and these by plain name."""
    files: dict[str, Static] = {}
    paths: dict[str, str] = {}
    for entry in resources.files("postmand.web").joinpath("static").iterdir():
        content = entry.read_bytes()
        stem, _, kind = entry.name.rpartition(".")
        name = f"{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{kind}"
        packed = gzip.compress(content, 9, mtime=0)
        files[name] = Static(
            _KINDS[kind], content, packed if len(packed) < len(content) else b""
        )
        paths[entry.name] = f"/static/{name}"
    return files, paths


def takes_gzip(accepted: bytes) -> bool:
    """Tell whether an Accept-Encoding field takes gzip (RFC 9110 12.5.3)."""
    for one in accepted.lower().split(b","):
        coding, _, weight = one.partition(b";")
        if coding.strip() in (b"gzip", b"x-gzip"):
            return not re.fullmatch(rb"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return False


def environment(paths: Mapping[str, str], **shared: Any) -> Environment:
    """Return the templates: all values escaped, an unknown one an error.

    `static(name)` in a template is the path of a static file.
    """
    made = Environment(
        loader=PackageLoader("postmand.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters["octets"] = octets
    made.globals.update(static=paths.__getitem__, **shared)
    return made
