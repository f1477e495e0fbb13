"""What the documents say of the code, held against the code."""

from __future__ import annotations

import importlib
import os
import re
import sqlite3
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest

from postmand.admin.main import main
from postmand.config import (
    Biff,
    Config,
    Exchange,
    Exit,
    Gateway,
    Inbound,
    Link,
    Metrics,
    load,
    mail_host,
)
from postmand.store.database import connect
from postmand.store.opening import open_registry
from postmand.store.schema import metadata
from postmand.store.settings import Settings
from postmand.store.upgrade import upgrade

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.rst", *sorted(DOCS.rglob("*.rst"))]
DECISIONS = sorted((DOCS / "decisions").glob("*.rst"))
MAIL_HOST = ROOT / "etc" / "mailhost.toml"
GATEWAY = ROOT / "etc" / "gateway.toml"
UNIT = ROOT / "etc" / "postmand.service"

# Sections that the built-in mail host has not; they are commented examples.
EXAMPLES: dict[str, Any] = {
    "gateways": Gateway("tcp:127.0.0.1:2526"),
    "inbound": Inbound(),
    "metrics": Metrics(),
    "biff": Biff(),
}
# Sections that only a gateway has; etc/gateway.toml shows them.
OUTPOST: dict[str, Any] = {"exchange": Exchange(), "exit": Exit(), "link": Link()}

_TERM = re.compile(r"^``([a-z_]+\.[a-z_]+)``$", re.MULTILINE)
_QUOTED = re.compile(r"``([^`\n]+(?:\n[^`\n]+)?)``")
_LINK = re.compile(r"<([^<>:\s]+)>`__")
_KEY = re.compile(r"``\[([a-z0-9_]+)\]\s+([a-z0-9_]+)``")
_FOLDERS = "benchmarks", "docs", "etc", "postmand", "tests", "twisted"
_PLACE = re.compile(rf"(?:{'|'.join(_FOLDERS)})/[\w./*-]*")
_DOTTED = re.compile(r"[a-z_][a-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+")
_ROOMS = {path.stem for path in (ROOT / "postmand").iterdir()}
# Where the project was made, and who helped, is not its business. In two pieces, for
# this file is looked through as well.
_FOREIGN = re.compile(
    "|".join(
        (
            r"(?<![\w.])/wo" r"rk\b",
            r"\.\./sha" r"red\b",
            r"\bMISS" r"ION\.md",
            r"\bDES" r"IGN\.md",
            r"\bTHR" r"EATS\.md",
            r"/ro" r"ot/",
            r"(?<!user-)(?<!transport )\bage" r"nts?\b",
            r"\bcla" r"ude\b",
            r"\b(?:this|another|earlier|previous) ses" r"sion of (?:mine|ours|work)\b",
        )
    ),
    re.IGNORECASE,
)

# Twisted's class for HTTP has a name that is a word of these: allowed in these places.
_TWISTEDS = {
    "postmand/delivery/wellknown.py": re.compile(
        r"(?<=from twisted\.web\.client import )Age"
        r"nt(?=, ResponseDone\n)"
        r"|\bage"
        r"nt = Age"
        r"nt(?=\.usingEndpointFactory\()"
        r"|(?<=await )age"
        r"nt(?=\.request\()"
        r"|(?<=The one endpoint of an )age"
        r"nt(?=:)"
    )
}


def page(path: Path) -> str:
    """Name a page in a test's id."""
    return str(path.relative_to(ROOT))


def quoted(path: Path) -> Iterator[str]:
    """Yield what stands in double backquotes on a page, each on one line."""
    for match in _QUOTED.finditer(path.read_text("utf-8")):
        yield " ".join(match[1].split())


