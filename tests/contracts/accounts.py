"""What IAccounts and IKeyring promise, as tests for any store.

Mixed into a case that gives `store`, `get`, `add`, `unlock`, `copy` and `operator`
(see stores.py).
"""

from __future__ import annotations

from zope.interface.verify import verifyObject

from postmand.interfaces import (
    IAccounts,
    IKeyring,
)
from tests.contracts.stores import LIMIT

HEADER = b"From: <a@mail.i2p>\r\nSubject: hello\r\n\r\n"


class AccountsPromises:
    """IAccounts and IKeyring."""

    def test_provides_its_interfaces(self):
        """Both objects have the methods that the seams name."""
        verifyObject(IAccounts, self.store.accounts)
        verifyObject(IKeyring, self.store.keyring)

    def test_unknown_name(self):
        """An unknown name is None for both questions."""
        self.assertIsNone(self.get(self.store.accounts.credential("nobody")))
        self.assertIsNone(self.get(self.store.accounts.recipient("nobody")))

    def test_credential_and_recipient_are_of_one_account(self):
        """Both views show the same account, name and public key."""
        member = self.add("jondoe")
        credential = self.get(self.store.accounts.credential("jondoe"))
        recipient = self.get(self.store.accounts.recipient("jondoe"))
        for view in (credential, recipient):
            self.assertEqual(
                (view.account, view.name, view.public_key),
                (member.account, "jondoe", member.public_key),
            )
        self.assertFalse(credential.disabled)
        self.assertEqual(recipient.free, LIMIT)

    def test_password_opens_and_another_does_not(self):
        """The right password gives the member, a wrong or empty one None."""
        self.add("jondoe")
        credential = self.get(self.store.accounts.credential("jondoe"))
        unlock = self.store.keyring.unlock
        self.assertEqual(unlock(credential, b"secret").name, "jondoe")
        for wrong in (b"", b"Secret", b"secret ", b"secret\0"):
            self.assertIsNone(unlock(credential, wrong))

    def test_unknown_name_opens_for_no_password(self):
        """None for a credential is None for a member, without an exception."""
        self.assertIsNone(self.store.keyring.unlock(None, b"secret"))

    def test_keys_are_the_same_at_each_login_and_each_accounts_own(self):
        """Sessions of one member share keys; two members share none."""
        first = self.add("jondoe")
        other = self.add("alice")
        again = self.unlock("jondoe")
        self.assertEqual(
            (first.secret_key, first.thread_key), (again.secret_key, again.thread_key)
        )
        self.assertEqual(
            4,
            len(
                {
                    first.secret_key,
                    first.thread_key,
                    other.secret_key,
                    other.thread_key,
                }
            ),
        )

    def test_keys_do_not_show(self):
        """A member in a traceback or a log line shows none of its keys."""
        member = self.add("jondoe")
        for key in (member.secret_key, member.thread_key):
            self.assertNotIn(repr(key), repr(member))

    def test_disabled_account_opens_for_nobody_and_takes_no_mail(self):
        """Disabled: a credential, no member, no recipient; enabled: as before."""
        self.add("jondoe")
        self.operator().disable("jondoe")
        credential = self.get(self.store.accounts.credential("jondoe"))
        self.assertTrue(credential.disabled)
        self.assertIsNone(self.store.keyring.unlock(credential, b"secret"))
        self.assertIsNone(self.get(self.store.accounts.recipient("jondoe")))
        self.operator().enable("jondoe")
        self.unlock("jondoe")

    def test_every_change_raises_the_version(self):
        """A login remembered before a change is seen to be old."""
        self.add("jondoe")
        operator = self.operator()
        versions = []
        for change in (
            lambda: None,
            lambda: operator.disable("jondoe"),
            lambda: operator.enable("jondoe"),
            lambda: operator.set_display_name("jondoe", "Jon Doe"),
            lambda: operator.set_password("jondoe", b"other"),
        ):
            change()
            credential = self.get(self.store.accounts.credential("jondoe"))
            versions.append(credential.version)
        self.assertEqual(versions, sorted(set(versions)))
        self.assertEqual(self.unlock("jondoe", b"other").version, versions[-1])

    def test_new_password_keeps_the_keys(self):
        """Another password, the same mailbox: and the old one is worth nothing."""
        before = self.add("jondoe")
        self.operator().set_password("jondoe", b"other")
        after = self.unlock("jondoe", b"other")
        self.assertEqual(before.secret_key, after.secret_key)
        credential = self.get(self.store.accounts.credential("jondoe"))
        self.assertIsNone(self.store.keyring.unlock(credential, b"secret"))

    def test_display_name(self):
        """The chosen name comes with the credential and with the member."""
        self.add("jondoe")
        self.operator().set_display_name("jondoe", "Jön")
        credential = self.get(self.store.accounts.credential("jondoe"))
        self.assertEqual(credential.display_name, "Jön")
        self.assertEqual(self.unlock("jondoe").display_name, "Jön")
