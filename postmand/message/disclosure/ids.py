"""What Message-IDs and Content-IDs tell: a clock, a process, a machine, a program."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from postmand.message.disclosure.finding import Finding, found
from postmand.message.disclosure.scene import Scene

_ID = re.compile(rb"<?([^<>\s]{1,500})>?")
# A process' number: behind a clock, where some programs put it.
_PIDS = (
    re.compile(rb"\A\d{9,14}\.(\d{1,7})(?=[.\-]|\Z)"),
    re.compile(rb"\A\d{12,14}\.G[A-Z](\d{1,7})\Z"),
    re.compile(rb"\A(?:al)?[Pp]ine\..*\.\d{10,14}\.(\d{1,7})\Z"),
)
# Outlook Express: the last number is the machine's address, backwards.
_EXPRESS = re.compile(rb"[0-9a-f]{12}\$[0-9a-f]{8}\$([0-9a-f]{8})")
_JAVA = re.compile(rb"\.JavaMail\.([^.@]{1,60})")
_PINE = re.compile(rb"\A(?:al)?[Pp]ine\.(LNX|DEB|LSU|LRH|OSX|BSF|BSO|WNT|CYG|SOL)")
_PINE_VERSION = re.compile(rb"\A(?:al)?[Pp]ine\.[A-Z]{3}\.(\d+(?:\.\d+)?)")
# The shapes that name their program, without what is in them.
_SHAPES = (
    (re.compile(rb".*\.camel"), "Evolution"),
    (re.compile(rb"(?:al)?[Pp]ine\..*"), "Alpine or Pine"),
    (re.compile(rb".*\.JavaMail\..*"), "JavaMail"),
    (re.compile(rb".*\.squirrel"), "SquirrelMail"),
    (re.compile(rb"[0-9a-f]{12}\$[0-9a-f]{8}\$[0-9a-f]{8}\$?"), "Microsoft Outlook"),
    (re.compile(rb"[0-9a-z]{6,16}\.fsf(?:_-_|-)?.*"), "Emacs"),
    (re.compile(rb"[0-9A-F]{8}\.\d{5,8}"), "an older Thunderbird or Mozilla"),
    (re.compile(rb"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}"), "Apple Mail or K-9"),
    (re.compile(rb"CA[+\w=.-]{40,80}"), "Gmail"),
    (re.compile(rb"\d{5,8}\.[A-Za-z0-9]{10}"), "KMail"),
    (re.compile(rb"[A-Z0-9]{8}\.[A-Z0-9]{8}\.[A-Z0-9]{8}"), "Balsa"),
)
_PROVIDERS = (
    (re.compile(rb"mail\.gmail\.com"), "Gmail"),
    (re.compile(rb".*\.prod\.outlook\.com"), "Microsoft Exchange"),
    (re.compile(rb".*\.mail\.yahoo\.com"), "Yahoo Mail"),
)


def findings(value: bytes, where: str, scene: Scene) -> Iterator[Finding]:
    """Yield what one id tells."""
    match = _ID.search(value[:2_000])
    if match is None:
        return
    local, _, domain = match[1].rpartition(b"@")
    yield from scene.host(domain, where)
    yield from scene.times(local, where)
    yield from scene.addresses(local, where)
    for pattern in _PIDS:
        pid = pattern.search(local)
        if pid:
            yield found("pid", where, pid[1], "the number of the program's process")
            break
    yield from _shape(local, domain, where)


def _shape(local: bytes, domain: bytes, where: str) -> Iterator[Finding]:
    for octets, known in ((local, _SHAPES), (domain, _PROVIDERS)):
        for pattern, program in known:
            if pattern.fullmatch(octets):
                note = f"a shape that only {program} makes"
                yield found("random-fingerprintable", where, octets, note)
                break
    express = _EXPRESS.fullmatch(local)
    if express:
        octets = bytes.fromhex(express[1].decode("ascii"))[::-1]
        note = f"your machine's address {ipaddress.IPv4Address(octets)}"
        yield found("local-ip", where, express[1], note)
    user = _JAVA.search(local)
    if user:
        yield found("username", where, user[1], "your login on your machine")
    system = _PINE.search(local)
    if system:
        yield found("os", where, system[1], "the system Alpine was built for")
    version = _PINE_VERSION.search(local)
    if version:
        yield found("version", where, version[1], "the version of Alpine or Pine")
