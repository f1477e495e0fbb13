"""What members do on IRC, and what thieves try, on a stage whose services run.

Each scene has nicks and a mailbox of its own, so that none depends on another.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from tests.flow.house import password
from tests.peers.irc.delay import SECONDS
from tests.peers.irc.stage import (
    BOT,
    CANCELLED,
    CHANNEL,
    GRANTED,
    NEWS,
    REGISTERED,
    WRONG,
    Stage,
    irc_password,
)
from tests.peers.irc.users import User

__all__ = ["SCENES", "silent_after_mail"]

# On a machine that is busy the thief may be too slow.
_TRIES = 10

SCENES: dict[str, Callable[[Stage], None]] = {}
"""The scenes by name, in the order in which they are played."""


def scene(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Put a scene on the list."""
    SCENES[play.__name__] = play
    return play


def _shows(stage: Stage, user: User, *members: str) -> None:
    """See that `.show` names these accounts, each with its size."""
    mark = user.tell(BOT, ".show")
    for member in members:
        told = stage.hear(user, rb"%s@mail\.i2p" % member.encode(), mark)
        assert re.search(
            rb"(last changed [\d-]{10}|no mail since .*), \d+ bytes", told
        ), told


def refused(stage: Stage, user: User, words: str) -> None:
    """See that a command is answered, if at all, with nothing but a refusal."""
    mark = user.tell(BOT, words)
    stage.pass_on()
    stage.pass_on()
    for line in stage.from_bot(user, mark):
        assert not re.search(GRANTED, line), line


def silent_after_mail(stage: Stage, member: str, *users: User) -> None:
    """See that mail for a member, noticed to others at once, is not to these users."""
    # What was said before the bot heard who they are now is on its way.
    stage.pass_on()
    marks = [user.mark() for user in users]
    witness = stage.witness
    mark = witness.mark()
    stage.mail(member, "witness")
    stage.hear(witness, NEWS, mark)
    stage.pass_on()
    time.sleep(stage.tick)
    for user, since in zip(users, marks, strict=True):
        assert not user.heard(NEWS, since), user.nick


@scene
def whole_dialogue(stage: Stage) -> None:
    """Register, two mails and one notice, show, cancel, and silence from then on."""
    member, other = stage.member(), stage.member()
    ann = stage.user("ann")
    assert stage.ask(ann, ".help", rb"\.register")
    stage.register(ann, member)
    stage.register(ann, other)
    mark = ann.mark()
    stage.mail(member, other)
    stage.mail(member)
    stage.hear(ann, NEWS, mark)
    _shows(stage, ann, member, other)
    assert len(ann.heard(NEWS, mark)) == 1
    stage.ask(ann, f".cancel {member}@mail.i2p", CANCELLED)
    stage.ask(ann, f".cancel {other}@mail.i2p", CANCELLED)
    silent_after_mail(stage, member, ann)
    assert not ann.heard(rb"private matter|jondoe", 0)


@scene
def token(stage: Stage) -> None:
    """A token registers as well as the password does, and once."""
    member = stage.member()
    ben, cat = stage.user("ben"), stage.user("cat")
    made = stage.house.ctl("biff", "token", member)
    found = re.search(r"biff-[0-9a-zA-Z-]+", made)
    assert found, made
    words = f".register {member}@mail.i2p {found[0]}"
    stage.ask(ben, words, REGISTERED)
    refused(stage, cat, words)
    mark = ben.mark()
    stage.mail(member)
    stage.hear(ben, NEWS, mark)


@scene
def only_the_identified(stage: Stage) -> None:
    """Right words from one who is not identified, or is elsewhere, or is another."""
    member = stage.member()
    words = f".register {member}@mail.i2p {password(member)}"
    dan = stage.user("dan").log_out()
    refused(stage, dan, words)
    eve = stage.user("eve")
    eve.rename("eves")
    refused(stage, eve, words)
    fay = stage.user("fay", join=False)
    refused(stage, fay, words)
    silent_after_mail(stage, member, dan, eve, fay)
    dan.identify(irc_password("dan"))
    stage.ask(dan, f".register {member}@mail.i2p wrong-{password(member)}", WRONG)
    silent_after_mail(stage, member, dan)
    stage.register(dan, member)
    _shows(stage, dan, member)


@scene
def in_the_channel(stage: Stage) -> None:
    """A password said in the channel is not repeated there, and does nothing."""
    member = stage.member()
    gil = stage.user("gil")
    mark, watched = gil.mark(), stage.watcher.mark()
    secret = password(member)
    gil.say(b"PRIVMSG %s :.register %s@mail.i2p %s" % (
        CHANNEL, member.encode(), secret.encode(),
    ))  # fmt: skip
    stage.hear(gil, b"password", mark)
    mark = gil.mark()
    gil.say(b"PRIVMSG " + CHANNEL + b" :.help")
    stage.hear(gil, b"help", mark)
    assert not any(secret.encode() in line for line in stage.from_bot(gil))
    assert not stage.watcher.heard(rb"^:biff!\S+ (PRIVMSG|NOTICE)", watched)
    silent_after_mail(stage, member, gil)


