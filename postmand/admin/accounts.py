"""`postmanctl account …`: the accounts, as their operator sees and changes them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from postmand.admin.call import Call
from postmand.admin.terminal import CommandError
from postmand.config import Web
from postmand.rules.names import check_display_name, check_name
from postmand.rules.sizes import octets
from postmand.store.refusals import NameClosedError, NoSuchAccountError
from postmand.store.registry import Account, Registry

DAY_SECONDS = 86_400

# The word that gives a choice of delay back to the node.
DEFAULT = "default"

_WRITE_IT_DOWN = (
    "This is the recovery code of {name}. Write it down and keep it safe: it is shown "
    "this once, and without it a forgotten password loses the mailbox."
)


def add(call: Call) -> int:
    """Make an account and print its recovery code, alone on standard output."""
    name = check_name(call.options.name)
    check_display_name(call.options.display_name)
    registry = call.registry(make=True)
    if _exists(registry, name):
        # Before a password is asked for; the store refuses it too.
        raise CommandError(f"there is an account {name} already; choose another name")
    if not call.options.reopen and registry.is_closed(name, _today(call)):
        raise NameClosedError(f"the name {name} was an account's that was removed")
    if name in call.config.aliases:
        raise CommandError(
            f"{call.config.source}: [aliases] {name}: mail for {name} goes to "
            f"{call.config.aliases[name]}; choose another name, or remove the alias"
        )
    password = _new_password(call, "Password")
    code = registry.add(
        name,
        password,
        day=_today(call),
        display_name=call.options.display_name,
        reopen=call.options.reopen,
    )
    _show_code(call, code)
    return 0


def list_all(call: Call) -> int:
    """Print a line for each account: name, state, size used, display name."""
    found = call.registry().accounts()
    if call.options.json:
        call.terminal.say(json.dumps([_table(account) for account in found], indent=2))
        return 0
    names = max((len(account.name) for account in found), default=0)
    for account in found:
        line = (
            f"{account.name:<{names}}  {_state(account):<8}  "
            f"{octets(account.used_bytes):>9}  {account.display_name}"
        )
        call.terminal.say(line.rstrip())
    return 0


def show(call: Call) -> int:
    """Print all that the node can tell of one account."""
    account = call.registry().show(call.options.name)
    if call.options.json:
        call.terminal.say(json.dumps(_table(account), indent=2))
        return 0
    limit = call.config.mailboxes.max_bytes
    rows = {
        "name": account.name,
        "address": f"{account.name}@{call.config.node.mail_domain}",
        "display name": account.display_name or "(none)",
        "state": _state(account),
        "made": _day(account),
        "delay": account.delay or _default_delay(call),
        "messages": str(account.messages),
        "used": f"{octets(account.used_bytes)} of {octets(limit)}",
    }
    for key, value in rows.items():
        call.terminal.say(f"{key + ':':<13} {value}")
    return 0


def passwd(call: Call) -> int:
    """Change a password: the old one first, then the new one."""
    registry, name = _known(call)
    old = call.secrets.known("Old password")
    registry.set_password(name, old, _new_password(call, "New password"))
    call.terminal.say(f"the password of {name} is changed")
    return 0


def recover(call: Call) -> int:
    """Set a new password with the recovery code; print the next recovery code."""
    registry, name = _known(call)
    code = call.secrets.known("Recovery code").decode("ascii", "replace")
    _show_code(call, registry.recover(name, code, _new_password(call, "New password")))
    return 0


def set_display_name(call: Call) -> int:
    """Set the name that stands beside the address; an empty one removes it."""
    call.registry().set_display_name(call.options.name, call.options.text)
    call.terminal.say(f"the display name of {call.options.name} is set")
    return 0


def set_delay(call: Call) -> int:
    """Set when mail for the Internet leaves, or have the node decide again."""
    name, chosen = call.options.name, call.options.delay
    call.registry().set_delay(name, "" if chosen == DEFAULT else chosen)
    shown = _default_delay(call) if chosen == DEFAULT else chosen
    call.terminal.say(f"the delay of {name} is set: {shown}")
    return 0


def disable(call: Call) -> int:
    """Close an account: no login, no mail taken for it; what it holds stays."""
    call.registry().disable(call.options.name)
    call.terminal.say(f"{call.options.name} is disabled; its mailbox stays as it is")
    return 0


def enable(call: Call) -> int:
    """Open a disabled account again."""
    call.registry().enable(call.options.name)
    call.terminal.say(f"{call.options.name} is open")
    return 0


def remove(call: Call) -> int:
    """Remove an account and its mailbox, once its name was typed or --yes given."""
    registry, name = _known(call)
    if not call.options.yes:
        held = registry.show(name).messages
        typed = call.terminal.prompt(
            f"The account {name} and its mailbox (messages: {held}) will be gone for "
            "good. Type the name to go on: "
        )
        if typed != name:
            raise CommandError(
                f"{name} was not removed; type its name exactly, or use --yes"
            )
    days = (call.config.web or Web()).closed_name_days
    registry.remove(name, closed_until=_today(call) + days if days else None)
    call.terminal.say(f"the account {name} and its mailbox are gone for good")
    if days:
        call.terminal.note(
            f"the name stays closed for {days} days; postmanctl account add --reopen "
            "gives it to somebody all the same"
        )
    return 0


def _today(call: Call) -> int:
    """Return the day, counted from 1970-01-01 UTC."""
    return int(call.seconds() // DAY_SECONDS)


def _known(call: Call) -> tuple[Registry, str]:
    """Return the register and the name of an account that is there.

    Raises NoSuchAccountError before anything is asked for.
    """
    registry = call.registry()
    return registry, registry.show(call.options.name).name


def _exists(registry: Registry, name: str) -> bool:
    try:
        registry.show(name)
    except NoSuchAccountError:
        return False
    return True


def _new_password(call: Call, what: str) -> bytes:
    """Read a password that is being chosen; raises CommandError for a short one."""
    password = call.secrets.new(what)
    least = call.config.accounts.min_password_length
    if len(password.decode(errors="replace")) < least:
        raise CommandError(
            f"the password has fewer than {least} characters; choose a longer one"
        )
    return password


def _show_code(call: Call, code: str) -> None:
    """Print the code on standard output, and on standard error what it is."""
    call.terminal.note(_WRITE_IT_DOWN.format(name=call.options.name))
    call.terminal.say(code)


def _state(account: Account) -> str:
    return "disabled" if account.disabled else "open"


def _default_delay(call: Call) -> str:
    return f"{DEFAULT} ({call.config.delays.default})"


def _day(account: Account) -> str:
    moment = datetime.fromtimestamp(account.created_day * DAY_SECONDS, UTC)
    return moment.date().isoformat()


def _table(account: Account) -> dict[str, str | int]:
    return {
        "name": account.name,
        "state": _state(account),
        "used_bytes": account.used_bytes,
        "messages": account.messages,
        "made": _day(account),
        "delay": account.delay or DEFAULT,
        "display_name": account.display_name,
    }
