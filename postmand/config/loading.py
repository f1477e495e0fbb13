"""TOML to the classes, and a fault in it to one line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import cattrs
from cattrs.errors import (
    AttributeValidationNote,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)

from postmand.config.errors import ConfigError
from postmand.config.sections import EXAMPLE, Config, Gateway, Pop3, Submission, Web

_NAME = re.compile(r"[a-z0-9._-]+")


def mail_host() -> Config:
    """Return the built-in mail host: servers and pages on loopback, state in ./var."""
    return Config(submission=Submission(), pop3=Pop3(), web=Web())


def load(path: str | None) -> Config:
    """Read the configuration at `path`, or return the built-in one for None.

    Raises ConfigError with one complete line.
    """
    if path is None:
        return mail_host()
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}; name a readable file with --config"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML: {error}") from error
    return from_table(data, path)


def from_table(data: dict[str, Any], source: str) -> Config:
    """Turn a parsed TOML table into a Config; `source` names it in errors."""
    if "source" in data:
        raise _fault(source, 'there is no section "source"; remove it')
    try:
        config = _converter().structure(data, Config)
    except ClassValidationError as error:
        raise _fault(source, _first_fault(error)) from error
    aliases = dict(_alias(config, *pair, source) for pair in config.aliases.items())
    if len(aliases) < len(config.aliases):
        raise _fault(source, "[aliases] names the same alias twice; remove one")
    return attrs.evolve(config, source=source, aliases=aliases)


def _fault(source: str, text: str) -> ConfigError:
    """Return an error of one line, whatever a key in the file is made of."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return ConfigError(f"{source}: {shown}")


def _alias(config: Config, alias: str, target: str, source: str) -> tuple[str, str]:
    """Return an alias and its account, which may be written with its domain."""
    name, at, domain = target.lower().partition("@")
    ours = not at or domain.encode() in config.domains
    if not (ours and _NAME.fullmatch(name) and _NAME.fullmatch(alias.lower())):
        raise _fault(
            source,
            f"[aliases] {alias}: must name an account of this node, as in "
            'postmaster = "jondoe"',
        )
    return alias.lower(), name


def _converter() -> cattrs.Converter:
    """Make a converter that takes no type for another and no key it does not know."""
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    for kind, words in (
        (str, 'text in quotes, as in "mail.i2p"'),
        (int, "a whole number without quotes"),
        (bool, "true or false"),
    ):
        converter.register_structure_hook(kind, _exactly(kind, words))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook_func(
        lambda kind: kind == tuple[str, ...], _strings
    )
    converter.register_structure_hook_func(
        lambda kind: kind == tuple[int, ...], _whole_numbers
    )
    many = tuple[Gateway, ...]
    converter.register_structure_hook_func(
        lambda kind: kind == many, _sections(converter.get_structure_hook(many))
    )
    return converter


def _exactly(kind: type, words: str) -> Any:
    def structure(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise ValueError(f"must be {words}")
        return value

    return structure


def _number(value: Any, _: Any) -> float:
    if type(value) not in (int, float):
        raise ValueError("must be a number without quotes")
    return float(value)


def _strings(value: Any, _: Any) -> tuple[str, ...]:
    if type(value) is not list or not all(type(item) is str for item in value):
        raise ValueError('must be a list of texts, as in ["…", "…"]')
    return tuple(value)


def _whole_numbers(value: Any, _: Any) -> tuple[int, ...]:
    if type(value) is not list or not all(type(item) is int for item in value):
        raise ValueError("must be a list of whole numbers, as in [0, 12]")
    return tuple(value)


def _sections(structure: Any) -> Any:
    """Return a hook that takes a list of sections, and nothing else for one."""

    def checked(value: Any, kind: Any) -> Any:
        if type(value) is not list:
            raise ValueError("must be written in double brackets, as in [[gateways]]")
        return structure(value, kind)

    return checked


def _first_fault(error: BaseException, where: tuple[str, ...] = ()) -> str:
    """Return "[section] key: what is wrong" for the first fault in a tree of them."""
    if isinstance(error, ForbiddenExtraKeysError):
        return _unknown_key(error, where)
    if isinstance(error, BaseExceptionGroup):
        # A key that is missing may be the one that is mistyped: tell of that first.
        unknown = error.subgroup(ForbiddenExtraKeysError)
        first = (unknown or error).exceptions[0]
        where += tuple(_steps(first))
        if isinstance(first, KeyError) and isinstance(error, ClassValidationError):
            return _missing_key(error.cl, where)
        return _first_fault(first, where)
    text = str(error)
    if isinstance(error, TypeError | AttributeError):
        text = "must be a section of its own"
    return f"{_place(where)}{text}"


def _steps(error: BaseException) -> Iterator[str]:
    """Yield cattrs' notes of where a fault lies: keys, and entries counted from 1."""
    for note in getattr(error, "__notes__", ()):
        if isinstance(note, AttributeValidationNote):
            yield note.name
        elif isinstance(note, IterableValidationNote):
            at = note.index
            yield str(at + 1 if isinstance(at, int) else at)


def _missing_key(section: type, where: tuple[str, ...]) -> str:
    key = where[-1]
    example = attrs.fields_dict(section)[key].metadata[EXAMPLE]
    return f"{_place(where)}is missing; add it, as in {key} = {example}"


def _unknown_key(error: ForbiddenExtraKeysError, where: tuple[str, ...]) -> str:
    names = ", ".join(sorted(error.extra_fields))
    known = ", ".join(
        attribute.name
        for attribute in attrs.fields(error.cl)
        if attribute.name != "source"
    )
    kind = "key" if where else "section"
    return f"{_place(where)}{names}: unknown {kind}; remove it (known: {known})"


def _place(where: tuple[str, ...]) -> str:
    if not where:
        return ""
    section, *keys = where
    return f"[{section}] " + "".join(f"{key}: " for key in keys)
