"""Where members hand in mail: AUTH, and whose address may stand where."""

from __future__ import annotations

import base64

from twisted.logger import globalLogPublisher

from tests.sessions import (
    HOST,
    PASSWORD,
    Destination,
    HouseCase,
    Session,
    plain,
    reply_codes,
)

MAIL = b"MAIL FROM:<jondoe@mail.i2p>\r\n"
RCPT = b"RCPT TO:<alice@mail.i2p>\r\n"
NAME = base64.b64encode(b"jondoe")
WORD = base64.b64encode(PASSWORD)


class AuthTest(HouseCase):
    """AUTH (RFC 4954)."""

    def session(self) -> Session:
        """Connect and say EHLO."""
        session = self.house.submit()
        session.line(b"EHLO x")
        return session

    def test_plain(self) -> None:
        """PLAIN, with its response along or after a challenge."""
        answer = self.session().line(b"AUTH PLAIN " + plain(b"jondoe"))
        self.assertEqual(answer, b"235 2.7.0 Authentication successful\r\n")
        session = self.session()
        self.assertEqual(session.line(b"AUTH PLAIN"), b"334 \r\n")
        self.assertEqual(reply_codes(session.line(plain(b"jondoe"))), [235])

    def test_login(self) -> None:
        """LOGIN, step by step, with the name along, and in susimail's burst."""
        session = self.session()
        self.assertEqual(session.line(b"AUTH LOGIN"), b"334 VXNlcm5hbWU6\r\n")
        self.assertEqual(session.line(NAME), b"334 UGFzc3dvcmQ6\r\n")
        self.assertEqual(reply_codes(session.line(WORD)), [235])
        session = self.session()
        self.assertEqual(session.line(b"AUTH LOGIN " + NAME), b"334 UGFzc3dvcmQ6\r\n")
        self.assertEqual(reply_codes(session.line(WORD)), [235])
        session = self.session()
        said = session.send(b"AUTH LOGIN\r\n" + NAME + b"\r\n" + WORD + b"\r\n" + MAIL)
        self.assertEqual(reply_codes(said), [334, 334, 235, 250])

    def test_authzid(self) -> None:
        """An authzid is taken when it is the user's own."""
        for authzid, code in ((b"jondoe@mail.i2p", 235), (b"alice", 535)):
            answer = self.session().line(
                b"AUTH PLAIN " + plain(b"jondoe", authzid=authzid)
            )
            self.assertEqual(reply_codes(answer), [code])

    def test_without_argument(self) -> None:
        """AUTH alone is a refusal, not a fault."""
        for line in (b"AUTH", b"AUTH ", b"AUTH  ", b"AUTH CRAM-MD5"):
            self.assertEqual(reply_codes(self.session().line(line)), [504], line)

    def test_lax_base64(self) -> None:
        """What is no base64, or no PLAIN, is 501 and costs no check."""
        for response in (b"!!!", b"AGpvbmRvZQ", b"=", b"AGE=AGE=", b"\xff", b"*"):
            for line in (b"AUTH PLAIN " + response, b"AUTH PLAIN\r\n" + response):
                answer = self.session().line(line)
                self.assertEqual(reply_codes(answer)[-1], 501, response)
        self.assertEqual(self.house.store.keyring.tries, 0)

    def test_cancelled(self) -> None:
        """`*` cancels, at each step, and the session goes on."""
        session = self.session()
        for lines in (b"AUTH PLAIN\r\n*\r\n", b"AUTH LOGIN\r\n" + NAME + b"\r\n*\r\n"):
            self.assertEqual(reply_codes(session.send(lines))[-1], 501)
            self.assertEqual(session.codes(b"NOOP\r\n"), [250])

    def test_response_is_no_command(self) -> None:
        """While a response is awaited nothing else is looked for in the line."""
        session = self.session()
        session.line(b"AUTH LOGIN")
        self.assertEqual(reply_codes(session.line(b"QUIT")), [334])
        self.assertEqual(reply_codes(session.line(b"RSET")), [535])

    def test_order(self) -> None:
        """No AUTH before EHLO, twice, or inside a transaction."""
        auth = b"AUTH PLAIN " + plain(b"jondoe") + b"\r\n"
        self.assertEqual(self.house.submit().codes(auth), [503])
        session = self.house.submitting()
        self.assertEqual(session.codes(auth), [503])
        self.assertEqual(session.codes(MAIL + auth), [250, 503])

    def test_enumeration(self) -> None:
        """A wrong password and an unknown name get the same words, for both kinds."""
        answers = set()
        for name in (b"jondoe", b"nobody"):
            tries = self.house.store.keyring.tries
            session = self.session()
            answers.add(session.line(b"AUTH PLAIN " + plain(name, b"wrong")))
            session.line(b"AUTH LOGIN")
            session.line(base64.b64encode(name))
            answers.add(session.line(base64.b64encode(b"wrong")))
            self.assertEqual(self.house.store.keyring.tries, tries + 2)
        self.assertEqual(answers, {b"535 5.7.8 Name or password is wrong\r\n"})

    def test_guessing(self) -> None:
        """Five wrong passwords end the session."""
        session = self.session()
        for _ in range(5):
            session.line(b"AUTH PLAIN " + plain(b"jondoe", b"wrong"))
            session.advance(10)
        self.assertFalse(session.open)
        self.assertEqual(reply_codes(session.said)[-6:], [535] * 5 + [421])

    def test_busy(self) -> None:
        """A login turned away is told to try again, in a code that means it."""
        self.house = self.build(logins_waiting=1, argon2_threads=2)
        self.house.argon2.held = True
        sessions = [self.session() for _ in range(5)]
        for session in sessions:
            session.line(b"AUTH PLAIN " + plain(b"jondoe", b"wrong"))
        codes = [reply_codes(session.said)[-1] for session in sessions]
        self.assertEqual(codes.count(454), 2)

    def test_commands_wait_for_the_login(self) -> None:
        """What is pipelined behind AUTH is judged with its outcome."""
        self.house.argon2.held = True
        session = self.session()
        said = session.send(b"AUTH PLAIN " + plain(b"jondoe") + b"\r\n" + MAIL + RCPT)
        self.assertEqual(said, b"")
        self.house.argon2.release()
        self.assertEqual(reply_codes(session.said)[-3:], [235, 250, 250])

    def test_lost_during_the_login(self) -> None:
        """A connection lost while the password is checked leaves no timer, no key."""
        self.house.argon2.held = True
        session = self.session()
        session.line(b"AUTH PLAIN " + plain(b"jondoe"))
        session.drop()
        self.house.argon2.release()
        self.assertEqual(self.house.clock.getDelayedCalls(), [])
        self.assertIsNone(session.server._member)

    def test_keys_go_with_the_session(self) -> None:
        """When the connection is lost nothing of the member is held."""
        session = self.house.submitting()
        session.drop()
        self.assertIsNone(session.server._member)

    def test_silent_before_the_login(self) -> None:
        """Who does not log in is not kept for ever: not by whole lines, either."""
        session = self.session()
        for _ in range(60):
            session.send(b"NOOP\r\n")
            session.advance(60, 10)
        self.assertFalse(session.open)