def database_columns(directory: Path) -> set[str]:
    """Return table.column of everything in a new database, SQLite's own tables too."""
    path = directory / "postman.db"
    upgrade(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        return {
            f"{table}.{column[1]}"
            for (table,) in tables.fetchall()
            for column in connection.execute(f"PRAGMA table_info({table})")
        }


def test_privacy_names_every_column(tmp_path: Path) -> None:
    """What is stored is named, and nothing is named that is not stored."""
    terms = _TERM.findall((DOCS / "privacy.rst").read_text("utf-8"))
    assert len(terms) == len(set(terms))
    assert set(terms) == database_columns(tmp_path)
    known = {f"{c.table.name}.{c.name}" for t in metadata.sorted_tables for c in t.c}
    assert known <= set(terms)


def test_privacy_gives_each_column_a_reason() -> None:
    """A name alone is no account of it: each is followed by words of its own."""
    text = (DOCS / "privacy.rst").read_text("utf-8")
    for match in _TERM.finditer(text):
        told = text[match.end() + 1 :].split("\n\n")[0]
        assert told.startswith("    "), match[1]
        assert len(told.split()) >= 2, match[1]


def test_privacy_names_the_files_of_the_state_directory(tmp_path: Path) -> None:
    """The files, too, are named that a node leaves on the disk, all of them."""
    state = tmp_path / "state"
    url = f"sqlite:///{state / 'postman.db'}"
    registry = open_registry(url, state, Settings(passes=1, memory_kib=8))
    registry.add("jondoe", b"a password", day=20_000)
    with closing(connect(state / "postman.db")) as connection:
        connection.execute("SELECT count(*) FROM accounts").fetchone()
        found = {path.name for path in state.iterdir()}
    assert {"postman.db", "postman.db-wal", "postman.db-shm", "bodies"} <= found
    assert found <= set(quoted(DOCS / "privacy.rst"))


def sections() -> Iterator[tuple[str, Any]]:
    """Yield every section of the configuration with its defaults."""
    defaults = mail_host()
    shown = EXAMPLES | OUTPOST
    for field in attrs.fields(Config):
        if field.name not in ("aliases", "source"):
            yield field.name, getattr(defaults, field.name) or shown[field.name]


def of_mail_host() -> Iterator[tuple[str, Any]]:
    """Yield every section that a mail host may have."""
    return ((name, section) for name, section in sections() if name not in OUTPOST)


def with_examples(text: str) -> dict[str, Any]:
    """Read etc/mailhost.toml with its commented sections (the aliases have none)."""
    before, aliases, rest = text.partition("[aliases]\n")
    rest = re.sub(r"^# (?=\[|[a-z_]+ = (?!\"alice\"))", "", rest, flags=re.MULTILINE)
    table = tomllib.loads(before + aliases + rest)
    return table | {"gateways": table["gateways"][0]}


def test_mail_host_names_every_key() -> None:
    """etc/mailhost.toml has every key there is, with its default, and no other."""
    table = with_examples(MAIL_HOST.read_text("utf-8"))
    assert set(table) == {name for name, _ in of_mail_host()} | {"aliases"}
    assert table["aliases"] == {}
    for name, section in of_mail_host():
        assert_shows(table[name], section, name)


def assert_shows(table: dict[str, Any], section: Any, name: str) -> None:
    """Hold a section of a file against its defaults."""
    shown = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in table.items()
    }
    assert shown == attrs.asdict(section), name


def test_gateway_names_every_key() -> None:
    """etc/gateway.toml has every key of a gateway's sections, with its default.

    Of what it shares with a mail host it names some, and they are the defaults, too.
    """
    table = tomllib.loads(GATEWAY.read_text("utf-8"))
    assert set(table) == {*OUTPOST, "node"}
    for name, section in OUTPOST.items():
        assert_shows(table[name], section, name)
    node = attrs.asdict(mail_host().node)
    assert {key: node[key] for key in table["node"]} == table["node"]


def test_gateway_is_a_gateways() -> None:
    """Who starts from etc/gateway.toml has a gateway, without a mail host's servers."""
    config = load(str(GATEWAY))
    assert (config.exchange, config.exit, config.link) == tuple(OUTPOST.values())
    assert config.submission is config.pop3 is config.inbound is None
    assert config.gateways == ()


