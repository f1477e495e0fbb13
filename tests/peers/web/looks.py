"""What is measured of a page in a window: how it fits, and what has the focus."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from tests.peers.web.browser import DESKTOP, PHONE, Scheme

SIZES = {"phone": PHONE, "desktop": DESKTOP}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

_TOO_WIDE = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  return [...document.body.querySelectorAll("*")]
    .filter((one) => (one.getBoundingClientRect().right > room + 1
      || one.scrollWidth > room) && !one.closest(".wide"))
    .map((one) => `${one.tagName} ${one.textContent.trim().slice(0, 40)}`)
    .slice(0, 5).concat([`${document.documentElement.scrollWidth} of ${room}`]);
}"""
# Words that are cut off in a box which hides what does not fit.
_CUT = """() => [...document.body.querySelectorAll("*")]
  .filter((one) => !["INPUT", "SELECT", "TEXTAREA"].includes(one.tagName)
    && !one.matches(".heard")
    && ["hidden", "clip"].includes(getComputedStyle(one).overflowX)
    && one.scrollWidth > one.clientWidth + 1)
  .map((one) => `${one.tagName} ${one.textContent.trim().slice(0, 40)}`)"""
_FOCUS = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const box = one.getBoundingClientRect();
  return {
    tag: one.tagName, name: (one.labels?.[0] ?? one).textContent.trim().slice(0, 40),
    outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
    seen: box.width > 0 && box.right > 0 && box.bottom > 0 && box.top < innerHeight,
    place: [...document.querySelectorAll("*")].indexOf(one),
  };
}"""
_STOPS = """() => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter((one) => one.checkVisibility() && !one.disabled)
  .filter((one) => one.type !== "radio" || one.checked
    || !document.querySelector(`input[name="${one.name}"]:checked`)).length"""


def dress(page: Page, size: str, scheme: Scheme) -> None:
    """Give the window a size and a colour scheme."""
    of = SIZES[size]
    page.set_viewport_size({"width": of["width"], "height": of["height"]})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")


def too_wide(page: Page) -> list[str]:
    """Return what makes the page scroll sideways, or is cut off."""
    return [*page.evaluate(_TOO_WIDE), *page.evaluate(_CUT)]


def enlarge(page: Page, percent: int) -> None:
    """Set the size of all text, as a reader does."""
    page.evaluate(f"document.documentElement.style.fontSize = '{percent}%'")


def misled(page: Page) -> list[str]:
    """Go through the page by the Tab key; return what is wrong on the way.

    Each stop is to be in the order of the page, in sight, and marked.
    """
    faults = []
    # From the first stop on; that Tab leads there has a test of its own.
    page.locator(".skip").focus()
    last, stops = -1, int(page.evaluate(_STOPS))
    for _ in range(stops - 1):
        page.keyboard.press("Tab")
        at: dict[str, Any] = page.evaluate(_FOCUS)
        told = f"{at['tag']} {at['name']}"
        if at["place"] <= last:
            faults.append(f"{told} comes after what is behind it")
        if not at["seen"] or at["outline"] < 2:
            faults.append(f"{told}: the focus is not to be seen")
        last = at["place"]
    return faults
