"""What a request is aimed at: a path, at a host of ours (RFC 9112 3.2). Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import unquote_to_bytes

# No userinfo and no escapes: a name that we have needs neither. RFC 3986 3.2.2.
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?")
_PATH = re.compile(rb"/[!-~]*")
_SCHEME = b"http://"


def is_ours(host: bytes, hosts: Collection[str]) -> bool:
    """Tell whether a Host field names one of `hosts` (lower case, without ports).

    A page elsewhere whose name was made to lead here (DNS rebinding) names another.
    """
    match = _HOST.fullmatch(host)
    return match is not None and match[1].decode().lower().removesuffix(".") in hosts


def origin_form(target: bytes, hosts: Collection[str]) -> bytes | None:
    """Return the path and query that a request's target names, or None.

    None is for what is no path of printable ASCII that decodes to UTF-8, and for a
    whole address of another host.
    """
    if target[: len(_SCHEME)].lower() == _SCHEME:
        # RFC 9112 3.2.2: as proxies are asked; it has to be understood.
        authority, slash, rest = target[len(_SCHEME) :].partition(b"/")
        if not is_ours(authority, hosts):
            return None
        target = slash + rest or b"/"
    if not _PATH.fullmatch(target) or b"#" in target:
        return None
    try:
        unquote_to_bytes(target.partition(b"?")[0]).decode()
    except UnicodeDecodeError:
        return None
    return target
