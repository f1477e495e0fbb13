"""What is in a letter's parts: each is looked into once, and never beyond a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import Factory, define, evolve

from postmand.message.disclosure import attached, files, openpgp, textfiles, texts
from postmand.message.disclosure.anatomy import Section
from postmand.message.disclosure.budget import Budget
from postmand.message.disclosure.finding import Finding
from postmand.message.disclosure.scene import Scene

_MOST = 262_144
# Of one part. All of a letter's findings are bounded again where they are shown.
_FINDINGS = 100


@define
class Contents:
    """Looks into the parts of a letter, and of the same letter when it was washed.

    The wash leaves most parts alone: what was looked into once is remembered. `cut`
    tells whether there was a part that was not read to its end.
    """

    scene: Scene
    budget: Budget
    cut: bool = False
    _seen: dict[tuple[str, str | bytes], tuple[Finding, ...]] = Factory(dict)

    def again(self) -> Contents:
        """Return what looks into another copy: with as much to read, not to unpack."""
        fresh = Budget()
        budget = evolve(self.budget, octets=fresh.octets, archived=fresh.archived)
        return evolve(self, budget=evolve(budget, unread=0), cut=False)

    def of_text(self, section: Section) -> Iterator[Finding]:
        """Yield what a text that is shown in place tells."""
        yield from texts.label(section)
        octets = self._octets(section)
        text = section.spelt(octets)

        def look() -> Iterator[Finding]:
            yield from texts.findings(section.kind, text, section.place)
            yield from openpgp.findings(section, octets)

        yield from self._once(section, text, look)

    def of_message(self, section: Section) -> Iterator[Finding]:
        """Yield what the header of an attached message tells."""
        size = sum(len(name) + len(value) for name, value in section.fields)
        if self.budget.search(size) < size:
            self.budget.unread += 1
            self.cut = True
            return
        yield from attached.findings(section, self.scene)

    def of_file(self, section: Section) -> Iterator[Finding]:
        """Yield what is in a file; the names it gives go into the scene."""
        octets = self._octets(section)
        is_text = section.kind.startswith("text/")
        text = section.spelt(octets) if is_text else ""

        def look() -> Iterator[Finding]:
            self.budget.short = False
            yield from files.contents(section, octets, self.scene, self.budget)
            self.budget.unread += self.budget.short
            if is_text:
                yield from texts.findings(section.kind, text, section.place)
                yield from textfiles.findings(text, section.place, self.scene)
            yield from openpgp.findings(section, octets)

        yield from self._once(section, text if is_text else octets, look)

    def _octets(self, section: Section) -> bytes:
        """Return the beginning of a part, as much of it as may be looked at."""
        most = min(_MOST, self.budget.octets)
        octets = section.decoded(most)
        self.budget.search(len(octets))
        if len(octets) == most and section.stop > section.start:
            self.cut = True
            self.budget.unread += most < _MOST
        return octets

    def _once(
        self,
        section: Section,
        content: str | bytes,
        look: Callable[[], Iterator[Finding]],
    ) -> tuple[Finding, ...]:
        key = f"{section.kind} {section.file_name}", content
        if key not in self._seen:
            found = zip(range(_FINDINGS), look(), strict=False)
            self._seen[key] = tuple(one for _, one in found)
        return self._seen[key]
