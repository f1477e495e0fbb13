"""HTTP as the pages speak it: bounded, and nothing told of us or the visitor."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from postmand.web.channel import REFUSED
from postmand.web.secrecy import ALWAYS
from tests.web_world import World, answers

pytestmark = pytest.mark.long

HOST = b"Host: localhost\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


def request(method: bytes, target: bytes, *lines: bytes, host: bytes = HOST) -> bytes:
    """Return a request's octets; each line without its end."""
    head = b"%b %b HTTP/1.1\r\n%b" % (method, target, host)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


class ChannelTest(SynchronousTestCase):
    """Bare octets to the pages."""

    def setUp(self) -> None:
        """Make the pages."""
        self.world = World()

    def status(self, *octets: bytes) -> int:
        """Return the status of the only answer."""
        (answer,) = answers(self.world.wire(*octets))
        return answer.status

    def test_refusals(self) -> None:
        """Each is refused with its status, a page in our design, and the end."""
        long = b"x" * 65_537
        for octets, status in (
            (request(b"PUT", b"/"), 405),
            (request(b"OPTIONS", b"*"), 405),
            (request(b"CONNECT", b"localhost:25"), 405),
            (request(b"TRACE", b"/"), 405),
            (request(b"get", b"/"), 405),
            (request(b"GET", b"/", host=b""), 421),
            (request(b"GET", b"/", host=HOST + HOST), 421),
            (request(b"GET", b"/", b"Content-Length: nine"), 400),
            (request(b"GET", b"/", b"Content-Length: -1"), 400),
            (request(b"POST", b"/", b"Content-Length: 1", b"Content-Length: 1"), 400),
            (request(b"POST", b"/", b"Content-Length: 1", b"Content-Length: 2"), 400),
            (
                request(
                    b"POST", b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked"
                ),
                400,
            ),
            (request(b"POST", b"/", b"Transfer-Encoding: gzip, chunked"), 400),
            (request(b"POST", b"/", b"Content-Length: 65537"), 413),
            (request(b"POST", b"/", b"Content-Length: " + b"9" * 5_000), 413),
            (request(b"POST", b"/", b"Content-Length: 1"), 415),
            (request(b"GET", b"/", b"Content-Length: 1"), 415),
            (
                request(
                    b"POST",
                    b"/login",
                    b"Content-Length: 9",
                    b"Content-Type: multipart/form-data; boundary=x",
                ),
                415,
            ),
            (request(b"GET", b"/", b"X: " + b"x" * 20_000), 431),
            (request(b"GET", b"/" + b"x" * 20_000), 431),
            (request(b"GET", b"/", *[b"X: y"] * 101), 400),
            (request(b"GET", b"/", *[b"X: " + b"y" * 900] * 40), 400),
            (request(b"GET", b"/", b"no colon"), 400),
            (request(b"GET", b"/", b"a name: x"), 400),
            (request(b"GET", b"/", b"X: a\0b"), 400),
            (request(b"GET", b"/", b"X: a\rSet-Cookie: b"), 400),
            (request(b"GET", b"login"), 400),
            (request(b"GET", b"/\xe4"), 400),
            (request(b"GET", b"/%e4"), 400),
            (request(b"GET", b"/#x"), 400),
            (request(b"GET", b"http://elsewhere.i2p/"), 400),
            (request(b"GET", b"http://localhost@elsewhere.i2p/"), 400),
            (b"GET /\r\n", 400),
            (b"GET / HTTP/0.9\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\n\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\r\n", 400),
            (
                request(b"POST", b"/login", FORM[:-2], b"Transfer-Encoding: chunked")
                + b"zz\r\n",
                400,
            ),
            (
                request(b"POST", b"/login", FORM[:-2], b"Transfer-Encoding: chunked")
                + b"%x\r\n%b\r\n0\r\n\r\n" % (len(long), long),
                413,
            ),
        ):
            with self.subTest(octets=octets[:90]):
                channel, line = self.world.connect()
                channel.dataReceived(octets)
                (answer,) = answers(line.value())
                self.assertEqual(answer.status, status)
                self.assertTrue(line.half_closed)
                self.assertIn(b"</html>", answer.body)
                self.assertIn(b"/static/style.", answer.body)
                self.assertEqual(answer.headers["connection"], "close")
                self.check_secrecy(answer)
                # What comes after it is nobody's.
                channel.dataReceived(request(b"GET", b"/"))
                self.assertEqual(len(answers(line.value())), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def check_secrecy(self, answer: Any) -> None:
        """See that a browser is told what protects its visitor, and nothing of us."""
        for name, value in ALWAYS:
            self.assertEqual(answer.headers[name.decode().lower()], value.decode())
        for name in ("server", "date", "last-modified", "etag"):
            self.assertNotIn(name, answer.headers)

    def test_every_answer_protects(self) -> None:
        """No page without the headers against frames, scripts and referrers."""
        browser, member = self.world.browser(), self.world.member()
        style = browser.get("/").text.partition('stylesheet" href="')[2]
        for answer in (
            browser.get("/"),
            browser.get("/nothing"),
            browser.get("/account"),
            browser.get(style.partition('"')[0]),
            browser.get("/robots.txt"),
            browser.ask("POST", "/robots.txt"),
            browser.ask("POST", "/login", b"garbage"),
            browser.ask("HEAD", "/"),
            browser.get("/.well-known/openpgpkey/policy"),
            member.get("/account"),
        ):
            self.check_secrecy(answer)
        policy = dict(ALWAYS)[b"Content-Security-Policy"]
        self.assertIn(b"default-src 'none'", policy)
        self.assertIn(b"frame-ancestors 'none'", policy)
        self.assertNotIn(b"unsafe", policy)

    def test_refused_head(self) -> None:
        """The answer to HEAD has no body, refused or not."""
        for octets in (
            request(b"HEAD", b"/", host=b"Host: elsewhere\r\n"),
            request(b"HEAD", b"/"),
            request(b"HEAD", b"/nothing"),
        ):
            said = self.world.wire(octets)
            self.assertTrue(said.endswith(b"\r\n\r\n"))
            self.assertEqual(said.count(b"\r\n\r\n"), 1)

    def test_expectation_of_the_refused(self) -> None:
        """Nobody is told to go on with a body that is refused; others are."""
        expect, length = b"Expect: 100-continue", b"Content-Length: %d"
        said = self.world.wire(request(b"POST", b"/login", expect, length % 99_999))
        self.assertTrue(said.startswith(b"HTTP/1.1 413 "))
        self.assertNotIn(b" 100 ", said)
        said = self.world.wire(
            request(b"POST", b"/login", FORM[:-2], expect, length % 3), b"a=b"
        )
        self.assertTrue(said.startswith(b"HTTP/1.1 100 "))
        self.assertIn(b"HTTP/1.1 400 ", said)

    def test_hosts(self) -> None:
        """A name that leads here is not ours for that; ports and case are none's."""
        for host in (
            b"localhost",
            b"LOCALHOST:8025",
            b"127.0.0.1:1",
            b"hq.postman.i2p.",
            b"localhost:",
        ):
            line = b"Host: %b\r\n" % host
            self.assertEqual(self.status(request(b"GET", b"/", host=line)), 200, host)
        for host in (
            b"",
            b"elsewhere.i2p",
            b"localhost.elsewhere.i2p",
            b"localhost@elsewhere.i2p",
            b"elsewhere.i2p@localhost",
            b"localhost:80:80",
            b"localhost:x",
            b"localhost/x",
            b"localhost#",
            b"localhost, elsewhere.i2p",
            b"[::1]",
            b"[localhost]",
            b"%6cocalhost",
            b"l\xf6calhost",
            b"<script>alert(1)</script>",
        ):
            line = b"Host: %b\r\n" % host
            self.assertEqual(self.status(request(b"GET", b"/", host=line)), 421, host)
        whole = b"http://localhost:8025/robots.txt"
        self.assertEqual(self.status(request(b"GET", whole)), 200)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_no_log_and_no_answer_quotes_the_host(self) -> None:
        """What is refused is not told again."""
        said = self.world.wire(request(b"GET", b"/", host=b"Host: <marked>\r\n"))
        self.assertNotIn(b"marked", said)

    def test_older_versions(self) -> None:
        """HTTP/1.0 is answered and closed, 1.1 kept."""
        channel, line = self.world.connect()
        channel.dataReceived(b"GET /robots.txt HTTP/1.0\r\n" + HOST + b"\r\n")
        (answer,) = answers(line.value())
        self.assertEqual(answer.status, 200)
        self.assertTrue(line.disconnecting)
        channel, line = self.world.connect()
        channel.dataReceived(request(b"GET", b"/robots.txt"))
        self.assertFalse(line.disconnecting)

    def test_pipelined(self) -> None:
        """Requests in one burst are answered each, in their order."""
        one, other = (request(b"GET", path) for path in (b"/robots.txt", b"/nothing"))
        channel, line = self.world.connect()
        channel.dataReceived(one + other + one)
        self.world.turns()
        found = [answer.status for answer in answers(line.value())]
        self.assertEqual(found, [200, 404, 200])
        # Octet by octet it is no other.
        channel, line = self.world.connect()
        for octet in one + other:
            channel.dataReceived(bytes([octet]))
            self.world.turns()
        found = [answer.status for answer in answers(line.value())]
        self.assertEqual(found, [200, 404])

    def test_a_burst_is_answered_turn_by_turn(self) -> None:
        """Others come between; and who takes no answers is given no more of them."""
        channel, line = self.world.connect()
        burst = 20
        channel.dataReceived(request(b"GET", b"/robots.txt") * burst)
        self.assertEqual(len(answers(line.value())), 1)
        for number in range(2, 6):
            self.world.turn()
            self.assertEqual(len(answers(line.value())), number)
        channel.pauseProducing()
        self.world.turns()
        self.assertEqual(len(answers(line.value())), 5)
        channel.resumeProducing()
        self.world.turns()
        self.assertEqual(len(answers(line.value())), burst)
        # Stuck for good, it goes as any other.
        channel.dataReceived(request(b"GET", b"/robots.txt") * 2)
        channel.pauseProducing()
        self.world.clock.advance(61)
        self.assertTrue(line.aborting)

    def test_slow(self) -> None:
        """All of a request is here in time, or the connection goes: no dripping."""
        head = request(b"POST", b"/login", FORM[:-2], b"Content-Length: 500")
        for begun in (b"", b"GET / HT", request(b"GET", b"/")[:-2], head):
            channel, line = self.world.connect()
            channel.dataReceived(begun)
            for _ in range(59):
                self.world.clock.advance(1)
                channel.dataReceived(b"x" if begun.endswith(b"\r\n") else b"")
            self.assertFalse(line.aborting, begun)
            self.world.clock.advance(1)
            self.assertTrue(line.aborting, begun)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_idle(self) -> None:
        """A connection on which nothing more is asked goes, as does a stuck one."""
        for octets in (
            request(b"GET", b"/robots.txt"),
            request(b"GET", b"/robots.txt", b"Connection: close"),
        ):
            channel, line = self.world.connect()
            channel.dataReceived(octets)
            self.world.clock.advance(59)
            channel.dataReceived(b"")
            self.assertFalse(line.aborting)
            self.world.clock.advance(1)
            self.assertTrue(line.aborting)

    def test_the_next_request_has_a_time_of_its_own(self) -> None:
        """What was answered late does not shorten the next."""
        channel, line = self.world.connect()
        for _ in range(3):
            self.world.clock.advance(40)
            channel.dataReceived(request(b"GET", b"/robots.txt"))
        self.assertEqual(len(answers(line.value())), 3)
        self.assertFalse(line.aborting)

    def test_refused_go_soon(self) -> None:
        """A refused visitor may read the answer, and is not waited for long."""
        channel, line = self.world.connect()
        channel.dataReceived(request(b"PUT", b"/"))
        self.world.clock.advance(4)
        channel.dataReceived(b"x" * 1_000_000)
        self.assertFalse(line.aborting)
        self.world.clock.advance(2)
        self.assertTrue(line.aborting)
        self.assertEqual(len(answers(line.value())), 1)

    def test_no_timer_is_left(self) -> None:
        """A connection that ends takes its timers along."""
        before = len(self.world.clock.getDelayedCalls())
        for octets in (b"", b"GET", request(b"GET", b"/"), request(b"PUT", b"/")):
            self.world.wire(octets)
        self.assertEqual(len(self.world.clock.getDelayedCalls()), before)

    def test_places(self) -> None:
        """So many connections in all, so many for a peer; each end makes room."""
        world = World(connections=3, connections_per_peer=2)
        first, line = world.connect("127.0.0.2")
        lines = [line, world.connect("127.0.0.2")[1], world.connect("127.0.0.3")[1]]
        first.connectionLost(Failure(ConnectionDone()))
        lines.append(world.connect("127.0.0.4")[1])
        self.assertFalse(any(one.aborting for one in lines))
        world.connect("127.0.0.5")
        self.assertEqual([one.aborting for one in lines], [False, True, False, False])

    def test_telltale_fields_are_dropped(self) -> None:
        """What a browser or a tunnel tells of the visitor no page can see."""
        seen: list[Any] = []
        resource = self.world.site.resource
        render = resource.render

        def spy(request: Any) -> Any:
            seen.extend(name for name, _ in request.requestHeaders.getAllRawHeaders())
            return render(request)

        self.patch(resource, "render", spy)
        told = (
            *(b"X-I2P-DestHash", b"X-I2P-DestB32", b"X-I2P-DestB64", b"User-Agent"),
            *(b"Accept-Language", b"Referer", b"X-Forwarded-For", b"Via", b"DNT"),
        )
        self.status(request(b"GET", b"/", *(name + b": marked" for name in told)))
        self.assertEqual(seen, [b"Host"])

    def test_all_refusals_have_words(self) -> None:
        """There is a page for every status that the channel knows."""
        for status in REFUSED:
            self.assertIn(b"</html>", self.world.site.refusal(status))

    def test_whole_forms_in_chunks(self) -> None:
        """A chunked form is a form."""
        browser = self.world.browser()
        token = browser.get("/login").token().encode()
        body = b"name=nobody&password=x&token=" + token
        cookie = b"Cookie: postmand=" + browser.cookie.encode()
        head = request(
            b"POST", b"/login", FORM[:-2], cookie, b"Transfer-Encoding: chunked"
        )
        pieces = [b"%x\r\n%c\r\n" % (1, octet) for octet in body]
        self.assertEqual(self.status(head, *pieces, b"0\r\n\r\n"), 403)


class LostTest(SynchronousTestCase):
    """Visitors who hang up."""

    def test_hung_up_in_mid_change(self) -> None:
        """What was begun is finished, and nothing is logged."""
        world = World()
        member = world.member()
        token = member.get("/account").token()
        held: list[Any] = []
        membership = world.membership
        change = membership.set_delay

        def later(*arguments: Any) -> Any:
            waiting: Deferred[None] = Deferred()
            held.append((waiting, arguments))
            return waiting.addCallback(lambda _: change(*arguments))

        self.patch(membership, "set_delay", later)
        channel, line = world.connect()
        body = b"delay=batch&token=" + token.encode()
        channel.dataReceived(
            request(
                b"POST",
                b"/account/delay",
                FORM[:-2],
                b"Cookie: postmand=" + member.cookie.encode(),
                b"Content-Length: %d" % len(body),
            )
            + body
        )
        self.assertEqual(line.value(), b"")
        channel.connectionLost(Failure(ConnectionDone()))
        held[0][0].callback(None)
        self.assertEqual(membership.people["jondoe"].delay, "batch")
        self.assertEqual(self.flushLoggedErrors(), [])
