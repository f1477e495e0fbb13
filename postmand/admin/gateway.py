"""`postmanctl gateway`: setting one up, pairing it with a mail host, ending it."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from postmand.abroad import link_identity
from postmand.admin.call import Call
from postmand.admin.keys import add_passphrase, node_keys
from postmand.admin.settings_file import append_table, replace_values
from postmand.admin.terminal import CommandError
from postmand.admin.zone import records
from postmand.config import Config, Exchange, from_table
from postmand.gateway_keys import GatewayKeys
from postmand.link import pin_of
from postmand.pairing import GatewayText, HostText, PairingError, read
from postmand.rules import inbound
from postmand.rules.facts import facts_from_table
from postmand.store.database import make_directory
from postmand.store.retired import Retired

_TEMPLATE = """\
# A gateway: a way in and out between the Internet and a hidden mail host.
#
#   twistd -n --pidfile= postman --config {path}
#   postmanctl --config {path} doctor
#
# Every key there is, with its default and a word on it: etc/gateway.toml.

[node]
state = "{state}"
internet_domain = "{domain}"

[exchange]
listen = [{listen}]
host_name = "{host_name}"
certificate = "{certificate}"
private_key = "{private_key}"

[exit]

[link]
listen = ["tcp:2526:interface=127.0.0.1"]
host = "tcp:127.0.0.1:2527"
host_pin = ""
host_key = ""
"""


def add_parser(commands: Any) -> None:
    """Add `gateway` and what it does to the command line."""
    gateway = commands.add_parser("gateway", help="set up, pair and retire gateways")
    inner = gateway.add_subparsers(metavar="COMMAND", required=True)
    _add_init(inner)
    pair = inner.add_parser(
        "pair", help="exchange keys with the other end: prints our text, takes theirs"
    )
    pair.add_argument(
        "text", metavar="TEXT", nargs="?", help="what the other end prints"
    )
    pair.add_argument(
        "--endpoint",
        metavar="ENDPOINT",
        help="on a mail host: where the gateway is reached, as in tcp:127.0.0.1:7701",
    )
    add_passphrase(pair)
    pair.set_defaults(run=run_pair)
    listing = inner.add_parser("list", help="list the gateways of a mail host")
    listing.set_defaults(run=run_list)
    retire = inner.add_parser("retire", help="shut a gateway out, at once and for good")
    retire.add_argument("number", metavar="NUMBER", type=int, help="as in gateway list")
    retire.set_defaults(run=run_retire)
    shown = inner.add_parser("records", help="print the DNS records to publish")
    _add_names(shown)
    shown.set_defaults(run=run_records)
    explain = inner.add_parser(
        "explain", help="show what the seven steps say of facts in a TOML or JSON file"
    )
    explain.add_argument(
        "facts", metavar="MESSAGE-FACTS", help="the file, or - for stdin"
    )
    explain.set_defaults(run=run_explain)


def _add_init(inner: Any) -> None:
    init = inner.add_parser(
        "init", help="make a gateway's keys and configuration; prints its DNS records"
    )
    init.add_argument("--domain", required=True, help="as in i2pmail.org")
    init.add_argument("--host-name", required=True, help="as in mx.i2pmail.org")
    init.add_argument(
        "--state", default="var", help="the state directory (default: var)"
    )
    init.add_argument(
        "--certificate", default="", help="a certificate for port 25 (PEM)"
    )
    init.add_argument("--private-key", default="", help="and its key (PEM)")
    _add_names(init)
    init.set_defaults(run=run_init)


def _add_names(command: Any) -> None:
    command.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="IP",
        help="an address of the gateway, for its A or AAAA record; may be repeated",
    )
    command.add_argument(
        "--mx",
        action="append",
        default=[],
        metavar="NAME",
        help="another gateway of the domain, for MX and policy; may be repeated",
    )


def run_init(call: Call) -> int:
    """Make keys and configuration; nothing that is there is overwritten."""
    options, terminal = call.options, call.terminal
    if not options.config:
        raise CommandError(
            "name the file to write: postmanctl --config etc/gateway.toml gateway init"
        )
    path = Path(options.config)
    text = _TEMPLATE.format(
        path=path,
        state=options.state,
        listen=", ".join(_listen(options.address)),
        domain=options.domain,
        host_name=options.host_name,
        certificate=options.certificate,
        private_key=options.private_key,
    )
    config = from_table(tomllib.loads(text), str(path))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CommandError(
            f"{path} is there already; remove it, or name another with --config"
        ) from None
    keys = GatewayKeys(config)
    keys.make()
    terminal.say(f"Written: {path}, and keys in {config.state}. Publish in the DNS:")
    terminal.say()
    _say_records(call, config)
    terminal.note(
        "next: postmanctl gateway pair, here and on the mail host; each takes the "
        "other's text"
    )
    return 0


def _listen(addresses: Sequence[str]) -> list[str]:
    """Return where mail is taken, as strings of TOML: what is published is answered.

    An IPv6 address is named: where `tcp6:25` takes IPv4 as well, as Linux has it, the
    two would be in each other's way.
    """
    found = ['"tcp:25"']
    for one in map(_address, addresses):
        if one.version == 6:
            colons = str(one).replace(":", r"\:")
            found.append(f"'tcp6:25:interface={colons}'")
    return found


def _address(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise CommandError(f"--address {text}: that is no address") from None


def run_records(call: Call) -> int:
    """Print the DNS records."""
    _say_records(call, call.config)
    return 0


def _say_records(call: Call, config: Config) -> None:
    domain, name = config.node.internet_domain, _exchange(config).host_name
    tlsa = GatewayKeys(config).tlsa()
    certified = bool(_exchange(config).certificate)
    options = call.options
    for line in records(
        domain, name, tlsa, options.address, certified=certified, others=options.mx
    ):
        call.terminal.say(line)


def run_pair(call: Call) -> int:
    """Print our text; with the other's, write down what it says."""
    config = call.config
    if config.exchange is not None or config.link is not None:
        return _pair_gateway(call, config)
    return _pair_host(call, config)


