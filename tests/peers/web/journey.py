"""From a stranger to a member and away again, step by step, with scripts or without."""

from __future__ import annotations

import poplib
import re
from collections.abc import Callable, Mapping

import pytest
from playwright.sync_api import expect

from tests.flow.house import take_all
from tests.peers.web.node import SIGNUP_BITS
from tests.peers.web.openpgp import Keyring
from tests.peers.web.person import Person

_LETTER = (
    b"From: alice@mail.i2p\r\nTo: newcomer@mail.i2p\r\nSubject: before\r\n\r\n"
    b"Handed in before anything was changed.\r\n"
)
_NEVER_SET = "never the password"


def register(person: Person) -> None:
    """An account, paid with a stamp; the recovery code is written down."""
    person.page.get_by_role("link", name="Create an account").first.click()
    person.fill(
        name=person.name,
        display_name="New Comer",
        password=person.password,
        again=person.password,
    )
    if person.scripts:
        person.mint()
    else:
        person.paste(SIGNUP_BITS)
    person.press("Create the account")
    assert person.heading() == "Your account is made"
    person.write_down()
    assert person.heading() == "Manage account"
    person.sees(person.address)


def log_in(person: Person) -> None:
    """Out and in again; a wrong password is told, and tells nothing."""
    person.log_out()
    right, person.password = person.password, "not the right one"
    person.log_in()
    person.sees("The name and the password do not go together.")
    person.password = right
    person.log_in()
    assert person.heading() == "Manage account"


def delay(person: Person) -> None:
    """The batch delay is set, and the page shows it from then on."""
    person.page.get_by_label(re.compile("^Batch")).check()
    person.press("Set the delay")
    person.sees("The delay is set.")
    person.page.reload()
    expect(person.page.get_by_label(re.compile("^Batch"))).to_be_checked()


def buy(person: Person) -> None:
    """Forty recipients, and with hashcash(1) eighty instead; no stamp buys twice."""
    person.go("Quota")
    if person.scripts:
        person.page.get_by_label("What to buy").select_option("19")
        person.mint()
    else:
        person.paste(19)
    used = person.page.get_by_label("The stamp", exact=True).input_value()
    person.press("Buy")
    person.sees("Thank you.")
    assert "40 recipients" in person.part("What is left").inner_text()
    person.paste(20)
    person.press("Buy")
    person.sees("Thank you.")
    assert "80 recipients" in person.part("What is left").inner_text()
    person.say("The stamp", used)
    person.press("Buy")
    person.sees("Nothing was bought.")


def biff(person: Person) -> None:
    """A token for biff, with what to say to it."""
    person.go("Account")
    person.press("Make a token")
    said = person.page.get_by_text(re.compile(rf"^\.register {person.address} \S+$"))
    first = said.inner_text()
    person.press("Make a token")
    assert said.inner_text() != first


def change_password(person: Person) -> None:
    """The old mail is still there under a new password, and under the new one only."""
    person.house.submit("alice", [person.address], _LETTER)
    old, new = person.password, "quite some other words"
    person.go("Account")
    person.fill(old=old, new=new, again=new)
    person.press("Change the password")
    person.sees("The password is changed.")
    person.password = new
    assert b"Handed in before" in _collected(person)[0]


def recover(person: Person) -> None:
    """A lost password: the code opens the mailbox, once, and the next code is shown."""
    person.log_out()
    person.go("Log in")
    person.page.get_by_role("link", name=re.compile("recovery code")).click()
    used, new = person.code, "and again some others"
    person.fill(name=person.name, code=used, new=new, again=new)
    person.press("Set the password")
    person.write_down()
    assert person.code != used
    person.password = new
    assert b"Handed in before" in _collected(person)[0]
    person.page.goto("/recover")
    person.fill(name=person.name, code=used, new=_NEVER_SET, again=_NEVER_SET)
    person.press("Set the password")
    assert person.page.get_by_role("alert").is_visible()
    person.log_in()
    assert person.heading() == "Manage account"


