"""Places at the pages: nobody shuts them by sitting in them."""

from __future__ import annotations

from postmand.web.places import Places
from tests.test_web_channel import request
from tests.web_world import World, answers


class House:
    """Places of names; `a1` is peer a's first."""

    def __init__(self, most: int, per_peer: int) -> None:
        self.ended: list[str] = []
        self.places: Places[str] = Places(most, per_peer, self.ended.append)

    def come(self, *names: str) -> bool:
        """Let them in, one by one; tell whether the last was."""
        entered = False
        for one in names:
            entered = self.places.take(one[0])
            if entered:
                self.places.sit(one, one[0])
        return entered


def test_own_places() -> None:
    """Who has all of a peer's gives up the one that was waited for longest."""
    house = House(9, 2)
    assert house.come("a1", "a2", "b1", "a3")
    assert house.ended == ["a1"]
    house.places.wait("a2")
    assert house.come("a4")
    assert house.ended == ["a1", "a3"]


def test_full_house() -> None:
    """Room is made by the peer that has most, and its longest-waited-for."""
    house = House(5, 3)
    assert house.come("b1", "a1", "a2", "a3", "b2", "c1")
    assert house.ended == ["a1"]
    # Of two that have as many, the one that is waited for longer.
    assert house.come("d1")
    assert house.ended == ["a1", "b1"]
    assert house.come("d2", "d3")
    assert house.ended[2:] == ["a2", "d1"]


def test_who_is_answered_keeps_the_place() -> None:
    """Only where all are being answered nobody else comes in."""
    house = House(2, 2)
    house.come("a1", "a2")
    house.places.serve("a1")
    assert house.come("b1")
    assert house.ended == ["a2"]
    house.places.serve("b1")
    assert not house.come("c1")
    house.places.wait("a1")
    assert house.come("c1")
    assert house.ended == ["a2", "a1"]


def test_leaving() -> None:
    """A place is left once, also one that was taken away; nothing stays behind."""
    house = House(2, 1)
    house.come("a1", "a2", "b1")
    for one in ("a1", "a1", "a2", "b1"):
        house.places.serve(one)
        house.places.wait(one)
        house.places.leave(one)
    assert house.come("c1", "d1")
    for one in ("c1", "d1"):
        house.places.leave(one)
    rest = [vars(house.places)[name] for name in ("_holders", "_taken", "_waited")]
    assert [dict(one) for one in rest] == [{}, {}, {}]


def test_three_destinations() -> None:
    """The pages of a node with all places taken by slow ones open for a newcomer."""
    world = World(connections=6, connections_per_peer=2)
    slow = [world.connect(f"127.0.0.{one // 2 + 1}") for one in range(6)]
    for channel, _ in slow:
        channel.dataReceived(b"GET / HTTP/1.1\r\nHost: ")
    channel, line = world.connect("127.0.0.9")
    channel.dataReceived(request(b"GET", b"/"))
    assert [one.status for one in answers(line.value())] == [200]
    assert [line.aborting for _, line in slow] == [True] + [False] * 5
    # The second of the same slow peer ends its own first.
    channel, line = world.connect("127.0.0.3")
    channel.dataReceived(request(b"GET", b"/"))
    assert [one.status for one in answers(line.value())] == [200]
    assert [line.aborting for _, line in slow][4:] == [True, False]