class SenderTest(HouseCase):
    """Whose mail it is."""

    def test_login_first(self) -> None:
        """Every mail needs a login, also to a member."""
        session = self.house.submit()
        session.line(b"EHLO x")
        self.assertEqual(session.line(MAIL.strip())[:9], b"530 5.7.0")
        self.assertEqual(session.codes(RCPT + b"DATA\r\n"), [503, 503])

    def test_own_address(self) -> None:
        """Only the login's own address, in either domain and any writing, may send."""
        for path in (
            b"<jondoe@mail.i2p>",
            b"<JonDoe@Mail.I2P>",
            b"<jondoe@i2pmail.org>",
            b"<jondoe@mail.i2p.>",
            b"jondoe@mail.i2p",
            b"<jondoe>",
            b'<"jondoe"@mail.i2p>',
        ):
            session = self.house.submitting()
            self.assertEqual(session.codes(b"MAIL FROM:" + path + b"\r\n"), [250], path)

    def test_forged(self) -> None:
        """Nobody else's, and no trick with quotes, routes, octets or the null path."""
        for path in (
            b"<alice@mail.i2p>",
            b"<jondoe@example.org>",
            b"<>",
            b"<jondoe@mail.i2p.example.org>",
            b"<jondoe@i2p>",
            b"<jondoe+x@mail.i2p>",
            b'<"jondoe "@mail.i2p>',
            b"<@a:jondoe@mail.i2p>",
            b"<alice%jondoe@mail.i2p>",
            b"<jondoe@mail.i2p@alice>",
            b"<jondoe\0@mail.i2p>",
            b"<jondoe@[127.0.0.1]>",
            b"<jondoe@mail..i2p>",
            "<jondоe@mail.i2p>".encode(),  # noqa: RUF001 - a Cyrillic o
        ):
            session = self.house.submitting()
            self.assertEqual(session.codes(b"MAIL FROM:" + path + b"\r\n"), [553], path)
            self.assertEqual(session.codes(RCPT), [503], path)

    def test_recipients(self) -> None:
        """Members in either domain; strangers 550 5.1.1, the Internet 550 5.7.1."""
        session = self.house.submitting()
        session.send(MAIL)
        for path, start in (
            (b"<alice@mail.i2p>", b"250 "),
            (b"<ALICE@I2PMAIL.ORG.>", b"250 "),
            (b"<alice>", b"250 "),
            (b"<jondoe@mail.i2p>", b"250 "),
            (b"<nobody@mail.i2p>", b"550 5.1.1"),
            (b"<alice@example.org>", b"550 5.7.1"),
            (b"<alice@[127.0.0.1]>", b"550 5.7.1"),
            ("<älice@mail.i2p>".encode(), b"550 5.1.1"),
        ):
            answer = session.line(b"RCPT TO:" + path)
            self.assertTrue(answer.startswith(start), (path, answer))

    def test_recipients_before_the_login(self) -> None:
        """Who is a member is told after a login only."""
        session = self.house.submit()
        session.line(b"EHLO x")
        session.send(MAIL)
        answers = {
            session.line(b"RCPT TO:<%s@mail.i2p>" % name) for name in (b"alice", b"no")
        }
        self.assertEqual(len(answers), 1)

    def test_disabled(self) -> None:
        """A disabled account takes no mail."""
        self.house.store.disable("alice")
        session = self.house.submitting()
        self.assertEqual(session.codes(MAIL + RCPT), [250, 550])

    def test_full(self) -> None:
        """A mailbox too full for the declared size says so at RCPT."""
        self.house = self.build(mailbox_bytes=10_000)
        self.house.put("alice", b"Subject: x\r\n\r\n" + b"x" * 5_000)
        session = self.house.submitting()
        mail = b"MAIL FROM:<jondoe@mail.i2p> SIZE=%d\r\n"
        self.assertEqual(session.codes(mail % 4_000 + RCPT), [250, 250])
        self.assertEqual(session.codes(b"RSET\r\n" + mail % 6_000 + RCPT)[-1], 452)

    def test_too_many_copies(self) -> None:
        """Size times recipients has a bound; the refusal is permanent and told."""
        self.house = self.build(copies_bytes=65_536)
        session = self.house.data(b"alice", b"bob")
        session.send(b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 500)
        self.assertEqual(session.codes(b".\r\n"), [552])
        self.assertEqual(self.house.mailbox("alice"), [])

    def test_address_of_the_operator(self) -> None:
        """postmaster, with or without a domain, leads where the operator says."""
        self.house = self.build(aliases={"postmaster": "bob"})
        session = self.house.submitting()
        session.send(MAIL)
        for path in (b"<postmaster>", b"<Postmaster@mail.i2p>"):
            self.assertEqual(session.codes(b"RCPT TO:" + path + b"\r\n"), [250], path)