def test_mail_host_is_the_built_in_one() -> None:
    """Who starts from etc/mailhost.toml starts from what `make run` runs."""
    built_in = mail_host()
    assert attrs.evolve(load(str(MAIL_HOST)), source=built_in.source) == built_in


def test_mail_host_comments_every_key() -> None:
    """No key stands there without a word about it."""
    lines = MAIL_HOST.read_text("utf-8").splitlines()
    for above, line in pairwise(lines):
        if re.match(r"(# )?[a-z0-9_]+ = (?!\"alice\")", line):
            assert above.startswith("# "), line


def test_gateway_comments_every_group() -> None:
    """No group of keys stands there without a word about it."""
    above = ""
    for line in GATEWAY.read_text("utf-8").splitlines():
        if re.match(r"[a-z0-9_]+ = ", line):
            assert above.startswith("# ") or " = " in above, line
        above = line


def test_unit_starts_what_operating_installs() -> None:
    """The unit and the page that installs it speak of the same places."""
    unit = UNIT.read_text("utf-8")
    told = (DOCS / "operating.rst").read_text("utf-8")
    for place in ("/opt/postmand", "/etc/postmand", "/var/lib/postmand"):
        assert place in unit
        assert place in told
    for line in ("TZ=UTC", "LimitCORE=0", "MemorySwapMax=0", "LogNamespace=postmand"):
        assert line in unit


