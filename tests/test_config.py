"""The configuration: one line for each fault, with file, section, key and mend."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postmand.config import (
    BUILT_IN,
    Biff,
    Config,
    ConfigError,
    Gateway,
    Limits,
    Metrics,
    Pop3,
    Quota,
    Submission,
    Web,
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


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[submision]",
            "submision: unknown section; remove it (known: node, store, submission, "
            "pop3, mailboxes, accounts, aliases, quota, delays, relay, gateways, "
            "inbound, exchange, exit, link, metrics, web, biff, limits)",
        ),
        (
            "[node]\nstat = 'x'",
            "[node] stat: unknown key; remove it "
            "(known: state, mail_domain, internet_domain, key)",
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
        (
            "[[gateways]]",
            "[gateways] 1: endpoint: is missing; add it, as in "
            'endpoint = "tcp:127.0.0.1:2526"',
        ),
        (
            "[[gateways]]\nendpoint = 'unix:a'\n[[gateways]]\nlmtp = true",
            "[gateways] 2: endpoint: is missing; add it, as in "
            'endpoint = "tcp:127.0.0.1:2526"',
        ),
        (
            "[[gateways]]\nendpoint = 'unix:a'\nlmtp = 'yes'",
            "[gateways] 1: lmtp: must be true or false",
        ),
        (
            "[[gateways]]\nendpoint = 'unix:a'\n[[gateways]]\nend = 'unix:b'",
            "[gateways] 2: end: unknown key; remove it (known: endpoint, pin, lmtp)",
        ),
        (
            "[[gateways]]\nendpoint = 'unix:a'\npins = ''",
            "[gateways] 1: pins: unknown key; remove it (known: endpoint, pin, lmtp)",
        ),
        (
            "[[gateways]]\nendpoint = 'unix:a'\npin = 'sha256/x'",
            '[gateways] 1: pin must be "sha256/" and the base64 of a public key\'s '
            "SHA-256, as the gateway prints it",
        ),
        (
            "[[gateways]]\nendpoint = 'tcp:gateway.example:25'",
            "[gateways] 1: pin: is missing; without one mail goes unencrypted, so the "
            "endpoint must be of this machine",
        ),
        (
            "[[gateways]]\nendpoint = 'tls:gateway.example:465'",
            "[gateways] 1: endpoint must be without TLS of its own, as in "
            '"tcp:127.0.0.1:2526"; pin turns ours on',
        ),
        (
            "[link]\nhost = 'tcp:192.0.2.1:2527'",
            "[link] host_pin: is missing; postmanctl gateway pair writes it",
        ),
        (
            "[link]\nlisten = ['unix:a', 'tcp:2526']",
            "[link] host_pin: is missing; postmanctl gateway pair writes it",
        ),
        (
            "[exit]\nsource = ['0.0.0.0']",
            "[exit] source must be a list of this machine's addresses, one of IPv4 and "
            'one of IPv6 at most, as in ["203.0.113.25"]',
        ),
        (
            "[[gateways]]\nendpoint = ''",
            "[gateways] 1: endpoint must be an endpoint string like "
            '"tcp:127.0.0.1:2526"',
        ),
        (
            "[[gateways]]\nendpoint = 'unix:a'\n" * 2,
            "[gateways] endpoint: unix:a is named twice; remove one",
        ),
        (
            "[gateways]\nendpoint = 'unix:a'",
            "[gateways] must be written in double brackets, as in [[gateways]]",
        ),
        ("gateways = [5]", "[gateways] 1: must be a section of its own"),
        (
            "[metrics]\nlisten = ['tcp:9125']",
            "[metrics] listen must stay on this machine, as in "
            '"tcp:9125:interface=127.0.0.1" or "unix:/run/postmand/metrics"',
        ),
        (
            "[delays]\ndefault = 'later'",
            "[delays] default must be one of none, defer, batch, pool",
        ),
        (
            "[delays]\ndefer_min_seconds = 9\ndefer_max_seconds = 8",
            "[delays] defer_min_seconds must not be above defer_max_seconds",
        ),
        (
            "[delays]\nbatch_hours = ['noon']",
            "[delays] batch_hours: must be a list of whole numbers, as in [0, 12]",
        ),
        (
            "[delays]\nbatch_hours = [12, 12]",
            "[delays] batch_hours must be a list of different hours, as in [0, 12]",
        ),
        (
            "[relay]\nretry_first_seconds = 9\nretry_longest_seconds = 8",
            "[relay] retry_first_seconds must not be above retry_longest_seconds",
        ),
        (
            "[quota]\nstamps = { 26 = '20' }",
            "[quota] stamps: 26: must be a whole number without quotes",
        ),
        (
            "[quota]\nstamps = { many = 20 }",
            "[quota] stamps must map bits to recipients, as in { 26 = 20 }",
        ),
        (
            "[biff]\nendpoint = 'tcp:irc.example.org:6667'",
            '[biff] endpoint must stay on this machine, as in "tcp:127.0.0.1:6668", or '
            'bring TLS, as in "tls:irc.example.org:6697"',
        ),
        (
            "[biff]\nlogin = 'sasl'\npassword = 'hunter2'",
            '[biff] password must be "file:PATH" or "credential:NAME" (systemd\'s), '
            "and never the password itself",
        ),
        (
            "[biff]\nlogin = 'sasl'",
            '[biff] password: goes with login = "sasl" or "nickserv"; add what is '
            "missing",
        ),
        (
            "[biff]\npassword = 'file:x'",
            '[biff] password: goes with login = "sasl" or "nickserv"; add what is '
            "missing",
        ),
        (
            "[biff]\nmethods = ['tags', 'acc']",
            "[biff] methods: none is left; tags and state need filtered = false, acc "
            "and status a services_host",
        ),
        (
            "[biff]\nmethods = ['whois', 'whois']",
            "[biff] methods must be some of tags, state, whois, acc, status, each once",
        ),
        (
            "[biff]\nchannels = ['#a', '#A']",
            '[biff] channels must be a list of different channels, as in ["#mail.i2p"]',
        ),
        ("[biff]\nnick = '1st'", '[biff] nick must be a nick of IRC, as in "biff"'),
        (
            "[biff]\naccount = 'a b'",
            '[biff] account must be a nick of IRC, as in "biff"',
        ),
        (
            "[biff]\nservices_host = 'a b'",
            "[biff] services_host must be the host that services have, as in "
            '"services.example"',
        ),
        (
            "[biff]\naccounts_per_nick = 33",
            "[biff] accounts_per_nick must be between 1 and 32",
        ),
        (
            "[node]\nkey = 'secret'",
            '[node] key must be "credential:NAME" (systemd\'s), "passphrase" (asked '
            'at the start) or "file:PATH" (for development)',
        ),
        ("source = 'x'", 'there is no section "source"; remove it'),
    ],
)
def test_lines(text: str, line: str) -> None:
    """Each fault has its one line, to the letter."""
    assert faulty(text) == f"{PLACE}: {line}"


@pytest.mark.long
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
        ("node", "key", '"file:"'),
        ("node", "key", '"credential"'),
        ("quota", "per_day", "-1"),
        ("quota", "stamps", "{ 65 = 1 }"),
        ("quota", "stamps", "{ 026 = 1 }"),
        ("quota", "stamps", "{ 26 = 0 }"),
        ("delays", "batch_hours", "[]"),
        ("delays", "batch_hours", "[24]"),
        ("delays", "batch_hours", "[true]"),
        ("delays", "pool_set", "1"),
        ("delays", "pool_hours", "0"),
        ("delays", "tick_seconds", "0"),
        ("relay", "at_once", "0"),
        ("relay", "give_up_seconds", "59"),
        ("limits", "queue_messages", "0"),
        ("exit", "source", '["mx.example.org"]'),
        ("exit", "source", '["203.0.113.25:25"]'),
        ("exit", "source", '["203.0.113.0/24"]'),
        ("exit", "source", '[""]'),
        ("exit", "source", '["::"]'),
        ("exit", "source", '["fe80::1%eth0"]'),
        ("exit", "source", '["224.0.0.1"]'),
        ("exit", "source", '["203.0.113.25", "203.0.113.26"]'),
        ("exit", "source", '["203.0.113.25", "203.0.113.25"]'),
    ],
)
def test_bounds(section: str, key: str, value: str) -> None:
    """A value out of its bounds is named with its section and key, and the bounds."""
    line = faulty(f"[{section}]\n{key} = {value}")
    assert line.startswith(f"{PLACE}: [{section}]")
    assert key in line
    assert " must " in line


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


PIN = "sha256/" + "A" * 43 + "="


@pytest.mark.long
@pytest.mark.parametrize(
    ("endpoint", "pin"),
    [
        ("tcp:127.0.0.1:2526", ""),
        ("tcp:host=127.3.2.1:port=2526", ""),
        ("tcp:localhost:2526", ""),
        (r"tcp:\:\:1:2526", ""),
        ("unix:/run/gateway", ""),
        ("tcp:gateway.example:25", PIN),
        ("tcp:127.0.0.1:2526", PIN),
        ("i2p:abcd.b32.i2p", PIN),
    ],
)
def test_gateways(endpoint: str, pin: str) -> None:
    """Without TLS mail goes to this machine only; with it, anywhere."""
    text = f"[[gateways]]\nendpoint = '{endpoint}'\npin = '{pin}'"
    assert read(text).gateways == (Gateway(endpoint, pin),)


@pytest.mark.long
@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp:10.0.0.1:2526",
        "tcp:2526:host=192.0.2.1",
        "tcp:127.0.0.1.example:2526",
        "tcp:host=127.0.0.1.:port=1",
        r"tcp:\:\::2526",
        "tcp::2526",
        "tcp:192.0.2.1:2526:host=127.0.0.1",
        "tcp:0.0.0.0:2526",
        "i2p:abcd.b32.i2p",
        "tor:gateway.onion:25",
    ],
)
def test_gateways_without_tls(endpoint: str) -> None:
    """Nothing is sent readable to what may be another machine."""
    line = faulty(f"[[gateways]]\nendpoint = '{endpoint}'")
    assert line.startswith(f"{PLACE}: [gateways] 1: pin: is missing; ")


@pytest.mark.parametrize(
    "source", [[], ["203.0.113.25"], ["2001:db8::25"], ["127.0.0.2", "2001:db8::25"]]
)
def test_sources(source: list[str]) -> None:
    """Mail may leave from one address of each family."""
    exit_ = read(f"[exit]\nsource = {source}").exit
    assert exit_ is not None
    assert exit_.source == tuple(source)


def test_gateways_keep_their_order() -> None:
    """The first one named is the first one; each has its own values."""
    found = read(
        "[[gateways]]\nendpoint = 'unix:b'\nlmtp = true\n"
        "[[gateways]]\nendpoint = 'unix:a'\n"
    ).gateways
    assert found == (Gateway("unix:b", lmtp=True), Gateway("unix:a"))


@pytest.mark.parametrize(
    "place",
    [
        "tcp:9125:interface=127.0.0.1",
        "tcp:9125:127.0.0.1",
        "tcp:port=9125:interface=127.1.2.3",
        r"tcp6:9125:interface=\:\:1",
        "unix:/run/postmand/metrics:mode=660",
    ],
)
def test_metrics_here(place: str) -> None:
    """Loopback, in all its ways, and a socket in the file system are this machine."""
    metrics = read(f"[metrics]\nlisten = ['{place}']").metrics
    assert metrics is not None
    assert metrics.listen == (place,)


@pytest.mark.parametrize(
    "place",
    [
        "tcp:9125",
        "tcp:9125:interface=",
        "tcp:9125:interface=0.0.0.0",
        "tcp:9125:interface=192.0.2.1",
        "tcp:9125:interface=127.0.0.1.example",
        "tcp:9125:interface=1270.0.0.1",
        r"tcp6:9125:interface=\:\:",
        "tcp:interface=127.0.0.1:interface=0.0.0.0",
        "tcp:9125:backlog=127.0.0.1",
        "ssl:9125:interface=127.0.0.1",
        "i2p:9125:interface=127.0.0.1",
    ],
)
def test_metrics_elsewhere(place: str) -> None:
    """What others could reach, or what is not known to be local, is refused."""
    line = faulty(f"[metrics]\nlisten = ['unix:a', '{place}']")
    assert line.startswith(f"{PLACE}: [metrics] listen must stay on this machine")


def test_stamps() -> None:
    """Bits are written without quotes; a table without any sells nothing."""
    assert read("[quota]\nstamps = { 30 = 5 }").quota.stamps == {"30": 5}
    assert read("[quota.stamps]").quota.stamps == {}
    assert Quota().stamps == {"26": 20, "27": 40, "28": 80}


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


KEYS = [
    (section.name, key.name)
    for section, kind in (
        *((one, one.type) for one in attrs.fields(attrs.resolve_types(Config))),
        *(
            (attrs.fields_dict(Config)[name], kind)
            for name, kind in (
                ("submission", Submission),
                ("pop3", Pop3),
                ("gateways", Gateway),
                ("metrics", Metrics),
            )
        ),
    )
    if attrs.has(kind)
    for key in attrs.fields(kind)
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.dates()
    | st.text(max_size=10)
    | st.sampled_from(["unix:a", "tcp:1", "26", "pool", "tls:a", "::", "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.long
@given(st.sampled_from(KEYS), VALUES, st.integers(0, 3))
def test_hostile_values(place: tuple[str, str], value: Any, depth: int) -> None:
    """Whatever stands anywhere, it is taken, or refused with one line."""
    section, key = place
    table = ({section: {key: value}}, {section: [{key: value}]}, {section: value})
    with suppress(ConfigError):
        assert from_table((*table, {key: value})[depth], PLACE).source == PLACE


@pytest.mark.parametrize(
    "text",
    [
        r'"a\nb" = 1',
        r'node."a\u001b[2J\nb" = 1',
        r'aliases."a\nb" = "c d"',
        '[[gateways]]\nendpoint = "unix:\\n"\n' * 2,
    ],
)
def test_one_line(text: str) -> None:
    """No key and no value breaks the line of its fault, or steers a terminal."""
    assert faulty(text).isprintable()


def test_frozen() -> None:
    """Nothing changes a configuration once it is read."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        mail_host().limits.connections = 1  # type: ignore[misc]