class PrivacyTest(HouseCase):
    """What is not written."""

    traces = (
        HOST, "49152", "correct horse", "my-own-box", "jondoe", "alice", "secret-id",
        "hidden-subject", "DestOfAPeer", base64.b64encode(PASSWORD).decode(),
    )  # fmt: skip

    def test_normal_work_is_not_logged(self) -> None:
        """A whole submission, good and bad, leaves not one line in the log."""
        for address in (None, Destination("DestOfAPeer" * 10)):
            session = self.house.submit(address) if address else self.house.submit()
            session.line(b"EHLO my-own-box.example.net")
            session.line(b"AUTH PLAIN " + plain(b"jondoe", b"wrong"))
            session.line(b"AUTH PLAIN " + plain(b"jondoe"))
            session.send(MAIL + RCPT + b"RCPT TO:<x@example.org>\r\nDATA\r\n")
            session.send(
                b"Message-ID: <secret-id@my-own-box>\r\nSubject: hidden-subject\r\n"
                b"Received: from my-own-box\r\n\r\nx\r\n.\r\nBAD\r\n"
            )
            session.line(b"QUIT")
        self.assertEqual(len(self.events), 0, self.logged())
        mailbox = b"".join(self.house.mailbox("alice"))
        for trace in (b"my-own-box", b"secret-id", b"DestOf", HOST.encode()):
            self.assertNotIn(trace, mailbox)

    def test_faults_are_logged_without_values(self) -> None:
        """An exception that quotes addresses leaves its type and place alone."""
        session = self.house.data()
        self.house.store.mailboxes.error = ValueError(
            f"jondoe to alice from {HOST}: hidden-subject"
        )
        session.send(b"Subject: hidden-subject\r\n\r\nx\r\n.\r\n")
        self.assertEqual(self.faults(), 1)
        self.assertIn("ValueError", self.logged())

    def test_the_observer_sees(self) -> None:
        """The eye on the log is open: what is logged is found in it."""
        globalLogPublisher({"log_format": "{x}", "x": "canary", "log_level": None})
        self.events, seen = [], self.events
        self.assertIn("canary", repr(seen))

    def test_factory_is_silent(self) -> None:
        """Twisted's factories log their ports and peers unless told not to."""
        self.assertFalse(self.house.smtp.noisy)
        self.assertFalse(self.house.pop3.noisy)

    def test_nothing_is_shown_of_a_session(self) -> None:
        """A session's repr, which a log may hold, names nobody."""
        session = self.house.submitting()
        self.assertNotIn("jondoe", repr(session.server))
        self.assertNotIn(HOST, repr(session.server))


