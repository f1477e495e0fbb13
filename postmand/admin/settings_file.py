"""Changing a configuration file as a careful operator would: little, and whole."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from postmand.admin.terminal import CommandError


def append_table(path: Path, name: str, table: Mapping[str, str | bool]) -> None:
    """Add `[[name]]` with these values at the end of the file."""
    lines = [f"{key} = {_shown(value)}" for key, value in table.items()]
    text = path.read_text(encoding="utf-8").rstrip("\n")
    _write(path, "\n".join([text, "", f"[[{name}]]", *lines, ""]))


def replace_values(path: Path, section: str, values: Mapping[str, str]) -> None:
    """Give keys of `[section]` these values; what else stands in the file stays.

    Raises CommandError where there is no such section.
    """
    lines = path.read_text(encoding="utf-8").split("\n")
    start = next(
        (n for n, one in enumerate(lines) if one.strip() == f"[{section}]"), None
    )
    if start is None:
        raise CommandError(f"{path}: there is no section [{section}]; add it")
    end = next(
        (n for n in range(start + 1, len(lines)) if lines[n].lstrip().startswith("[")),
        len(lines),
    )
    for key, value in values.items():
        line = f"{key} = {_shown(value)}"
        shape = re.compile(rf"\s*{re.escape(key)}\s*=")
        at = next((n for n in range(start + 1, end) if shape.match(lines[n])), None)
        if at is None:
            lines.insert(start + 1, line)
            end += 1
        else:
            lines[at] = line
    _write(path, "\n".join(lines))


def _shown(value: str | bool) -> str:
    # JSON's texts and truths are TOML's, too.
    return json.dumps(value)


def _write(path: Path, text: str) -> None:
    """Put a new file in the old one's place; it is whole at every moment."""
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