@scene
def thief_of_a_command(stage: Stage) -> None:
    """Who gives a stolen nick back before he is checked is not taken for its owner."""
    member = stage.member()
    hal, thief = stage.user("hal"), stage.user("thiefh", account=False)
    stage.register(hal, member)
    for words in (f".cancel {member}@mail.i2p", ".show"):
        mark = thief.mark()
        hal.rename("halaway")
        thief.rename("hal")
        thief.tell(BOT, words)
        thief.rename("thiefh")
        hal.rename("hal")
        stage.pass_on()
        stage.pass_on()
        assert not [one for one in stage.from_bot(thief, mark) if b"@mail" in one]
    _shows(stage, hal, member)


@scene
def thief_of_a_notice(stage: Stage) -> None:
    """Who has a nick while it is checked gets nothing; its owner does later."""
    member = stage.member()
    ida, thief = stage.user("ida"), stage.user("thiefi", account=False)
    stage.register(ida, member)
    told = ida.mark()
    ida.rename("idaaway")
    thief.rename("ida")
    for _ in range(_TRIES):
        # What is on its way when the nick changes hands can not be called back, so the
        # bot hears of that first.
        stage.pass_on()
        mark, seen = thief.mark(), stage.witness.mark()
        said, heard = len(stage.relay.said), len(stage.relay.heard)
        stage.mail(member, "witness")
        if stage.is_pushed or _poisoned(stage, ida, thief, said, heard):
            break
        stage.pass_on()
    else:
        raise AssertionError("this machine is too busy for a thief")
    stage.hear(stage.witness, NEWS, seen)
    stage.pass_on()
    stage.pass_on()
    assert not stage.from_bot(thief, mark)
    thief.rename("thiefi")
    ida.rename("ida")
    ida.identify(irc_password("ida"))
    stage.hear(ida, NEWS, told)


def _poisoned(stage: Stage, owner: User, thief: User, said: int, heard: int) -> bool:
    """Have the server say yes of the owner to a question about the thief.

    He gives the nick back while the question is under way, and has it again when the
    answer is there. Only that it changed hands meanwhile shows what the yes is worth.
    False if somebody was too slow, on a busy machine: then a yes may have been right.
    """
    asked = stage.await_said(rb"^WHOIS ida$", said)
    thief.rename("thiefi")
    owner.rename("ida")
    stage.await_heard(rb" 318 \S+ ida ", heard)
    owner.rename("idaaway")
    thief.rename("ida")
    swapped = time.monotonic()
    known = stage.await_heard(rb"^:idaaway!\S+ NICK :?ida$", heard)
    yes = [
        when for when, line in stage.relay.heard[heard:] if b" 330 biff ida " in line
    ]
    questions = [when for when, line in stage.relay.said[said:] if line == b"WHOIS ida"]
    return (
        bool(yes)
        and asked < known <= yes[0]
        # The answer was to the first question, and the next finds the thief.
        and yes[0] < asked + 3 * SECONDS
        and sum(when < yes[0] - SECONDS / 2 for when in questions) == 1
        and swapped < yes[0] + SECONDS / 2
    )


@scene
def thief_of_an_answer(stage: Stage) -> None:
    """Answers that wait their turn are not said to who has taken the nick meanwhile."""
    member = stage.member()
    jim, thief = stage.user("jim"), stage.user("thiefj", account=False)
    stage.register(jim, member)
    said, heard = len(stage.relay.said), len(stage.relay.heard)
    for _ in range(6):
        jim.tell(BOT, ".show")
    stage.await_said(rb"^(NOTICE|PRIVMSG) jim .*@mail\.i2p", said)
    jim.rename("jimaway")
    thief.rename("jim")
    known = stage.await_heard(rb"(^| ):jim!\S+ NICK :?jimaway", heard)
    stage.pass_on()
    stage.pass_on()
    for when, line in stage.relay.said[said:]:
        if re.match(rb"(NOTICE|PRIVMSG) jim .*@mail\.i2p", line):
            # A scheduling's worth of slack: the record is the relay's, not the bot's.
            assert when < known + 0.3, line


@scene
def grouped_nick(stage: Stage) -> None:
    """A nick grouped to an account of another name is as good; a foreign one is not."""
    member = stage.member()
    kim = stage.user("kim")
    kim.rename("kimtwo")
    kim.group("kim", irc_password("kim"))
    stage.register(kim, member)
    mark = kim.mark()
    stage.mail(member)
    stage.hear(kim, NEWS, mark)
    kim.rename("kimaway")
    lou = stage.user("lou")
    lou.rename("kimtwo")
    refused(stage, lou, ".show")
    silent_after_mail(stage, member, lou, kim)
    lou.rename("loutwo")
    mark = kim.mark()
    kim.rename("kimtwo")
    stage.hear(kim, NEWS, mark)


@scene
def away_and_back(stage: Stage) -> None:
    """What came while its nick was another, or away, is told on return, once."""
    member = stage.member()
    mia = stage.user("mia")
    stage.register(mia, member)
    mia.rename("mianew")
    silent_after_mail(stage, member, mia)
    mark = mia.mark()
    mia.rename("mia")
    stage.hear(mia, NEWS, mark)
    mia.say(b"PART " + CHANNEL)
    mia.round_trip()
    silent_after_mail(stage, member, mia)
    mark = mia.mark()
    mia.join()
    stage.hear(mia, NEWS, mark)
    mia.quit()
    stage.pass_on()
    stage.mail(member)
    again = User(stage.network.port, "mia")
    stage.users.append(again)
    again.join()
    stage.pass_on()
    assert not again.heard(NEWS)
    again.identify(irc_password("mia"))
    stage.hear(again, NEWS, 0)
    stage.pass_on()
    assert len(again.heard(NEWS)) == 1
