"""How long a live session waits for its answer while others press the node."""

from __future__ import annotations

import threading
import time

from tests.flow.house import House


class Probe:
    """Says NOOP on a logged-in session again and again, and notes the delays."""

    def __init__(self, house: House, name: str = "bob") -> None:
        self.delays: list[float] = []
        self._house = house
        self._name = name
        self._begun = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._wrong: list[BaseException] = []

    def _run(self) -> None:
        try:
            with self._house.smtp(self._name) as session:
                while not self._over.is_set():
                    begun = time.perf_counter()
                    assert session.noop()[0] == 250
                    self.delays.append(time.perf_counter() - begun)
                    self._begun.set()
                    self._over.wait(0.005)
        except BaseException as error:
            self._wrong.append(error)
        finally:
            self._begun.set()

    def __enter__(self) -> Probe:
        self._thread.start()
        self._begun.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._wrong:
            raise self._wrong[0]

    def told(self) -> str:
        """Return the delays in words: milliseconds."""
        ordered = sorted(self.delays)
        shown = (
            f"{words} {1000 * ordered[int(share * (len(ordered) - 1))]:.1f}"
            for words, share in (("median", 0.5), ("99 %", 0.99), ("worst", 1.0))
        )
        return f"NOOP in ms: {', '.join(shown)} ({len(ordered)} asked)"