def test_unit_allows_the_connections_of_both_servers() -> None:
    """The unit's descriptors are enough for [limits] connections of each server."""
    allowed = re.search(r"^LimitNOFILE=(\d+)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert allowed
    assert int(allowed[1]) > 2 * mail_host().limits.connections


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_named_places_exist(path: Path) -> None:
    """Every file and folder a page names is there."""
    missing = [
        name
        for name in quoted(path)
        if _PLACE.fullmatch(name) and not list(ROOT.glob(name.rstrip("/")))
    ]
    assert not missing


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to another page leads to one."""
    links = _LINK.findall(path.read_text("utf-8"))
    assert not [link for link in links if not (path.parent / link).is_file()]


def resolved(dotted: str) -> bool:
    """Tell whether there is a module, or something in one, of that name."""
    names = dotted.removeprefix("postmand.").split(".")
    for split in range(len(names), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(["postmand", *names[:split]]))
        except ModuleNotFoundError:
            continue
        for name in names[split:]:
            if not hasattr(found, name):
                return False
            found = getattr(found, name)
        return True
    return False


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_named_code_exists(path: Path) -> None:
    """Every module, class and function a page names is there."""
    named = [
        name
        for name in quoted(path)
        if _DOTTED.fullmatch(name) and name.partition(".")[0] in {*_ROOMS, "postmand"}
    ]
    assert not [name for name in named if not resolved(name)]


def test_flow_names_code() -> None:
    """The path of a message is told in names that stand in the code, many of them."""
    named = {name for name in quoted(DOCS / "flow.rst") if _DOTTED.fullmatch(name)}
    assert len(named & {n for n in named if resolved(n)}) > 30


@pytest.mark.parametrize("path", PAGES, ids=page)
def test_named_keys_exist(path: Path) -> None:
    """Every key of the configuration a page names is there."""
    keys = {(name, key) for name, told in sections() for key in attrs.asdict(told)}
    assert set(_KEY.findall(path.read_text("utf-8"))) <= keys


@pytest.mark.long
@pytest.mark.parametrize("path", PAGES, ids=page)
def test_named_commands_exist(path: Path) -> None:
    """Every command of postmanctl and every target of make a page names is there."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for text in quoted(path):
        program, *words = text.split()
        if program == "make":
            assert set(words) <= targets, text
        if program == "postmanctl" and words:
            size = 2 if words[0] == "account" else 1
            with pytest.raises(SystemExit) as end:
                main([*words[:size], "--help"])
            assert end.value.code == 0, text


def commands(text: str) -> list[str]:
    """Return the commands of a text, each on one line, with single blanks."""
    joined = re.sub(r"\\\n\s*", "", text)
    found = re.findall(r"^[ \t]+((?:echo|swaks|curl) .*)$", joined, re.MULTILINE)
    return [" ".join(line.split()) for line in found]


def test_readme_tells_what_make_run_prints() -> None:
    """The tour is the same in both places."""
    makefile = (ROOT / "Makefile").read_text("utf-8")
    tour = makefile.partition("define TOUR")[2].partition("endef")[0]
    tour = tour.replace("$(BIN)", ".venv/bin").replace("$(B)", "\\")
    readme = (ROOT / "README.rst").read_text("utf-8")
    assert commands(tour)
    assert commands(tour) == commands(readme)


def test_readme_tells_what_irssi_showed() -> None:
    """The dialogue with biff is that of the test with irssi, beside its servers."""
    irc = ROOT / "tests" / "peers" / "irc"
    shown = (irc / "dialogue.txt").read_text("utf-8").splitlines()
    readme = (ROOT / "README.rst").read_text("utf-8")
    start = readme.index("  <alice> .help")
    told = readme[start:].partition("\n\n")[0]
    assert [line.removeprefix("  ") for line in told.splitlines()] == shown
    played = (irc.parent / "test_biff_client.py").read_text("utf-8")
    (pair,) = re.findall(r'"(\w+\+\w+)"', played)
    assert f"irssi, beside {pair.replace('+', ', ')}\n" in readme[:start]


def test_index_lists_every_page() -> None:
    """docs/index.rst leads to every page and every decision."""
    linked = set(_LINK.findall((DOCS / "index.rst").read_text("utf-8")))
    pages = {path.name for path in DOCS.glob("*.rst")} - {"index.rst"}
    assert linked == pages | {f"decisions/{path.name}" for path in DECISIONS}


def test_decisions_are_numbered_without_gaps() -> None:
    """0001, 0002 and so on: the name of the file and its title agree."""
    assert DECISIONS
    for number, path in enumerate(DECISIONS, 1):
        assert path.name.startswith(f"{number:04}-")
        assert path.read_text("utf-8").startswith(f"{number:04}: ")


@pytest.mark.parametrize("path", DECISIONS, ids=page)
def test_decisions_have_one_form(path: Path) -> None:
    """Context, decision, consequences, on one screen."""
    lines = path.read_text("utf-8").splitlines()
    titles = [
        line for line, under in pairwise(lines) if under == "-" * len(line) and line
    ]
    assert titles == ["Context", "Decision", "Consequences"]
    assert len(lines) < 50


def test_news_fragments_are_named_for_towncrier() -> None:
    """A fragment of another name would be left out of the news."""
    kinds = "feature|bugfix|doc|removal|misc"
    for path in (DOCS / "news").iterdir():
        assert re.fullmatch(rf"(\d+|\+[\w-]+)\.({kinds})(\.\d+)?\.rst", path.name)


def project_files() -> list[Path]:
    """Return the project's own files: those git keeps, or in a copy without it, all."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        told = subprocess.run(listing, cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        names = list(_walked())
    else:
        names = told.decode().split("\0")
    # The corpus is other people's mail, and speaks as it likes.
    paths = [ROOT / name for name in names if name and "data/corpus" not in name]
    return [path for path in paths if path.is_file()]


def _walked() -> Iterator[str]:
    made = ("var", "build", "dist", "__pycache__")
    for directory, folders, files in os.walk(ROOT):
        folders[:] = [
            name
            for name in folders
            if name not in made and not name.startswith(".")
            if not name.endswith(".egg-info")
        ]
        yield from (str(Path(directory, name).relative_to(ROOT)) for name in files)


@pytest.mark.long
def test_files_speak_of_the_project_alone() -> None:
    """No path of the machine it was made on stands in a file, and no word about how."""
    found = []
    for path in project_files():
        text = path.read_bytes().decode("utf-8", "replace")
        if page(path) in _TWISTEDS:
            text = _TWISTEDS[page(path)].sub("", text)
        found += [f"{page(path)}: {match[0]}" for match in _FOREIGN.finditer(text)]
    assert not found
