"""Templates to pages, and the static files beside them."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from importlib import resources
from typing import Any

from attrs import field, frozen
from jinja2 import Environment, PackageLoader, StrictUndefined


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
        octets = entry.read_bytes()
        stem, _, kind = entry.name.rpartition(".")
        name = f"{stem}.{hashlib.sha256(octets).hexdigest()[:12]}.{kind}"
        packed = gzip.compress(octets, 9, mtime=0)
        files[name] = Static(
            _kind(entry.name), octets, packed if len(packed) < len(octets) else b""
        )
        paths[entry.name] = f"/static/{name}"
    return files, paths


def octets(count: int) -> str:
    """Return a size as people read it, as in `1.2 MiB`."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024 or unit == "GiB":
            break
    return f"{size:.1f} {unit}"


def _kind(name: str) -> bytes:
    kind, _ = mimetypes.guess_type(name, strict=False)
    text = kind in ("text/css", "text/javascript", "application/javascript")
    return f"{kind}{'; charset=utf-8' if text else ''}".encode()


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
