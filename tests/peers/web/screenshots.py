"""A picture of each page: phone and desktop, light and dark.

`python -m tests.peers.web.screenshots DIRECTORY` makes them; nothing is judged.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.peers.web.browser import chromium
from tests.peers.web.looks import SCHEMES, SIZES, dress
from tests.peers.web.node import WebHouse
from tests.peers.web.person import Person
from tests.peers.web.walk import walk


def main(to: Path) -> None:
    """Make the pictures, named after page, size and scheme."""
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as base, chromium() as browser:
        house = WebHouse(Path(base))
        house.add("alice")
        house.start()
        try:
            person = Person.come(house, browser, Path(base), scripts=True)
            for name in walk(person):
                _picture(person, to, name)
            person.window.close()
        finally:
            house.stop()
    print(f"{len(list(to.glob('*.png')))} pictures in {to}")


def _picture(person: Person, to: Path, name: str) -> None:
    for size in SIZES:
        for scheme in SCHEMES:
            dress(person.page, size, scheme)
            path = to / f"{name}-{size}-{scheme}.png"
            person.page.screenshot(path=path, full_page=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
