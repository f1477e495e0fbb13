"""Scenes in which the network, its services or the bot itself fail: one at a time."""

from __future__ import annotations

import re
from collections.abc import Callable

from tests.flow.house import password
from tests.peers.irc.registry import watch
from tests.peers.irc.scenes import refused, silent_after_mail
from tests.peers.irc.stage import BOT, CHANNEL, NEWS, Stage, irc_password

__all__ = ["EVERYWHERE", "TROUBLES"]

TROUBLES: dict[str, Callable[[Stage], None]] = {}
"""The scenes by name, in the order in which they are played."""
EVERYWHERE: dict[str, Callable[[Stage], None]] = {}
"""Those that need no services."""


def _trouble(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
    TROUBLES[play.__name__] = play
    return play


def _everywhere(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
    EVERYWHERE[play.__name__] = play
    return play


@_everywhere
def kicked(stage: Stage) -> None:
    """Thrown out of its channel, the bot comes back."""
    watcher = stage.watcher
    mark = watcher.mark()
    watcher.say(b"KICK " + CHANNEL + b" biff :out")
    watcher.hear(rb" KICK \S+ biff", mark)
    stage.await_bot(mark)
    assert stage.ask(watcher, ".help", rb"\.register")


@_everywhere
def link_lost(stage: Stage) -> None:
    """A link that breaks is made anew."""
    mark = stage.watcher.mark()
    stage.relay.cut()
    stage.await_bot(mark)
    assert stage.ask(stage.watcher, ".help", rb"\.register")


@_everywhere
def link_half_open(stage: Stage) -> None:
    """A link that swallows every line, and tells neither side, is left for a new one.

    What was said into it was not told.
    """
    member, watcher = stage.member(), stage.watcher
    if stage.has_services:
        vic = stage.user("vic")
        stage.register(vic, member)
        mark = vic.mark()
    watched = watcher.mark()
    stage.relay.die()
    stage.mail(member)
    watcher.hear(rb"^:biff!\S+ QUIT", watched, seconds=90)
    stage.relay.open()
    # The next link may have begun in silence.
    stage.relay.cut()
    stage.await_bot(watched)
    if stage.has_services:
        stage.hear(vic, NEWS, mark)
    assert stage.ask(watcher, ".help", rb"\.register")


@_everywhere
def nobody_is_anybody(stage: Stage) -> None:
    """Without services everybody is refused, whatever the server lets them wear."""
    if stage.has_services:
        return
    member = stage.member()
    ned = stage.user("ned", account=False)
    ned.say(b"MODE ned +r", b"MODE ned +R")
    # Here nobody could register; had somebody, the mail would wait for him.
    watched = stage.watcher.mark()
    stage.house.stop()
    stage.watcher.hear(rb"^:biff!\S+ QUIT", watched)
    watch(stage.house, {member: ["ned"]})
    stage.start_bot()
    for words in (f".register {member}@mail.i2p {password(member)}", ".show"):
        refused(stage, ned, words)
    mark, said = ned.mark(), len(stage.relay.said)
    stage.mail(member)
    stage.await_said(rb"^WHOIS ned$", said)
    stage.pass_on()
    stage.pass_on()
    assert not stage.from_bot(ned, mark)


@_trouble
def services_stand_still(stage: Stage) -> None:
    """Who was identified stays so; of what NickServ alone knows nothing is believed."""
    member, other = stage.member(), stage.member()
    olga, pam = stage.user("olga"), stage.user("pam")
    stage.register(olga, member)
    pam.rename("pamtwo")
    pam.group("pam", irc_password("pam"))
    stage.register(pam, other)
    pam.rename("pamthree")
    stage.network.pause_services()
    try:
        pam.rename("pamtwo")
        refused(stage, pam, ".show")
        stage.mail(other)
        mark = olga.mark()
        stage.mail(member)
        stage.hear(olga, NEWS, mark)
        # What a server leaves on a nick while services are away says nothing.
        olga.rename("pamfour")
        thief = olga
        pam.rename("pamfive")
        thief.rename("pamtwo")
        refused(stage, thief, ".show")
        assert not thief.heard(NEWS, mark + 1)[1:]
        thief.rename("olga")
        pam.rename("pamtwo")
    finally:
        stage.network.resume_services()
    stage.network.await_services()
    stage.hear(pam, NEWS, 0)


@_trouble
def bot_killed(stage: Stage) -> None:
    """Killed and started again, the bot knows for whom mail waits."""
    member = stage.member()
    quin = stage.user("quin")
    stage.register(quin, member)
    quin.rename("quinaway")
    silent_after_mail(stage, member, quin)
    mark, watched = quin.mark(), stage.watcher.mark()
    stage.house.kill()
    stage.watcher.hear(rb"^:biff!\S+ QUIT", watched)
    quin.rename("quin")
    stage.start_bot()
    stage.hear(quin, NEWS, mark)
    silent_after_mail(stage, stage.member(), quin)


@_everywhere
def nick_stolen(stage: Stage) -> None:
    """Who takes the bot's nick while it is away has it no longer than it is.

    Where the bot can not show whose the nick is, it waits for it under another.
    """
    watched = stage.watcher.mark()
    stage.relay.cut(closed=True)
    stage.watcher.hear(rb"^:biff!\S+ QUIT", watched)
    thief = stage.user("thiefb", account=False)
    thief.rename(BOT)
    mark = stage.watcher.mark()
    stage.relay.open()
    stage.watcher.hear(rb"^:biff\S* JOIN", mark, seconds=60)
    if not stage.can_log_in:
        thief.quit()
    stage.watcher.hear(rb"^:biff\S+ NICK :?biff$|^:biff!\S+ JOIN", mark)
    if stage.has_services:
        rita = stage.user("rita")
        stage.register(rita, stage.member())
    assert not thief.heard(re.escape(stage.bot_password()))


@_trouble
def services_restarted(stage: Stage) -> None:
    """Services that go in order and come back find everybody as they were."""
    member = stage.member()
    sue = stage.user("sue")
    stage.register(sue, member)
    stage.network.stop_services()
    stage.network.start_services()
    sue.identify(irc_password("sue"))
    mark = sue.mark()
    stage.mail(member)
    stage.hear(sue, NEWS, mark)


@_trouble
def impostor(stage: Stage) -> None:
    """While services are dead somebody may call himself NickServ: he is not believed.

    Nor is he told a password when the bot comes back meanwhile.
    """
    member = stage.member()
    tom = stage.user("tom")
    tom.rename("tomtwo")
    tom.group("tom", irc_password("tom"))
    stage.register(tom, member)
    tom.rename("tomaway")
    # Only who is logged in, to another account, is asked about: NickServ has to tell.
    false, thief = stage.user("false", account=False), stage.user("thieft")
    stage.network.kill_services()
    try:
        thief.rename("tomtwo")
        mark = false.mark()
        false.say(b"NICK NickServ")
        if rb" NICK " in false.hear(rb" (NICK :?NickServ|43[2-7] )", mark):
            false.nick = "NickServ"
        said, heard = len(stage.relay.said), len(stage.relay.heard)
        asked = thief.tell(BOT, ".show")
        lies = sum(stage.lie(false, said) for _ in range(6))
        # On others the name is kept for services that are away.
        if stage.pair == "inspircd+atheme":
            assert false.nick == "NickServ"
            assert lies
            stage.await_heard(rb"^:NickServ!\S+ NOTICE biff :tomtwo ACC 3", heard)
        # Who believed it would have said what tomtwo watches by now.
        stage.pass_on()
        stage.pass_on()
        assert not [one for one in stage.from_bot(thief, asked) if b"@mail" in one]
        watched = stage.watcher.mark()
        stage.relay.cut()
        stage.await_bot(watched)
        assert not false.heard(re.escape(stage.bot_password()))
        false.say(b"QUIT")
    finally:
        stage.network.start_services()
    uma = stage.user("uma")
    stage.register(uma, stage.member())