def test_biff_asks_what_can_be_answered() -> None:
    """A filter and services without a host leave methods out; the order stays."""
    assert Biff().usable_methods == ("whois",)
    assert Biff(filtered=False).usable_methods == ("tags", "state", "whois")
    named = Biff(services_host="services.example", methods=("status", "whois", "acc"))
    assert named.usable_methods == ("status", "whois", "acc")


def test_biff_takes_what_networks_have() -> None:
    """Nicks, channels and hosts as IRC has them."""
    for nick in ("biff", "[biff]", "b", "a\\b^c_d|{e}`-9"):
        assert Biff(nick=nick, account=nick).nick == nick
    for channel in ("#mail.i2p", "&local", "#a#b", "#\u00e9"):
        assert Biff(channels=(channel,)).channels == (channel,)
    for host in ("services.", "services/network", "services.example", "fd00::1"):
        assert Biff(services_host=host).services_host == host
    for channel in ("#", "mail", "#a,b", "#a b", "#a\r\nQUIT", "#a\x07"):
        with pytest.raises(ValueError, match="channels"):
            Biff(channels=(channel,))
    for nick in ("", "a b", "a\r\nQUIT", "a" * 65, "-a", "\u00e9"):
        with pytest.raises(ValueError, match="nick"):
            Biff(nick=nick)


def test_names_of_the_pages() -> None:
    """Names and addresses without ports, in the one spelling that is looked for."""
    for host in ("localhost", "127.0.0.1", "[::1]", "hq.postman.i2p", "a" * 63):
        assert Web(hosts=(host,)).hosts == (host,)
    for host in (
        *("", "HQ.postman.i2p", "localhost:80", "a..b", ".a", "a.", "-a", "a-", "a_b"),
        *("::1", "[::1", "[::01]", "[]", "[::1]:80", "a/b", "a" * 64, "a." * 127 + "a"),
    ):
        with pytest.raises(ValueError, match="hosts"):
            Web(hosts=(host,))
    with pytest.raises(ValueError, match="hosts"):
        Web(hosts=())


def test_node_key_is_needed() -> None:
    """By gateways, by biff and by the pages; by nothing else."""
    assert not Config(submission=Submission(), pop3=Pop3()).needs_node_key
    assert mail_host().needs_node_key
    assert Config(biff=Biff()).needs_node_key
    assert Config(gateways=(Gateway("unix:a"),)).needs_node_key
