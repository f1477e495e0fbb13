"""Recipients on the Internet at the submission server: what is reserved comes back."""

from __future__ import annotations

from attrs import evolve

from postmand.config import Delays
from postmand.postoffice import Abroad, Allowance
from postmand.rules.quota import Rules
from postmand.rules.routing import Routing
from tests.contracts.memory_quotas import MemoryQuotas
from tests.sessions import Held, HouseCase, Session, reply_codes

MAIL = b"MAIL FROM:<jondoe@mail.i2p>\r\n"
RCPT = b"RCPT TO:<bob@example.org>\r\n"
LAST = Rules(per_day=1, first_day=1)
MESSAGE = b"Subject: x\r\n\r\nx\r\n.\r\n"


class ReservationTest(HouseCase):
    """A member with a single recipient left; the quotas' answers wait for a step."""

    def setUp(self) -> None:
        """Give the house a way to the Internet."""
        super().setUp()
        office, clock = self.house.office, self.house.clock
        domains = office.settings.routing.domains
        office.settings = evolve(
            office.settings, routing=Routing(domains, {}, relays=True)
        )
        self.quotas = Held(MemoryQuotas(), "standing")
        allowance = Allowance(self.quotas, LAST, clock.seconds)
        office.abroad = Abroad(allowance, Delays(), lambda: int(clock.seconds()))

    def tell(self) -> None:
        """Answer what was asked of the quotas."""
        while self.quotas.waiting:
            self.quotas.step()

    def rcpt(self, session: Session, address: str = "bob@example.org") -> int:
        """Name a recipient; return the answer's code."""
        heard = len(session.said)
        session.line(f"RCPT TO:<{address}>".encode())
        self.tell()
        return reply_codes(session.said[heard:])[-1]

    def begun(self) -> Session:
        """Log in and name the sender."""
        session = self.house.submitting()
        session.send(MAIL)
        return session

    def assert_one_left(self) -> None:
        """See that a new session gets the one recipient, and no other."""
        session = self.begun()
        self.assertEqual(self.rcpt(session), 250)
        self.assertEqual(self.rcpt(session, "carol@example.org"), 452)

    def test_lost_while_it_is_judged(self) -> None:
        """A connection that goes while RCPT is judged leaves nothing reserved."""
        session = self.begun()
        session.send(RCPT)
        session.drop()
        self.tell()
        self.assert_one_left()

    def test_given_back(self) -> None:
        """RSET, EHLO, HELO, QUIT, a lost connection and a refused message give back."""
        for line in (b"RSET", b"EHLO x", b"HELO x", b"QUIT"):
            session = self.begun()
            self.assertEqual(self.rcpt(session), 250)
            session.line(line)
        session = self.begun()
        self.assertEqual(self.rcpt(session), 250)
        session.drop()
        session = self.begun()
        self.assertEqual(self.rcpt(session), 250)
        said = session.send(b"DATA\r\nPostman-Delay: never\r\n\r\nx\r\n.\r\n")
        self.assertEqual(reply_codes(said), [354, 554])
        session.drop()
        self.assert_one_left()

    def test_lost_while_it_is_taken(self) -> None:
        """Whoever goes after the dot has paid, once."""
        session = self.begun()
        self.assertEqual(self.rcpt(session), 250)
        session.send(b"DATA\r\n" + MESSAGE)
        session.drop()
        ((outgoing, spending),) = self.house.store.mailboxes.sent
        self.assertEqual(outgoing.recipients, (b"bob@example.org",))
        self.assertEqual(spending.recipients, 1)
        allowance = self.house.office.abroad.allowance
        self.assertEqual(allowance._reserved.held(spending.account), 0)

    def test_the_same_recipient_counts_once(self) -> None:
        """However it is written."""
        session = self.begun()
        for address in (
            "jim@b\xfccher.example.org",
            "Jim@B\xdcCHER.Example.ORG.",
            "jim@xn--bcher-kva.example.org",
            '"jim"@xn--bcher-kva.example.org',
        ):
            self.assertEqual(self.rcpt(session, address), 250)
        self.assertEqual(self.rcpt(session, "other@example.org"), 452)
        said = session.send(b"DATA\r\n" + MESSAGE)
        self.assertEqual(reply_codes(said), [354, 250])
        ((outgoing, spending),) = self.house.store.mailboxes.sent
        self.assertEqual(outgoing.recipients, (b"jim@xn--bcher-kva.example.org",))
        self.assertEqual(spending.recipients, 1)
