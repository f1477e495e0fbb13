"""The gateway's server for the Internet: who may come in, and what is taken over."""

from __future__ import annotations

import re

import pytest
from attrs import evolve
from OpenSSL import SSL
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.logger import eventAsText, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from postmand.internet import Reply
from postmand.message.dkim import BodyHash
from postmand.rules import facts
from postmand.servers.starttls import ServerTls
from postmand.store.certificates import _made
from tests.gateway_door import AWAY, GOOD, KEPT, PEER, TAKEN, UNKNOWN, Door
from tests.sessions import reply_codes

IDENTITY = _made("mx.i2pmail.org")
LETTER = b"From: bob@example.org\r\nSubject: hello\r\n\r\ntext\r\n"


def last(said: bytes) -> bytes:
    """Return the last line."""
    return said.rstrip(b"\r\n").rpartition(b"\r\n")[2]


class GreetingTests(SynchronousTestCase):
    """The first words, and who does not wait for them."""

    def test_constant_banner(self) -> None:
        """The banner is the configured name, and nothing of the machine."""
        self.assertEqual(Door().call().said, b"220 mx.i2pmail.org ESMTP\r\n")

    def test_banner_waits(self) -> None:
        """The banner comes after the delay; who waited is served."""
        door = Door({"banner_seconds": 2.0})
        call = door.call()
        call.advance(1.9, 0.1)
        self.assertEqual(call.said, b"")
        call.advance(0.2, 0.1)
        self.assertEqual(call.said, b"220 mx.i2pmail.org ESMTP\r\n")
        self.assertEqual(call.codes(b"EHLO mail.example.org\r\n"), [250])

    def test_early_talker(self) -> None:
        """Who speaks before the banner is refused, and gone."""
        door = Door({"banner_seconds": 2.0})
        call = door.call()
        said = call.send(b"EHLO mail.example.org\r\n")
        self.assertEqual(reply_codes(said), [554])
        self.assertFalse(call.open)
        self.assertEqual(door.count("early-talker"), 1)
        call.advance(5)
        self.assertNotIn(b"220 mx", call.said)
        self.assertEqual(self._left(door), 0)

    def test_early_talker_is_let_in_without_step_one(self) -> None:
        """With session_sanity off nobody waits, so nobody is early."""
        door = Door({"banner_seconds": 2.0, "session_sanity": False})
        self.assertEqual(door.call().said, b"220 mx.i2pmail.org ESMTP\r\n")

    def test_gone_before_the_banner(self) -> None:
        """A caller that leaves before the banner leaves no timer."""
        door = Door({"banner_seconds": 2.0})
        door.call().drop()
        self.assertEqual(door.clock.getDelayedCalls(), [])

    def _left(self, door: Door) -> int:
        for _ in range(60):
            door.clock.advance(1)
        return len(door.clock.getDelayedCalls())

    def test_tls_hello_and_http(self) -> None:
        """A TLS hello and a browser's request are not answered, before or after."""
        hello = bytes.fromhex("16030100c8010000c40303") + b"x" * 180
        for first in (hello, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP\r\n"):
            call = Door().call()
            before = call.said
            call.send(first)
            self.assertEqual(call.said, before)
            self.assertFalse(call.open)
            call = Door({"banner_seconds": 1.0}).call()
            call.send(first)
            self.assertFalse(call.open)

    def test_what_is_announced(self) -> None:
        """EHLO names what there is: no AUTH, and STARTTLS only where it works."""
        said = Door().call().send(b"EHLO mail.example.org\r\n")
        self.assertEqual(
            [line[4:].split()[0] for line in said.split(b"\r\n")[:-1]],
            b"mx.i2pmail.org PIPELINING SIZE 8BITMIME SMTPUTF8 ENHANCEDSTATUSCODES"
            b" LIMITS".split(),
        )
        said = Door(tls=ServerTls(IDENTITY)).call().send(b"EHLO mail.example.org\r\n")
        self.assertTrue(said.endswith(b"250 STARTTLS\r\n"))

    def test_no_auth_and_no_oracle(self) -> None:
        """AUTH is no command here, and VRFY says the same of everybody."""
        call = Door().greeted()
        self.assertEqual(call.codes(b"AUTH PLAIN AGEAYg==\r\n"), [500])
        self.assertEqual(call.line(b"VRFY alice"), call.line(b"VRFY nobody"))
        self.assertEqual(call.codes(b"EXPN alice\r\n"), [502])


class TurnTests(SynchronousTestCase):
    """Pipelining before its turn, and lines that end with LF alone."""

    def test_pipelined_behind_ehlo(self) -> None:
        """What comes with EHLO came before anybody said that it may."""
        door = Door()
        call = door.call()
        said = call.send(b"EHLO mail.example.org\r\nMAIL FROM:<bob@example.org>\r\n")
        self.assertEqual(reply_codes(said), [554])
        self.assertFalse(call.open)
        self.assertEqual(door.count("pipelined-early"), 1)
        self.assertEqual(door.world.begun, [])

    def test_pipelined_behind_a_second_ehlo(self) -> None:
        """EHLO ends a group, also when PIPELINING was announced before."""
        for verb in (b"EHLO", b"HELO"):
            door = Door()
            call = door.greeted()
            said = call.send(verb + b" a.example.org\r\nMAIL FROM:<b@example.org>\r\n")
            self.assertEqual(reply_codes(said), [554])
            self.assertFalse(call.open)

    def test_pipelined_under_helo(self) -> None:
        """HELO announces no PIPELINING."""
        call = Door().call()
        self.assertEqual(call.codes(b"HELO mail.example.org\r\n"), [250])
        said = call.send(b"MAIL FROM:<b@example.org>\r\nRCPT TO:<a@i2pmail.org>\r\n")
        self.assertEqual(reply_codes(said), [554])
        self.assertFalse(call.open)

    def test_one_at_a_time_under_helo(self) -> None:
        """HELO's neighbour: command by command it takes mail."""
        door = Door()
        call = door.call()
        for line, code in (
            (b"HELO mail.example.org", 250),
            (b"MAIL FROM:<bob@example.org>", 250),
            (b"RCPT TO:<alice@i2pmail.org>", 250),
            (b"DATA", 354),
        ):
            self.assertEqual(call.codes(line + b"\r\n"), [code])
        self.assertEqual(call.codes(LETTER + b".\r\n"), [250])
        self.assertEqual(call.codes(b"QUIT\r\n"), [221])
        self.assertEqual(len(door.world.taken), 1)

    def test_body_behind_data(self) -> None:
        """Who sends the body before the 354 is refused, and nothing of it is run."""
        door = Door()
        call = door.named()
        said = call.send(b"DATA\r\n" + LETTER + b".\r\nMAIL FROM:<c@example.org>\r\n")
        self.assertEqual(reply_codes(said), [554])
        self.assertFalse(call.open)
        self.assertEqual(door.world.taken, [])
        self.assertEqual(len(door.world.begun), 1)

    def test_whole_groups_are_welcome(self) -> None:
        """The neighbour: MAIL, RCPT, DATA in one, then the body with QUIT behind it."""
        door = Door()
        call = door.greeted()
        said = call.send(
            b"MAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@i2pmail.org>\r\nDATA\r\n"
        )
        self.assertEqual(reply_codes(said), [250, 250, 354])
        self.assertEqual(reply_codes(call.send(LETTER + b".\r\nQUIT\r\n")), [250, 221])

    def test_next_transaction_behind_the_dot(self) -> None:
        """RFC 2920 3.1: the next MAIL may come behind a message's last dot."""
        door = Door()
        call = door.data()
        said = call.send(
            LETTER + b".\r\nMAIL FROM:<c@example.org>\r\nRCPT TO:<a@i2pmail.org>\r\n"
        )
        self.assertEqual(reply_codes(said), [250, 250, 250])

    def test_bare_lf_in_commands(self) -> None:
        """A command that ends with LF alone is not run; three of them are enough."""
        door = Door()
        call = door.greeted()
        self.assertEqual(call.codes(b"MAIL FROM:<bob@example.org>\n"), [554])
        self.assertEqual(door.world.begun, [])
        self.assertEqual(door.count("bare-newline"), 1)
        self.assertEqual(call.codes(b"MAIL FROM:<bob@example.org>\r\n"), [250])
        call.send(b"NOOP\n")
        call.send(b"NOOP\n")
        self.assertEqual(reply_codes(call.send(b"NOOP\n")), [554, 421])

    def test_without_step_one(self) -> None:
        """With session_sanity off all of this passes, and the facts say so."""
        door = Door({"session_sanity": False})
        call = door.call()
        call.send(b"EHLO x\nMAIL FROM:<bob@example.org>\nRCPT TO:<alice@i2pmail.org>\n")
        self.assertEqual(reply_codes(call.said), [220, 250, 250, 250])
        _, session, _ = door.world.begun[0]
        self.assertEqual((session.pipelined, session.bare_newlines), (True, True))


class SenderTests(SynchronousTestCase):
    """MAIL FROM."""

    def test_our_own_domain(self) -> None:
        """Nobody out there has an address inside the network, however written."""
        door = Door()
        call = door.greeted()
        for sender in (
            *("bob@mail.i2p", "bob@MAIL.i2p.", '"b b"@Mail.I2P'),
            *("bob@\uff4dail.i2p", "bob@mail\u3002i2p", "bob@mail\u00ad.i2p"),
        ):
            line = f"MAIL FROM:<{sender}> SMTPUTF8\r\n".encode()
            self.assertEqual(call.codes(line), [553])
        self.assertEqual(door.count("our-sender"), 6)
        self.assertEqual(door.world.begun, [])

    def test_our_domain_outside(self) -> None:
        """A sender in the Internet domain is our own gateways' to name, by SPF alone.

        Neither a setting nor postmaster's name lets another one do so.
        """
        for spf, said in (
            ("pass", b"250 "),
            ("fail", b"550 5.7.23 "),
            ("softfail", b"550 5.7.23 "),
            ("none", b"550 5.7.23 "),
            ("permerror", b"550 5.7.23 "),
            ("temperror", b"451 4.4.3 "),
            ("", b"451 4.4.3 "),
        ):
            for sender in ("bob@i2pmail.org", "bob@I2PMAIL\u3002org"):
                door = Door({"sender_domain": False, "session_sanity": False})
                door.world.spf = spf
                call = door.greeted()
                call.line(f"MAIL FROM:<{sender}> SMTPUTF8".encode())
                for name in (b"alice@i2pmail.org", b"postmaster"):
                    told = call.line(b"RCPT TO:<%s>" % name)
                    self.assertTrue(told.startswith(said), (spf, told))
        self.assertEqual(door.count("our-spf-unknown"), 2)

    def test_others_need_no_spf(self) -> None:
        """Its neighbour: of others' domains SPF is one fact among many."""
        door = Door()
        door.world.spf = "fail"
        for sender in (b"bob@example.org", b"bob@sub.i2pmail.org", b""):
            door.named(sender=sender)

    def test_no_domain(self) -> None:
        """A bare name and an address literal name nobody that can be asked about."""
        call = Door().greeted()
        for sender in (b"bob", b"postmaster", b"bob@[192.0.2.1]", b"bob@[IPv6:::1]"):
            self.assertEqual(call.codes(b"MAIL FROM:<%s>\r\n" % sender), [553])

    def test_null_sender(self) -> None:
        """A bounce comes from nobody, and may come in."""
        door = Door()
        call = door.named(sender=b"")
        self.assertEqual(door.world.begun[0][2], b"")
        self.assertEqual(call.codes(b"DATA\r\n"), [354])
        self.assertEqual(call.codes(LETTER + b".\r\n"), [250])
        self.assertEqual(door.world.crates[0].sender, b"")

    def test_size(self) -> None:
        """Too large is said at MAIL, and the declared size reaches the host."""
        door = Door({"max_message_bytes": 100_000})
        call = door.greeted()
        self.assertEqual(
            call.codes(b"MAIL FROM:<b@example.org> SIZE=100001\r\n"), [552]
        )
        self.assertEqual(
            call.codes(b"MAIL FROM:<b@example.org> SIZE=100000 BODY=8BITMIME\r\n"),
            [250],
        )
        call.send(b"RCPT TO:<alice@i2pmail.org>\r\n")
        self.assertEqual(
            door.world.questions, [(b"b@example.org", b"alice@mail.i2p", 100_000)]
        )

    def test_what_the_facts_are_told(self) -> None:
        """Peer, name and sender reach those who ask about them."""
        door = Door()
        door.named()
        peer, session, sender = door.world.begun[0]
        self.assertEqual((peer, sender), ("198.51.100.7", b"bob@example.org"))
        self.assertEqual(session.helo, "mail.example.org")
        self.assertEqual(
            set(session.own_names), {"mx.i2pmail.org", "i2pmail.org", "mail.i2p"}
        )

    def test_odd_octets_in_the_name(self) -> None:
        """A name that is no UTF-8 is refused by its form, and breaks nothing."""
        door = Door()
        call = door.greeted(b"mail\xff.example.org")
        call.send(b"MAIL FROM:<bob@example.org>\r\n")
        self.assertEqual(call.codes(b"RCPT TO:<alice@i2pmail.org>\r\n"), [550])


FORMS_OF_RELAY = [
    (b"alice%example.org@i2pmail.org", 550),
    (b"alice%i2pmail.org@i2pmail.org", 550),
    (b"@example.org:alice@i2pmail.org", 550),
    (b"@i2pmail.org,@example.org:alice@example.net", 550),
    (b"alice@mail.i2p", 550),
    (b"alice@MAIL.I2P", 550),
    (b"alice@mail.i2p.", 550),
    (b"alice@example.org", 550),
    (b"alice@[127.0.0.1]", 550),
    (b"alice@[203.0.113.25]", 550),
    (b"alice@[IPv6:::1]", 550),
    (b"alice@127.0.0.1", 550),
    (b"alice", 550),
    (b"root", 550),
    (b"example.org!alice", 550),
    (b"example.org!alice@i2pmail.org", 550),
    (b'"alice@example.org"@i2pmail.org', 550),
    (b'"alice@example.org"', 550),
    (b'"alice%example.org"@i2pmail.org', 550),
    (b'"@example.org:alice"@i2pmail.org', 550),
    (b"alice@example.org@i2pmail.org", 550),
    (b"alice@i2pmail.org@example.org", 550),
    (b"alice@sub.i2pmail.org", 550),
    (b"alice@i2pmail.org.example.org", 550),
    (b"alice@xi2pmail.org", 550),
    (b"alice@i2pmail.orgx", 550),
    (b"alice@i2pmail.org..", 550),
    (b"alice@.i2pmail.org", 550),
    (b"alice@mx.i2pmail.org", 550),
    (b"alice@localhost", 550),
    (b"alice@\xd1\x962pmail.org", 550),
    (b"alice@i2pmail.org\x00@example.org", 550),
    (b"alice@i2pmail.org,bob@example.org", 550),
    (b"alice@i2pmail.org;bob@example.org", 550),
    (b"postmaster@example.org", 550),
    (b"<alice@i2pmail.org>", 550),
    (b"@i2pmail.org", 550),
    (b"", 553),
    # Their neighbours.
    (b"alice@i2pmail.org", 250),
    (b"alice@I2PMAIL.ORG", 250),
    (b"alice@i2pmail.org.", 250),
    (b"ALICE@i2pMail.org.", 250),
    (b'"alice"@i2pmail.org', 250),
    (b"postmaster", 250),
    (b"PostMaster", 250),
    (b"postmaster@i2pmail.org", 250),
]


@pytest.mark.parametrize(("recipient", "code"), FORMS_OF_RELAY)
def test_no_open_relay(recipient: bytes, code: int) -> None:
    """Whatever form an address takes: ours alone is taken, as a name in our domain."""
    door = Door()
    call = door.greeted()
    call.send(b"MAIL FROM:<bob@example.org>\r\n")
    said = call.line(b"RCPT TO:<%s>" % recipient)
    assert reply_codes(said) == [code]
    if code == 250:
        name = b"postmaster" if b"post" in recipient.lower() else b"alice"
        assert door.world.questions == [(b"bob@example.org", name + b"@mail.i2p", 0)]
    else:
        assert door.world.questions == []
        assert door.world.inquiries[0].asked == 0
        assert code == 553 or said.startswith(b"550 5.7.1 "), said
        assert call.codes(b"DATA\r\n") == [554]


class RecipientTests(SynchronousTestCase):
    """RCPT TO: the rules, the greylist, the mail host."""

    def rcpt(self, door: Door) -> bytes:
        """Name a recipient."""
        call = door.greeted()
        call.send(b"MAIL FROM:<bob@example.org>\r\n")
        return call.line(b"RCPT TO:<alice@i2pmail.org>")

    def test_rules_refuse(self) -> None:
        """What the rules have against the sender is said, and the host is not asked."""
        door = Door()
        door.world.domain = facts.Domain("x", mx="none", address="none")
        said = self.rcpt(door)
        self.assertTrue(said.startswith(b"550 5.1.8 "), said)
        self.assertEqual(door.world.questions, [])
        self.assertEqual(door.world.greylisted, [])
        self.assertEqual(door.count("no-sender-domain"), 1)

    def test_our_own_name_in_ehlo(self) -> None:
        """Who says that it is we is refused at the first recipient."""
        for name in (
            b"mx.i2pmail.org",
            b"MX.I2PMail.org.",
            b"i2pmail.org",
            b"mail.i2p",
        ):
            door = Door()
            call = door.greeted(name)
            call.send(b"MAIL FROM:<bob@example.org>\r\n")
            self.assertEqual(call.codes(b"RCPT TO:<alice@i2pmail.org>\r\n"), [550])
            self.assertEqual(door.count("helo-is-ours"), 1)

    def test_greylisted(self) -> None:
        """A stranger is asked to come again, before the host is asked."""
        door = Door()
        door.world.grey = "wait"
        self.assertTrue(self.rcpt(door).startswith(b"451 4.7.1 "))
        self.assertEqual(door.world.questions, [])
        self.assertEqual(door.world.greylisted, [b"alice@mail.i2p"])

    def test_greylist_off(self) -> None:
        """Switched off, it is not asked at all."""
        door = Door({"greylist": False})
        door.world.grey = "wait"
        self.assertTrue(self.rcpt(door).startswith(b"250 2.1.5 "))
        self.assertEqual(door.world.greylisted, [])

    def test_unknown_recipient(self) -> None:
        """The host's word is passed on as it is; nothing of it is kept."""
        door = Door()
        door.world.replies[b"nobody@mail.i2p"] = UNKNOWN
        call = door.greeted()
        call.send(b"MAIL FROM:<bob@example.org>\r\n")
        for _ in range(2):
            said = call.line(b"RCPT TO:<nobody@i2pmail.org>")
            self.assertEqual(said, b"550 5.1.1 No such user\r\n")
        self.assertEqual(call.codes(b"RCPT TO:<alice@i2pmail.org>\r\n"), [250])
        self.assertEqual(len(door.world.questions), 3)
        self.assertEqual(door.count("host-refuses"), 2)

    def test_named_again(self) -> None:
        """In one transaction the host is asked once for each; in the next one anew."""
        door = Door()
        call = door.named()
        for again in (b"alice@i2pmail.org", b"ALICE@I2PMAIL.ORG."):
            self.assertEqual(call.codes(b"RCPT TO:<%s>\r\n" % again), [250])
        self.assertEqual(len(door.world.questions), 1)
        call.send(b"RSET\r\nMAIL FROM:<bob@example.org>\r\n")
        self.assertEqual(call.codes(b"RCPT TO:<alice@i2pmail.org>\r\n"), [250])
        self.assertEqual(len(door.world.questions), 2)

    def test_link_away(self) -> None:
        """In mode "verify" nobody is taken unseen."""
        door = Door()
        door.world.answer = AWAY
        self.assertTrue(self.rcpt(door).startswith(b"451 4.4.1 "))

    def test_link_away_and_sealing(self) -> None:
        """In mode "seal" a recipient is taken unseen, but only for want of a link."""
        door = Door({"inbound": "seal"})
        door.world.answer = AWAY
        self.assertTrue(self.rcpt(door).startswith(b"250 "))
        for code, enhanced in ((451, "4.7.1"), (452, "4.2.2"), (550, "5.1.1")):
            door.world.answer = Reply(code, enhanced, "no")
            self.assertTrue(self.rcpt(door).startswith(b"%d " % code))

    def test_a_word_of_the_host_that_is_none(self) -> None:
        """What can not be passed on becomes a delay, and never a line of its own."""
        door = Door()
        for reply, said in (
            (Reply(354, "2.0.0", "go"), b"451 4.3.0 "),
            (Reply(550, "2.1.5", "x\r\n250 ok"), b"550 5.0.0 x??250 ok\r\n"),
            (Reply(450, "4.2", "y" * 999), b"450 4.0.0 yyy"),
        ):
            door.world.answer = reply
            answer = self.rcpt(door)
            self.assertTrue(answer.startswith(said), answer)
            self.assertEqual(answer.count(b"\n"), 1)
            self.assertLess(len(answer), 250)

    def asks(self, door: Door, host: str, name: bytes = b"alice") -> int:
        """Return what one recipient is answered who is named by a caller."""
        call = door.call(IPv4Address("TCP", host, 9))
        call.send(b"EHLO mail.example.org\r\n")
        call.send(b"MAIL FROM:<bob@example.org>\r\n")
        (code,) = call.codes(b"RCPT TO:<%s@i2pmail.org>\r\n" % name)
        call.drop()
        return code

    def test_a_network_has_its_share(self) -> None:
        """A network that guesses names is put off, in all sessions; others go on."""
        door = Door({"questions_per_network_minute": 20})
        door.world.answer = UNKNOWN
        door.world.replies[b"alice@mail.i2p"] = TAKEN
        guesses = [
            self.asks(door, f"192.0.2.{one}", b"name%d" % one) for one in range(1, 9)
        ]
        self.assertEqual(guesses, [550] * 4 + [451] * 4)
        self.assertEqual(len(door.world.questions), 4)
        self.assertEqual(door.count("network-questions"), 4)
        self.assertEqual(self.asks(door, "192.0.2.99"), 451)
        self.assertEqual(self.asks(door, "198.51.100.7"), 250)
        door.clock.advance(60)
        self.assertEqual(self.asks(door, "192.0.2.99"), 250)

    def test_senders_have_a_share_too(self) -> None:
        """Senders that are named and dropped cost the DNS; others find it free."""
        door = Door({"questions_per_network_minute": 3})
        call = door.greeted()
        one = b"MAIL FROM:<bob@example.org>\r\nRSET\r\n"
        self.assertEqual(call.codes(one * 4), [250, 250] * 3 + [451, 250])
        self.assertEqual(len(door.world.begun), 3)
        other = door.call(IPv4Address("TCP", "192.0.2.1", 9))
        self.assertEqual(other.codes(b"EHLO x.example\r\n"), [250])
        self.assertEqual(other.codes(one), [250, 250])
        door.clock.advance(20)
        self.assertEqual(call.codes(one * 2), [250, 250, 451, 250])

    def test_who_writes_to_members_has_more(self) -> None:
        """A question about a member costs a fifth of one about a stranger."""
        door = Door({"questions_per_network_minute": 20})
        names = [b"RCPT TO:<user%d@i2pmail.org>\r\n" % one for one in range(21)]
        codes = door.named().codes(b"".join(names))
        self.assertEqual(codes, [250] * 19 + [451] * 2)

    @pytest.mark.long
    def test_share_of_an_hour(self) -> None:
        """Who never stops gets what an hour gives, not sixty minutes' worth."""
        door = Door(
            {"questions_per_network_minute": 20, "questions_per_network_hour": 60}
        )
        codes = []
        for _ in range(60):
            codes += [self.asks(door, "192.0.2.1") for _ in range(20)]
            door.clock.advance(60)
        self.assertEqual(codes.count(250), 2 * 60 - 1)

    def test_unseen_has_its_share(self) -> None:
        """What is taken unseen costs the host's questions later: it is counted now."""
        door = Door({"inbound": "seal", "questions_per_network_minute": 2})
        door.world.answer = AWAY
        names = [b"RCPT TO:<user%d@i2pmail.org>\r\n" % one for one in range(2)]
        self.assertEqual(door.named().codes(b"".join(names)), [250, 451])

    def test_many_recipients(self) -> None:
        """Over the limit: 452 for the rest, and the others get their mail."""
        door = Door({"max_recipients": 3})
        call = door.named(*[b"user%d@i2pmail.org" % one for one in range(3)])
        said = call.line(b"RCPT TO:<user3@i2pmail.org>")
        self.assertTrue(said.startswith(b"452 4.5.3 "))
        call.send(b"DATA\r\n")
        self.assertEqual(call.codes(LETTER + b".\r\n"), [250])
        self.assertEqual(len(door.world.crates[0].recipients), 3)

    def test_evidence_ends_with_the_transaction(self) -> None:
        """RSET, a new EHLO, the message's end and a lost connection: no more asking."""
        for ending in (b"RSET\r\n", b"EHLO mail.example.org\r\n", b"QUIT\r\n"):
            door = Door()
            call = door.named()
            self.assertFalse(door.world.inquiries[0].ended)
            call.send(ending)
            door.clock.advance(0)
            self.assertTrue(door.world.inquiries[0].ended, ending)
        for message in (LETTER, LETTER + b"\0"):
            door = Door()
            door.data().send(message + b"\r\n.\r\n")
            self.assertTrue(door.world.inquiries[0].ended)

    def test_gone_while_asked(self) -> None:
        """A caller that leaves while we ask for it leaves nothing behind."""
        door = Door()
        door.world.slow = Deferred()
        call = door.greeted()
        call.send(b"MAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@i2pmail.org>\r\n")
        call.drop()
        door.world.slow.callback(None)
        self.assertTrue(door.world.inquiries[0].ended)
        self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_pipelined_while_asked(self) -> None:
        """What was pipelined waits for its turn."""
        door = Door()
        door.world.slow = Deferred()
        call = door.greeted()
        said = call.send(
            b"MAIL FROM:<bob@example.org>\r\nRCPT TO:<a@i2pmail.org>\r\nDATA\r\n"
        )
        self.assertEqual(said, b"")
        door.world.slow.callback(None)
        self.assertEqual(reply_codes(call.said), [220, 250, 250, 250, 354])


class MessageTests(SynchronousTestCase):
    """What becomes of a message."""

    def test_kept_when_the_host_has_it(self) -> None:
        """A message's way: judged whole, stripped, sealed, handed over."""
        door = Door()
        call = door.data(b"alice@i2pmail.org", b"bob@i2pmail.org", b"ALICE@i2pmail.org")
        trace = (
            b"Received: from a\r\n\tby b; now\r\nReturn-Path: <x@y>\r\n"
            b"Authentication-Results: mx.i2pmail.org;\r\n spf=pass\r\n"
            b"DKIM-Signature: v=1;\r\n b=abc\r\nreceived: from c\r\n"
        )
        self.assertEqual(call.codes(trace + LETTER + b".\r\n"), [250])
        (crate,) = door.world.crates
        self.assertEqual(crate.sender, b"bob@example.org")
        self.assertEqual(crate.recipients, (b"alice@mail.i2p", b"bob@mail.i2p"))
        self.assertEqual(
            crate.header,
            b"DKIM-Signature: v=1;\r\n b=abc\r\n"
            b"From: bob@example.org\r\nSubject: hello\r\n\r\n",
        )
        self.assertEqual(b"".join(crate.body), b"text\r\n")
        self.assertEqual((crate.results, crate.vouched), (GOOD.results, True))
        self.assertEqual(
            door.world.judged,
            [
                (
                    "198.51.100.7",
                    b"mail.example.org",
                    b"bob@example.org",
                    trace + LETTER[:-6],
                    BodyHash([b"text\r\n"]).digest(),
                )
            ],
        )
        self.assertEqual(door.world.taken, [b"sealed:text\r\n"])
        self.assertEqual(door.world.kept, [])
        call.drop()
        self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_host_refuses_at_the_end(self) -> None:
        """The host's last word is the sender's to hear: no bounce is needed."""
        door = Door()
        door.world.verdict = Reply(550, "5.7.1", "Not that")
        call = door.data()
        self.assertEqual(call.send(LETTER + b".\r\n"), b"550 5.7.1 Not that\r\n")
        self.assertEqual(door.world.kept, [])

    def test_link_goes_after_rcpt(self) -> None:
        """With the link gone it is kept sealed; without room the sender keeps it."""
        for full, code in ((False, 250), (True, 451)):
            door = Door()
            door.world.verdict, door.world.full = AWAY, full
            self.assertEqual(door.data().codes(LETTER + b".\r\n"), [code])
            self.assertEqual(door.world.kept, [] if full else [b"sealed:text\r\n"])

    def test_link_is_busy_or_silent(self) -> None:
        """What the link says for itself is no word of the host: it lies sealed."""
        for enhanced, code in (("4.4.2", 250), ("4.3.2", 250), ("4.3.0", 451)):
            door = Door()
            door.world.verdict = Reply(451, enhanced, "later")
            self.assertEqual(door.data().codes(LETTER + b".\r\n"), [code])
            self.assertEqual(len(door.world.kept), code == 250)

    def test_memory_for_large_ones(self) -> None:
        """Large messages wait for room, and each of them is taken in the end."""
        door = Door(limits={"wash_memory": 65_536})
        door.world.handing = []
        calls = [door.data() for _ in range(3)]
        for call in calls:
            call.send(b"A: b\r\n\r\n" + b"x" * 70_000 + b"\r\n.\r\n")
        self.assertEqual(len(door.world.handing), 1)
        for number in range(3):
            door.world.handing[number].callback(Reply(250, "2.0.0", "Ok"))
        for call in calls:
            self.assertTrue(call.said.endswith(b"250 2.0.0 Ok: kept\r\n"))

    def test_nowhere_to_keep(self) -> None:
        """Without a sealed spool only the host's word counts."""
        door = Door(keeps=False)
        door.world.verdict = AWAY
        self.assertEqual(door.data().codes(LETTER + b".\r\n"), [451])

    def test_host_is_slow(self) -> None:
        """A host that does not answer in time is not waited for: it lies sealed."""
        door = Door()
        door.world.handing = []
        call = door.data()
        self.assertEqual(call.send(LETTER + b".\r\n"), b"")
        call.advance(29)
        before = call.wire.heard
        call.advance(2)
        self.assertEqual(reply_codes(call.said[before:]), [250])
        # A late word disturbs nobody.
        self.assertTrue(door.world.handing[0].called)

    def test_host_is_slow_and_the_disk_full(self) -> None:
        """What can not be kept waits for the host's word: else it would come twice."""
        for word, code in ((KEPT, 250), (UNKNOWN, 550), (AWAY, 451)):
            door = Door()
            door.world.handing, door.world.full = [], True
            call = door.data()
            call.send(LETTER + b".\r\n")
            before = call.wire.heard
            call.advance(400)
            self.assertEqual(call.said[before:], b"")
            door.world.handing[0].callback(word)
            call.pump()
            self.assertEqual(reply_codes(call.said[before:]), [code])
            self.assertEqual(len(door.world.taken), 1)
            call.drop()
            self.assertEqual(door.clock.getDelayedCalls(), [])

    def test_room_comes_back(self) -> None:
        """What could not be kept at first may be when the link goes."""
        door = Door()
        door.world.handing, door.world.full = [], True
        call = door.data()
        call.send(LETTER + b".\r\n")
        call.advance(100)
        before = call.wire.heard
        door.world.full = False
        door.world.handing[0].callback(AWAY)
        call.pump()
        self.assertEqual(reply_codes(call.said[before:]), [250])
        self.assertEqual(len(door.world.kept), 1)

    def test_large_goes_to_the_disk_first(self) -> None:
        """A large message does not wait for the link; it does when the disk is full."""
        body = b"x" * 70 + b"\r\n"
        for full in (False, True):
            door = Door(limits={"spool_bytes": 100_000})
            door.world.full = full
            call = door.data()
            self.assertEqual(
                reply_codes(call.send(b"A: b\r\n\r\n" + body * 20_000 + b".\r\n")),
                [250],
            )
            self.assertEqual(len(door.world.kept), not full)
            self.assertEqual(len(door.world.taken), full)
            self.assertEqual(b"".join(door.world.crates[0].body), body * 20_000)
            self.assertTrue(door.spools[0].on_disk or door.spools[0]._closed)

    def test_dmarc(self) -> None:
        """p=reject is obeyed, unless the operator does not want it."""
        for obey, code in ((True, 550), (False, 250)):
            door = Door({"obey_dmarc": obey})
            door.world.found = evolve(GOOD, reject=True)
            self.assertEqual(door.data().codes(LETTER + b".\r\n"), [code])
            self.assertEqual(door.count("dmarc"), obey)

    def test_loop(self) -> None:
        """Fifty hops are many, and one more is a loop."""
        for hops, code in ((50, 250), (51, 554)):
            door = Door()
            said = door.data().send(b"Received: by x; y\r\n" * hops + LETTER + b".\r\n")
            self.assertEqual(reply_codes(said), [code])
        self.assertTrue(said.startswith(b"554 5.4.6 "))

    def test_header_too_long(self) -> None:
        """A header block has a bound of its own."""
        door = Door(limits={"header_bytes": 2_000})
        long = b"A: " + b"b" * 80 + b"\r\n"
        self.assertEqual(door.data().codes(long * 25 + LETTER + b".\r\n"), [554])
        self.assertEqual(door.data().codes(long * 20 + LETTER + b".\r\n"), [250])

    def test_too_large(self) -> None:
        """A body over the limit is refused behind its end."""
        door = Door({"max_message_bytes": 65_536})
        call = door.data()
        self.assertEqual(call.codes(b"x" * 78 + b"\r\n"), [])
        said = call.send((b"x" * 78 + b"\r\n") * 1_000 + b".\r\nNOOP\r\n")
        self.assertEqual(reply_codes(said), [552, 250])
        self.assertEqual(door.world.taken, [])

    def test_a_fault_of_ours(self) -> None:
        """A fault in judging is a delay for the sender, and tells the log nothing."""
        door = Door()
        said: list[str] = []

        def observer(event: object) -> None:
            said.append(eventAsText(event))  # type: ignore[arg-type]

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        door.world.found = None  # type: ignore[assignment]
        call = door.data()
        self.assertEqual(call.codes(LETTER + b".\r\n"), [451])
        logged = "".join(said)
        self.assertIn("a command failed", logged)
        for trace in ("198.51.100.7", "bob", "alice", "hello"):
            self.assertNotIn(trace, logged)
        self.assertTrue(door.world.inquiries[0].ended)
        self.assertEqual(call.codes(b"MAIL FROM:<bob@example.org>\r\n"), [250])

    def test_no_memory_is_held_after(self) -> None:
        """Every end of a message gives back what it held."""
        door = Door()
        call = door.data()
        call.send(LETTER + b".\r\n")
        self.assertEqual(door.memory._free, door.limits.body_memory)
        door.data().drop()
        self.assertEqual(door.memory._free, door.limits.body_memory)


# What stands between two halves of one DATA; what looks like an end is none.
SMUGGLING = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r.\r\n",
    b"\r.\r",
    b"\r\n.\n",
    b"\r\n.\r",
    b"\r\r\n.\r\n",
    b"\r\n.\r\r\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\0\r\n.\n",
    b"\n\n.\r\n",
    b"\n\r.\r\n",
    b"\r\n\r.\r\n",
    b"\r\n\n.\r\n",
    b"\n.\n\r",
    b"\r.\n",
    b"\n.\r",
    b"\n.\n.\n",
    b"\r\n.\n\r\n",
    b"\r\n..\n",
    b"\n..\r\n",
    b"\r\n .\r\n",
    b"\r\n. \r\n",
    b"\r\n..\r\n",
    b"\x0b.\x0b",
    b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8",
]
_STRANGE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\0")
_WITHIN = (
    b"MAIL FROM:<eve@example.net>\r\nRCPT TO:<alice@i2pmail.org>\r\nDATA\r\n"
    b"From: eve@example.net\r\n\r\nsmuggled\r\n"
)


