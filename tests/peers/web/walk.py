"""Every page there is, in turn, and what it shows when something is wrong."""

from __future__ import annotations

from collections.abc import Iterator

from playwright.sync_api import Page

from tests.peers.web.node import SIGNUP_BITS
from tests.peers.web.openpgp import Keyring
from tests.peers.web.person import Person

STRANGERS = (
    "home",
    "login",
    "login-wrong",
    "login-first",
    "recover",
    "recover-wrong",
    "no-such-page",
    "clients",
    "create",
    "create-minting",
    "create-wrong",
    "recovery-code",
)
MEMBERS = (
    "account",
    "account-done",
    "account-wrong",
    "biff-token",
    "quota",
    "quota-wrong",
    "quota-bought",
    "keys-empty",
    "own-key",
    "own-key-wrong",
    "own-key-published",
    "keys",
    "knows",
    "member-clients",
    "deleted",
)
NAMES = (*STRANGERS, *MEMBERS)


def walk(person: Person) -> Iterator[str]:
    """Bring the person's window to a page, and yield its name; then to the next.

    The names are those of NAMES, in order. The page must be left as it was found.
    """
    yield from _stranger(person, person.page)
    yield from _member(person, person.page)


def _stranger(person: Person, page: Page) -> Iterator[str]:
    page.goto("/")
    yield "home"
    page.goto("/login")
    yield "login"
    person.fill(name=person.name, password="not the right one")
    person.press("Log in")
    yield "login-wrong"
    page.goto("/account")
    yield "login-first"
    page.goto("/recover")
    yield "recover"
    person.fill(name=person.name, code="ABCD", new="one of them", again="another one")
    person.press("Set the password")
    yield "recover-wrong"
    page.goto("/no-such-page")
    yield "no-such-page"
    page.goto("/clients")
    yield "clients"
    page.goto("/create")
    yield "create"
    yield from _sign_up(person, page)


def _sign_up(person: Person, page: Page) -> Iterator[str]:
    # A stamp of so many bits is not made while the page is looked at.
    page.evaluate("document.querySelector('[data-mint]').dataset.bits = '40'")
    person.fill(name=person.name)
    person.press("Make the stamp here")
    page.get_by_text("so far").first.wait_for()
    yield "create-minting"
    person.press("Stop")
    page.reload()
    person.fill(name=person.name, password=person.password, again="some other words")
    person.paste(SIGNUP_BITS)
    person.press("Create the account")
    yield "create-wrong"
    person.fill(password=person.password, again=person.password)
    person.press("Create the account")
    yield "recovery-code"
    person.write_down()


def _member(person: Person, page: Page) -> Iterator[str]:
    yield "account"
    person.press("Set the delay")
    yield "account-done"
    person.fill(old="not this one", new="one of them", again="another one")
    person.press("Change the password")
    yield "account-wrong"
    person.press("Make a token")
    yield "biff-token"
    yield from _quota(person, page)
    yield from _keys(person, page)
    page.goto("/knows")
    yield "knows"
    page.goto("/clients")
    yield "member-clients"
    page.goto("/account")
    gone = person.part("Delete the account")
    gone.get_by_label("Type the account's name").fill(person.name)
    gone.get_by_label("Password").fill(person.password)
    person.press("Delete the account", gone)
    yield "deleted"


def _quota(person: Person, page: Page) -> Iterator[str]:
    page.goto("/quota")
    yield "quota"
    person.say("The stamp", "1:2:3")
    person.press("Buy")
    yield "quota-wrong"
    person.paste(19)
    person.press("Buy")
    yield "quota-bought"


def _keys(person: Person, page: Page) -> Iterator[str]:
    page.goto("/keys")
    yield "keys-empty"
    page.goto("/account/key")
    yield "own-key"
    person.say("The key", "no key at all")
    person.press("Publish")
    yield "own-key-wrong"
    own = Keyring(person.home / "own")
    own.generate(person.address)
    person.say("The key", own.export(person.address))
    own.close()
    person.press("Publish")
    yield "own-key-published"
    page.goto("/keys")
    yield "keys"