def publish(person: Person) -> None:
    """A key of gpg's is published, is in the directory, and gpg encrypts to it."""
    own = Keyring(person.home / "own")
    own.generate(person.address, "elsewhere@example.org")
    person.page.goto("/account/key")
    person.say("The key", own.export(person.address))
    person.press("Publish")
    person.sees("Your key is published.")
    person.go("Keys")
    shown = person.page.get_by_role("listitem").filter(has_text=person.address)
    assert own.fingerprint(person.address) in shown.inner_text().replace(" ", "")
    others = Keyring(person.home / "others")
    directory = "/.well-known/openpgpkey"
    local, _, domain = person.address.partition("@")
    digest = own.wkd_hash(person.address)
    for path in (f"{domain}/hu/{digest}?l={local}", f"hu/{digest}?l={local}"):
        assert person.house.refuses(f"{directory}/{path}") == 401
        login = person.name, person.password
        kind, key = person.house.fetch(f"{directory}/{path}", login)
        assert kind == "application/octet-stream"
        others.take(key)
    assert "elsewhere@example.org" not in others.listing()
    letter = others.encrypt(person.address, b"for you alone")
    assert own.decrypt(letter) == b"for you alone"
    own.close()
    others.close()


def withdraw(person: Person) -> None:
    """A key that is taken back is in no directory any more."""
    person.page.goto("/account/key")
    person.press("Take it back")
    person.sees("Your key is taken back.")
    person.go("Keys")
    assert not person.page.get_by_text(person.address).count()


def look_around(person: Person) -> None:
    """What the node knows, and what a mail client should be told."""
    person.go("What we know")
    person.sees("New Comer")
    person.go("Mail client")
    person.sees("127.0.0.1:7659")


def delete(person: Person) -> None:
    """The account is gone, from the pages and from POP3; nobody gets its name."""
    person.go("Account")
    gone = person.part("Delete the account")
    gone.get_by_label("Type the account's name").fill("somebody")
    gone.get_by_label("Password").fill(person.password)
    person.press("Delete the account", gone)
    person.sees("Type the account's name exactly")
    gone.get_by_label("Type the account's name").fill(person.name)
    gone.get_by_label("Password").fill(person.password)
    person.press("Delete the account", gone)
    assert person.heading() == "The account is gone"
    person.log_in()
    person.sees("The name and the password do not go together.")
    with person.house.pop() as session:
        session.user(person.name)
        with pytest.raises(poplib.error_proto, match="-ERR"):
            session.pass_(person.password)


def closed(person: Person) -> None:
    """Somebody else asks for the name, with a stamp of their own."""
    person.go("Create an account")
    person.fill(name=person.name, password=_NEVER_SET, again=_NEVER_SET)
    person.paste(SIGNUP_BITS)
    person.press("Create the account")
    assert person.heading() == "Create an account"
    assert person.page.get_by_role("alert").is_visible()


def _collected(person: Person) -> list[bytes]:
    with person.house.pop() as session:
        session.user(person.name)
        session.pass_(person.password)
        return take_all(session, delete=False)


def take(person: Person, step: str) -> None:
    """Take a step, and see that there is nothing to complain of."""
    assert not person.lost, f"{person.lost} failed, and no step after it can be taken"
    person.lost = step
    try:
        STEPS[step](person)
        person.window.complaints.check()
    except Exception as error:
        error.add_note(f"{person.page.url}: {person.page.inner_text('main')}")
        error.add_note(person.house.told())
        raise
    person.lost = ""


STEPS: Mapping[str, Callable[[Person], None]] = {
    step.__name__: step
    for step in (
        register,
        log_in,
        delay,
        buy,
        biff,
        change_password,
        recover,
        publish,
        withdraw,
        look_around,
        delete,
        closed,
    )
}
