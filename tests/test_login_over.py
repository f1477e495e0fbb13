"""Sessions end with the login they began with."""

from __future__ import annotations

import base64

from tests.sessions import PASSWORD, HouseCase

MESSAGE = b"Subject: x\r\n\r\nx\r\n.\r\n"
ENVELOPE = b"MAIL FROM:<jondoe@mail.i2p>\r\nRCPT TO:<alice@mail.i2p>\r\nDATA\r\n"


class LoginOverTest(HouseCase):
    """Open sessions of an account that changes."""

    def changes(self) -> None:
        """Have another hand change the password."""
        self.house.store.set_password("jondoe", b"another word")

    def test_submission(self) -> None:
        """After passwd an open session sends nothing more."""
        session = self.house.submitting()
        self.changes()
        session.send(ENVELOPE)
        self.assertTrue(session.send(MESSAGE).startswith(b"550 5.7.1 "))
        self.assertEqual(self.house.mailbox("alice"), [])

    def test_disabled(self) -> None:
        """A disabled account sends nothing more, either."""
        session = self.house.submitting()
        self.house.store.disable("jondoe")
        session.send(ENVELOPE)
        self.assertTrue(session.send(MESSAGE).startswith(b"550 5.7.1 "))
        self.assertEqual(self.house.mailbox("alice"), [])

    def test_collecting(self) -> None:
        """After passwd an open POP3 session reads nothing more, and is closed."""
        for command in (b"RETR 1\r\n", b"TOP 1 0\r\n", b"DELE 1\r\nQUIT\r\n"):
            self.house = self.build()
            self.house.put("jondoe", b"Subject: x\r\n\r\nsecret\r\n")
            session = self.house.collecting()
            self.changes()
            said = session.send(command)
            self.assertIn(b"-ERR [AUTH] ", said)
            self.assertNotIn(b"secret", said)
            self.assertFalse(session.open)
            self.assertEqual(len(self.house.mailbox("jondoe")), 1)

    def test_name_that_is_anothers_now(self) -> None:
        """A remembered login of a removed account opens nobody else's."""
        self.house.submitting()
        self.house.store.remove("jondoe")
        self.house.store.add("jondoe", b"the new owner's")
        session = self.house.submit()
        session.send(b"EHLO x\r\n")
        answer = session.send(b"AUTH PLAIN " + plain(b"jondoe", PASSWORD) + b"\r\n")
        self.assertTrue(answer.startswith(b"535 "), answer)


def plain(name: bytes, password: bytes) -> bytes:
    """Return a response of AUTH PLAIN."""
    return base64.b64encode(b"\0" + name + b"\0" + password)
