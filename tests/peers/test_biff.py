"""biff on real networks, over a line as slow as I2P's, plain and through its filter.

All networks play at the same time: each scene waits more than it works.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.flow.house import House
from tests.peers.irc.crowd import begin
from tests.peers.irc.scenes import SCENES
from tests.peers.irc.servers import PAIRS
from tests.peers.irc.stage import Stage, template
from tests.peers.irc.troubles import EVERYWHERE, TROUBLES

LINES = ("plain", "filtered")
_PATIENCE = 600.0
# Scenes that do not disturb each other are played so many at a time.
_TOGETHER = 9


def _programme(pair: str) -> dict[str, Callable[[Stage], None]]:
    return {**SCENES, **EVERYWHERE, **TROUBLES} if "+" in pair else EVERYWHERE


class Play(threading.Thread):
    """One pair and line: its scenes in order, each with an outcome to wait for."""

    def __init__(self, base: Path, pair: str, line: str, like: House) -> None:
        super().__init__(daemon=True, name=f"{pair} {line}")
        self._make = lambda: Stage(base, pair, line, like)
        self._programme = _programme(pair)
        self.outcomes = {name: Future[None]() for name in (*self._programme, "due")}

    def run(self) -> None:
        """Play."""
        try:
            stage = self._make()
        except BaseException as error:
            for outcome in self.outcomes.values():
                outcome.set_exception(error)
            return
        try:
            self._play(stage)
        finally:
            stage.stop()

    def _play(self, stage: Stage) -> None:
        try:
            stage.start()
        except BaseException as error:
            for outcome in self.outcomes.values():
                outcome.set_exception(error)
            return
        alone = {**self._programme, "due": Stage.check_notices}
        together = {name: alone.pop(name) for name in SCENES if name in alone}
        with ThreadPoolExecutor(_TOGETHER) as pool:
            for name, scene in together.items():
                pool.submit(self._show, stage, name, scene)
        for name, scene in alone.items():
            self._show(stage, name, scene)

    def _show(self, stage: Stage, name: str, scene: Callable[[Stage], None]) -> None:
        begun = time.monotonic()
        try:
            scene(stage)
        except BaseException as error:
            error.add_note(f"the node's log: {stage.house.told()}")
            self.outcomes[name].set_exception(error)
        else:
            self.outcomes[name].set_result(None)
        if os.environ.get("TIMES"):
            print(
                f"{self.name}: {name} {time.monotonic() - begun:.0f} s", file=sys.stderr
            )


@pytest.fixture(scope="module")
def plays(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    crowds_base: Path,
) -> Iterator[dict[str, Play]]:
    """Begin everything; a test waits for its scene."""
    if any(item.path.stem == "test_biff_flood" for item in request.session.items):
        # Those only wait, too.
        begin(crowds_base)
    base = tmp_path_factory.mktemp("biff")
    like = template(base / "template")
    begun = {}
    for pair in PAIRS:
        for line in LINES:
            name = f"{pair} {line}"
            begun[name] = Play(base / name.replace(" ", "-"), pair, line, like)
            begun[name].start()
    yield begun
    for play in begun.values():
        play.join(_PATIENCE)


@pytest.mark.parametrize(
    ("network", "scene"),
    [
        (f"{pair} {line}", scene)
        for pair in PAIRS
        for line in LINES
        for scene in (*_programme(pair), "due")
    ],
)
def test_scene(plays: dict[str, Play], network: str, scene: str) -> None:
    """What the scene shows holds on this network; "due": every notice was."""
    plays[network].outcomes[scene].result(_PATIENCE)