@pytest.mark.long
@pytest.mark.parametrize("chunk", [65_536, 1, 3])
@pytest.mark.parametrize("between", SMUGGLING)
def test_smuggling(between: bytes, chunk: int) -> None:
    """However it is cut: one message, kept whole or refused, and nothing of it run.

    After a refusal there is no session any more, in which more could be smuggled.
    """
    door = Door()
    call = door.data()
    before = call.wire.heard
    call.send(LETTER + b"text" + between + _WITHIN, chunk)
    call.send(b"\r\n.\r\n", chunk)
    (code,) = reply_codes(call.said[before:])
    assert len(door.world.crates) == (code == 250)
    assert [sender for _, _, sender in door.world.begun] == [b"bob@example.org"]
    assert len(door.world.questions) == 1
    assert call.open == (code == 250)
    strange = _STRANGE.search(b"text" + between + b"MAIL")
    assert (code == 554) == (strange is not None)
    if code == 250:
        (body,) = door.world.crates[0].body
        assert b"smuggled" in body
        assert body.count(b"\n") == body.count(b"\r") == body.count(b"\r\n")


class StartTlsTests(SynchronousTestCase):
    """STARTTLS (RFC 3207)."""

    def setUp(self) -> None:
        """Open a door with TLS."""
        self.door = Door(tls=ServerTls(IDENTITY))

    def begun(self) -> object:
        """Connect and shake hands."""
        call = self.door.greeted()
        self.assertEqual(call.codes(b"STARTTLS\r\n"), [220])
        call.handshake()
        return call

    def test_mail_under_tls(self) -> None:
        """All is as it was, under TLS; STARTTLS is not offered again."""
        call = self.door.greeted()
        call.send(b"STARTTLS\r\n")
        tls = call.handshake()
        self.assertEqual(tls.get_protocol_version_name(), "TLSv1.3")
        said = call.secretly(b"EHLO mail.example.org\r\n")
        self.assertNotIn(b"STARTTLS", said)
        self.assertEqual(reply_codes(said), [250])
        self.assertEqual(reply_codes(call.secretly(b"STARTTLS\r\n")), [503])
        said = call.secretly(
            b"MAIL FROM:<bob@example.org>\r\nRCPT TO:<alice@i2pmail.org>\r\nDATA\r\n"
        )
        self.assertEqual(reply_codes(said), [250, 250, 354])
        body = (b"x" * 78 + b"\r\n") * 5_000
        said = call.secretly(b"A: b\r\n\r\n" + body + b".\r\n")
        self.assertEqual(reply_codes(said), [250])
        self.assertEqual(b"".join(self.door.world.crates[0].body), body)
        self.assertNotIn(b"2.0.0 Ok: kept", call.said)
        self.assertEqual(reply_codes(call.secretly(b"QUIT\r\n")), [221])

    def test_state_is_forgotten(self) -> None:
        """Nothing said in the clear holds: neither EHLO nor the transaction."""
        call = self.door.named()
        call.send(b"STARTTLS\r\n")
        self.assertTrue(self.door.world.inquiries[0].ended)
        call.handshake()
        for line in (b"MAIL FROM:<b@example.org>", b"RCPT TO:<a@i2pmail.org>"):
            self.assertEqual(reply_codes(call.secretly(line + b"\r\n")), [503])
        call.secretly(b"EHLO other.example.org\r\n")
        call.secretly(b"MAIL FROM:<b@example.org>\r\n")
        self.assertEqual(self.door.world.begun[-1][1].helo, "other.example.org")

    def test_injection(self) -> None:
        """What is pipelined behind STARTTLS, in the clear, is never run."""
        for behind in (
            b"RSET\r\n",
            b"EHLO evil.example\r\nMAIL FROM:<eve@example.net>\r\n",
            b"MAIL FROM:<eve@example.net>",
        ):
            call = self.door.greeted()
            self.assertEqual(call.codes(b"STARTTLS\r\n" + behind), [220])
            call.handshake()
            self.assertEqual(
                reply_codes(call.secretly(b"EHLO mail.example.org\r\n")), [250]
            )
            self.assertEqual(self.door.world.begun, [])
            self.assertEqual(
                reply_codes(call.secretly(b"RCPT TO:<alice@i2pmail.org>\r\n")), [503]
            )

    def test_plain_text_instead_of_a_handshake(self) -> None:
        """Commands in the clear after the 220 are noise to TLS, and end the session."""
        call = self.door.greeted()
        call.send(b"STARTTLS\r\n")
        call.send(b"EHLO evil.example\r\nMAIL FROM:<eve@example.net>\r\n")
        self.assertFalse(call.open)
        self.assertEqual(self.door.world.begun, [])

    def test_out_of_order(self) -> None:
        """STARTTLS takes no argument, comes after EHLO, and is a command only here."""
        call = self.door.call()
        self.assertEqual(call.codes(b"STARTTLS\r\n"), [503])
        call.send(b"EHLO mail.example.org\r\n")
        self.assertEqual(call.codes(b"STARTTLS now\r\n"), [501])
        self.assertEqual(Door().greeted().codes(b"STARTTLS\r\n"), [502])

    def test_old_protocols(self) -> None:
        """TLS 1.2 is the oldest that is spoken."""
        for version, works in ((SSL.TLS1_1_VERSION, False), (SSL.TLS1_2_VERSION, True)):
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_cipher_list(b"ALL:@SECLEVEL=0")
            context.set_max_proto_version(version)
            call = self.door.greeted()
            call.send(b"STARTTLS\r\n")
            try:
                call.handshake(context)
                shaken = True
            except (SSL.Error, AssertionError):
                shaken = False
            self.assertEqual(shaken, works)

    def test_handshake_that_never_comes(self) -> None:
        """Who says STARTTLS and then nothing is not waited for."""
        call = self.door.greeted()
        call.send(b"STARTTLS\r\n")
        call.advance(155)
        self.assertFalse(call.open)


