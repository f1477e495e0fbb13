"""What becomes of a message behind the gateway's last dot: the link, or the disk."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.gateway_door import Door


class SlowLinkTests(SynchronousTestCase):
    """A tunnel passes 20 KB a second; a crate should go over it once."""

    def test_what_a_tunnel_takes_in_time_is_handed_over(self) -> None:
        """13 seconds' worth is the host's to answer for; 20 seconds' are kept first."""
        line = b"x" * 62 + b"\r\n"
        for octets, kept in ((240_000, 0), (400_000, 1)):
            door = Door()
            call = door.data()
            call.send(b"A: b\r\n\r\n" + line * (octets // len(line)) + b".\r\n")
            self.assertTrue(call.said.endswith(b"250 2.0.0 Ok: kept\r\n"))
            self.assertEqual(len(door.world.kept), kept)
            self.assertEqual(len(door.world.taken), 1 - kept)