class ConnectionsTest(HouseCase):
    """How many sessions there may be."""

    settings = {"connections": 3}  # noqa: RUF012

    def test_limit(self) -> None:
        """Over the limit a connection is not taken; one that ends makes room."""
        sessions = [self.house.submit() for _ in range(4)]
        self.assertEqual([one.refused for one in sessions], [False] * 3 + [True])
        sessions[0].drop()
        self.assertFalse(self.house.submit().refused)
        self.assertTrue(self.house.submit().refused)

    def test_each_end_counts_once(self) -> None:
        """A session gives its place back once, however it ends."""
        for _ in range(5):
            session = self.house.submit()
            session.send(b"QUIT\r\n")
            self.assertFalse(session.wire.connected)
            session = self.house.submit()
            session.send(b"GET / HTTP/1.1\r\n")
            self.assertFalse(session.wire.connected)
        sessions = [self.house.submit() for _ in range(4)]
        self.assertEqual([one.refused for one in sessions], [False] * 3 + [True])


class SusimailTest(HouseCase):
    """What the I2P router's own mail client says."""

    def test_dialogue(self) -> None:
        """Bursts, blanks before the address, no brackets."""
        session = self.house.submit()
        session.line(b"EHLO localhost")
        said = session.send(b"AUTH LOGIN\r\n" + NAME + b"\r\n" + WORD + b"\r\n")
        self.assertEqual(reply_codes(said), [334, 334, 235])
        said = session.send(
            b"MAIL FROM: jondoe@mail.i2p\r\nRCPT TO: alice@mail.i2p\r\nDATA\r\n"
        )
        self.assertEqual(reply_codes(said), [250, 250, 354])
        said = session.send(b"Subject: x\r\n\r\nx\r\n.\r\nQUIT\r\n")
        self.assertEqual(reply_codes(said), [250, 221])
        self.assertEqual(len(self.house.mailbox("alice")), 1)

    def test_quit_inside_data(self) -> None:
        """After a refused recipient it says QUIT inside DATA: nothing is delivered."""
        session = self.house.submitting()
        said = session.send(
            b"MAIL FROM: jondoe@mail.i2p\r\nRCPT TO: alice@mail.i2p\r\n"
            b"RCPT TO: nobody@mail.i2p\r\nDATA\r\n"
        )
        self.assertEqual(reply_codes(said), [250, 250, 550, 354])
        self.assertEqual(session.send(b"QUIT\r\n"), b"")
        session.drop()
        self.assertEqual(self.house.mailbox("alice"), [])