class BoundTests(SynchronousTestCase):
    """Who is slow, and who comes too often."""

    def test_slow_commands(self) -> None:
        """A caller has two minutes to name somebody, however often it speaks."""
        door = Door()
        call = door.greeted()
        for _ in range(13):
            call.advance(10)
            call.send(b"NOOP\r\n") if call.open else None
        self.assertFalse(call.open)
        self.assertIn(b"421 4.4.2", call.said)

    def test_slow_line(self) -> None:
        """One octet every few seconds makes no line in time."""
        call = Door().call()
        for octet in b"EHLO mail.example.org":
            call.advance(6)
            call.send(bytes([octet])) if call.open else None
        self.assertFalse(call.open)

    def test_slow_body(self) -> None:
        """A body that hardly moves is not waited for, and nothing of it is held."""
        door = Door()
        call = door.data()
        for _ in range(30):
            call.advance(10)
            call.send(b"x\r\n") if call.open else None
        self.assertFalse(call.open)
        self.assertEqual(door.memory._free, door.limits.body_memory)
        self.assertEqual(door.world.taken, [])

    def test_admission_ends_with_the_message(self) -> None:
        """After a message the next one has to come; a chat alone keeps nobody here."""
        door = Door()
        call = door.data()
        call.send(LETTER + b".\r\n")
        for _ in range(32):
            call.advance(10)
            call.send(b"NOOP\r\n") if call.open else None
        self.assertFalse(call.open)

    def test_chatter(self) -> None:
        """So many commands that bring no mail are answered, and no more."""
        call = Door().greeted()
        codes = reply_codes(call.send(b"NOOP\r\n" * 150))
        self.assertEqual(codes, [250] * 99 + [421])
        self.assertFalse(call.open)

    def test_many_messages_are_no_chatter(self) -> None:
        """A list's server that hands in many messages stays."""
        door = Door({"questions_per_network_minute": 150})
        call = door.greeted()
        one = b"MAIL FROM:<bob@example.org>\r\nRCPT TO:<a@i2pmail.org>\r\nDATA\r\n"
        for _ in range(150):
            self.assertEqual(call.codes(one), [250, 250, 354])
            self.assertEqual(call.codes(LETTER + b".\r\n"), [250])

    def test_connections(self) -> None:
        """So many at once, of one peer fewer: an IPv6 peer is its network."""
        door = Door(connections=5, connections_per_peer=2)

        def calls(*hosts: str) -> list[bool]:
            return [
                not door.call(
                    IPv6Address("TCP", host, 9)
                    if ":" in host
                    else IPv4Address("TCP", host, 9)
                ).refused
                for host in hosts
            ]

        self.assertEqual(
            calls("192.0.2.1", "192.0.2.1", "192.0.2.1"), [True, True, False]
        )
        # Mapped, it is the same peer.
        self.assertEqual(calls("::ffff:192.0.2.1"), [False])
        self.assertEqual(
            calls("2001:db8::1", "2001:db8::2:2", "2001:db8::3", "2001:db8:0:1::1"),
            [True, True, False, True],
        )
        self.assertEqual(calls("192.0.2.9"), [False])

    def test_no_place(self) -> None:
        """Who comes too many is told so, that a mail server tries again; then closed.

        What it says is not listened to, and its leaving frees nobody's place.
        """
        door = Door(connections_per_peer=1)
        first = door.greeted()
        for _ in range(3):
            call = door.call()
            self.assertEqual(reply_codes(call.said), [421])
            self.assertTrue(call.said.startswith(b"421 4.3.2 "))
            self.assertFalse(call.open)
            call.drop()
        self.assertEqual(door.count("no-place"), 3)
        self.assertEqual(first.codes(b"NOOP\r\n"), [250])

    def test_naming_anew_wins_no_time(self) -> None:
        """One recipient after the other, transaction after transaction, is no mail."""
        for between in ((), (b"RSET", b"MAIL FROM:<bob@example.org>")):
            call = Door().named()
            for _ in range(31):
                call.advance(10)
                for line in (*between, b"RCPT TO:<alice@i2pmail.org>"):
                    call.line(line) if call.open else None
            self.assertFalse(call.open)
            self.assertIn(b"421 4.4.2", call.said)

    def test_a_message_wins_time(self) -> None:
        """Its neighbour: who hands in a message has the same time for the next."""
        door = Door()
        call = door.named()
        for _ in range(4):
            call.advance(290)
            self.assertEqual(call.codes(b"DATA\r\n"), [354])
            self.assertEqual(call.codes(LETTER + b".\r\n"), [250])
            call.advance(200)
            call.send(b"MAIL FROM:<bob@example.org>\r\nRCPT TO:<a@i2pmail.org>\r\n")
            self.assertTrue(call.open)

    def test_a_place_is_given_back(self) -> None:
        """Who leaves makes room."""
        door = Door(connections_per_peer=1)
        first = door.call()
        self.assertTrue(door.call().refused)
        first.drop()
        self.assertFalse(door.call().refused)
        self.assertFalse(door.call(IPv4Address("TCP", "192.0.2.1", 9)).refused)

    def test_peer_is_never_logged(self) -> None:
        """Through refusals, faults and mail there is no trace of the peer."""
        told: list[str] = []

        def observer(event: object) -> None:
            told.append(repr(event) + eventAsText(event))  # type: ignore[arg-type]

        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        door = Door(tls=ServerTls(IDENTITY))
        door.data().send(LETTER + b".\r\n")
        call = door.greeted()
        call.send(b"STARTTLS\r\n")
        call.send(b"no handshake\r\n")
        door.call().send(b"x\r\n" * 5)
        self.assertNotIn(PEER.host, "".join(told))