def _pair_gateway(call: Call, config: Config) -> int:
    host_name = _exchange(config).host_name
    if call.options.text:
        told = _read(call.options.text)
        if not isinstance(told, HostText):
            raise CommandError(
                "that is a gateway's text; here the mail host's is needed"
            )
        values = {"host_pin": told.pin, "host_key": str(told).split(":")[3]}
        replace_values(Path(config.source), "link", values)
        call.terminal.note(f"the mail host's keys are written to {config.source}")
    pin = pin_of(GatewayKeys(config).link())
    call.terminal.say(str(GatewayText(pin, host_name)))
    return 0


def _pair_host(call: Call, config: Config) -> int:
    keys = node_keys(call)
    if call.options.text:
        told = _read(call.options.text)
        if not isinstance(told, GatewayText):
            raise CommandError("that is a mail host's text; here a gateway's is needed")
        pins = [one.pin for one in config.gateways]
        if told.pin in pins:
            _let_in_again(call, config, told, pins.index(told.pin) + 1)
        else:
            _add_gateway(call, config, told)
    text = HostText(pin_of(link_identity(keys)), keys.key.public_key)
    call.terminal.say(str(text))
    return 0


def _add_gateway(call: Call, config: Config, told: GatewayText) -> None:
    """Write a gateway down that has no entry yet."""
    endpoint = call.options.endpoint
    if not endpoint:
        raise CommandError(
            "say where the gateway is reached: --endpoint tcp:127.0.0.1:7701"
        )
    if not config.source or not Path(config.source).exists():
        raise CommandError("name the mail host's file with --config")
    for number, one in enumerate(config.gateways, 1):
        if one.endpoint == endpoint:
            raise CommandError(
                f"gateway {number} is reached there already; take its [[gateways]] out "
                f"of {config.source}, or name another --endpoint"
            )
    table = {"endpoint": endpoint, "pin": told.pin, "lmtp": True}
    append_table(Path(config.source), "gateways", table)
    Retired(config.state).forget(told.pin)
    call.terminal.note(
        f"{told.host_name} is written to {config.source}; restart the node"
    )


def _let_in_again(call: Call, config: Config, told: GatewayText, number: int) -> None:
    """Take back that a gateway was shut out; its entry is as good as before."""
    retired = Retired(config.state)
    known, endpoint = config.gateways[number - 1].endpoint, call.options.endpoint
    if not retired.holds(told.pin):
        raise CommandError("this gateway is paired already; see gateway list")
    if endpoint and endpoint != known:
        raise CommandError(
            f"gateway {number} was reached at {known}; write the new endpoint into its "
            f"[[gateways]] in {config.source}, pair again without --endpoint, and "
            "restart the node"
        )
    retired.forget(told.pin)
    call.terminal.note(
        f"{told.host_name} is gateway {number} again, reached at {known}; a running "
        "node need not be restarted"
    )


def run_list(call: Call) -> int:
    """List the gateways, by number, with where they are and their pins."""
    retired = Retired(call.config.state)
    for number, one in enumerate(call.config.gateways, 1):
        state = "retired" if one.pin and retired.holds(one.pin) else "in use"
        call.terminal.say(f"{number:>3}  {state:<8} {one.endpoint}  {one.pin or '-'}")
    return 0


def run_retire(call: Call) -> int:
    """Shut a gateway out: a running node looks each second who is."""
    gateways = call.config.gateways
    if not 1 <= call.options.number <= len(gateways):
        raise CommandError("there is no such gateway; see postmanctl gateway list")
    gateway = gateways[call.options.number - 1]
    if not gateway.pin:
        raise CommandError(
            "it has no pin to shut out; take it out of the configuration"
        )
    make_directory(call.config.state)
    Retired(call.config.state).add(gateway.pin)
    call.terminal.say(
        f"gateway {call.options.number} is shut out, both ways; a running node cuts "
        "its connections within two seconds. Take its name out of MX and SPF now, and "
        "its table out of the configuration when you like; to let it in again, give "
        "its text to postmanctl gateway pair"
    )
    return 0


def run_explain(call: Call) -> int:
    """Show each of the seven steps, what it says and why."""
    where = call.options.facts
    octets = call.terminal.stdin.read() if where == "-" else Path(where).read_bytes()
    try:
        text = octets.decode()
        table = (
            json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
        )
        facts = facts_from_table(table)
    except (ValueError, TypeError, KeyError) as error:
        raise CommandError(f"{where}: these are no facts: {error}") from None
    settings = _exchange(call.config)
    for step in inbound.explain(facts, settings):
        call.terminal.say(f"{step.name:<18} {step.outcome:<8} {step.why}")
    verdict = inbound.judge(facts, settings)
    told = "accepted" if verdict is None else verdict.line().decode()
    call.terminal.say(f"{'verdict':<18} {told}")
    return 0


def _exchange(config: Config) -> Exchange:
    if config.exchange is None or config.link is None:
        raise CommandError(
            f"{config.source} is no gateway's; make one with postmanctl gateway init"
        )
    return config.exchange


def _read(text: str) -> HostText | GatewayText:
    try:
        return read(text)
    except PairingError as error:
        raise CommandError(str(error)) from None
