"""The configuration: one line for each fault, with file, section, key and mend."""

from __future__ import annotations

import tomllib
from pathlib import Path

import attrs
import pytest

from postmand.config import (
    BUILT_IN,
    Config,
    ConfigError,
    Limits,
    from_table,
    load,
    mail_host,
)

PLACE = "node.toml"


def faulty(text: str) -> str:
    """Return the line a configuration gets."""
    with pytest.raises(ConfigError) as caught:
        from_table(tomllib.loads(text), PLACE)
    line = str(caught.value)
    assert "\n" not in line
    return line


def read(text: str) -> Config:
    """Return a configuration that is sound."""
    return from_table(tomllib.loads(text), PLACE)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[submision]",
            "submision: unknown section; remove it (known: node, store, submission, "
            "pop3, mailboxes, accounts, aliases, limits)",
        ),
        (
            "[node]\nstat = 'x'",
            "[node] stat: unknown key; remove it "
            "(known: state, mail_domain, internet_domain)",
        ),
        ("[node]\nstate = 1", '[node] state: must be text in quotes, as in "mail.i2p"'),
        (
            "[mailboxes]\nmax_bytes = '50 MB'",
            "[mailboxes] max_bytes: must be a whole number without quotes",
        ),
        (
            "[mailboxes]\nmax_bytes = 1.5",
            "[mailboxes] max_bytes: must be a whole number without quotes",
        ),
        (
            "[mailboxes]\nmax_bytes = true",
            "[mailboxes] max_bytes: must be a whole number without quotes",
        ),
        (
            "[limits]\ncommand_seconds = '5'",
            "[limits] command_seconds: must be a number without quotes",
        ),
        (
            "[submission]\nlisten = 'tcp:2525'",
            '[submission] listen: must be a list of texts, as in ["…", "…"]',
        ),
        (
            "[submission]\nlisten = [2525]",
            '[submission] listen: must be a list of texts, as in ["…", "…"]',
        ),
        ("node = 5", "[node] must be a section of its own"),
        ("[[node]]\nstate = 'x'", "[node] must be a section of its own"),
        (
            "[aliases]\npostmaster = 5",
            '[aliases] postmaster: must be text in quotes, as in "mail.i2p"',
        ),
        (
            "[aliases]\npostmaster = 'a@example.org'",
            "[aliases] postmaster: must name an account of this node, as in "
            'postmaster = "jondoe"',
        ),
        (
            "[aliases]\npostmaster = ''",
            "[aliases] postmaster: must name an account of this node, as in "
            'postmaster = "jondoe"',
        ),
        ("source = 'x'", 'there is no section "source"; remove it'),
    ],
)
def test_lines(text: str, line: str) -> None:
    """Each fault has its one line, to the letter."""
    assert faulty(text) == f"{PLACE}: {line}"


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("mailboxes", "max_bytes", "1"),
        ("mailboxes", "max_bytes", "-1"),
        ("limits", "line_bytes", "10"),
        ("limits", "connections", "0"),
        ("limits", "command_seconds", "nan"),
        ("limits", "command_seconds", "inf"),
        ("limits", "command_seconds", "0"),
        ("limits", "argon2_threads", "0"),
        ("submission", "max_recipients", "0"),
        ("submission", "listen", "[]"),
        ("submission", "listen", '[""]'),
        ("submission", "host_name", '""'),
        ("submission", "host_name", '"Smtp.Example"'),
        ("submission", "host_name", '"a b"'),
        ("submission", "host_name", '"a\\r\\nb"'),
        ("submission", "host_name", '"-a.b"'),
        ("submission", "host_name", '"a..b"'),
        ("node", "mail_domain", '"exämple.i2p"'),
        ("node", "mail_domain", '"[127.0.0.1]"'),
        ("store", "url", '"postgresql://localhost/postman"'),
    ],
)
def test_bounds(section: str, key: str, value: str) -> None:
    """A value out of its bounds is named with its section and key, and the bounds."""
    line = faulty(f"[{section}]\n{key} = {value}")
    assert line.startswith(f"{PLACE}: [{section}]")
    assert key in line
    assert " must be " in line


def test_empty() -> None:
    """An empty file has all defaults, and names no server."""
    config = read("")
    assert config.submission is None
    assert config.pop3 is None
    assert config.limits == Limits()
    assert config.source == PLACE


def test_sections_are_servers() -> None:
    """A section that is there, even empty, is a server with defaults."""
    config = read("[submission]\n[pop3]\n")
    assert config.submission == mail_host().submission
    assert config.pop3 == mail_host().pop3


def test_values() -> None:
    """What is written is taken; a whole number may stand for a number."""
    config = read(
        "[node]\nstate = 'elsewhere'\n[limits]\ncommand_seconds = 5\n"
        "[submission]\nlisten = ['tcp:1:interface=127.0.0.1', 'unix:x']\n"
    )
    assert config.node.state == "elsewhere"
    assert config.state == Path.cwd() / "elsewhere"
    assert config.database == config.state / "postman.db"
    assert config.limits.command_seconds == 5.0
    assert config.submission is not None
    assert len(config.submission.listen) == 2


def test_aliases() -> None:
    """Aliases are read without case and without our domains."""
    config = read("[aliases]\nPostmaster = 'JonDoe@mail.i2p'\nabuse = 'bob'\n")
    assert config.aliases == {"postmaster": "jondoe", "abuse": "bob"}


@pytest.mark.parametrize(
    "line", ["postmaster = 'jon doe'", "\"abuse@mail.i2p\" = 'bob'", "'a b' = 'bob'"]
)
def test_aliases_that_lead_nowhere(line: str) -> None:
    """An alias that can never match, or name an account, is told, not kept."""
    assert faulty(f"[aliases]\n{line}").startswith(f"{PLACE}: [aliases] ")


def test_database() -> None:
    """A database may lie elsewhere."""
    config = read("[store]\nurl = 'sqlite:////srv/mail/x.db'")
    assert config.database == Path("/srv/mail/x.db")


def test_built_in() -> None:
    """The built-in mail host listens on loopback only, on the guide's ports."""
    config = load(None)
    assert config == mail_host()
    assert config.source == BUILT_IN
    assert config.submission is not None
    assert config.pop3 is not None
    for text in (*config.submission.listen, *config.pop3.listen):
        assert text.endswith(":interface=127.0.0.1")
    assert config.submission.listen[0].startswith("tcp:2525:")
    assert config.pop3.listen[0].startswith("tcp:1110:")


def test_files(tmp_path: Path) -> None:
    """A file that is not there, is none, or is no TOML is one line with its name."""
    missing, broken, latin = (tmp_path / name for name in ("a", "b", "c"))
    broken.write_text("[node\n")
    latin.write_bytes(b"# \xff\n")
    for path, words in (
        (missing, "No such file or directory; name a readable file with --config"),
        (tmp_path, "Is a directory; name a readable file with --config"),
        (broken, "is not TOML: "),
        (latin, "is not TOML: "),
    ):
        with pytest.raises(ConfigError) as caught:
            load(str(path))
        assert str(caught.value).startswith(f"{path}: {words}")
        assert "\n" not in str(caught.value)


def test_file(tmp_path: Path) -> None:
    """A sound file is read, and named in what it becomes."""
    path = tmp_path / "node.toml"
    path.write_text("[pop3]\n")
    assert load(str(path)).source == str(path)


def test_frozen() -> None:
    """Nothing changes a configuration once it is read."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        mail_host().limits.connections = 1  # type: ignore[misc]
