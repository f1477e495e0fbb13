"""Looking at pages as a browser does: what of them is markup."""

from __future__ import annotations

from html.parser import HTMLParser

TAGS = frozenset(
    {
        *("html", "head", "meta", "title", "link", "script", "body", "a"),
        *("header", "nav", "ul", "ol", "li", "form", "input", "span"),
        *("button", "main", "h1", "h2", "h3", "p", "strong", "em"),
        *("code", "pre", "section", "dl", "dt", "dd", "meter", "br"),
        *(
            "fieldset",
            "legend",
            "label",
            "div",
            "progress",
            "select",
            "option",
            "textarea",
        ),
        *("footer", "table", "caption", "thead", "tbody", "tr", "th", "td"),
        *("details", "summary"),
    }
)
VOID = frozenset({"meta", "link", "input", "br"})
_PATHS = frozenset({"href", "src", "action"})


class _Markup(HTMLParser):
    """Collects what should not be there."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at a tag and its attributes."""
        if tag not in TAGS:
            self.faults.append(f"<{tag}>")
        if tag not in VOID:
            self._open.append(tag)
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.faults.append(f"<{tag}> has an attribute twice")
        for name, value in attrs:
            if name.startswith("on") or name == "style":
                self.faults.append(f"<{tag} {name}>")
            if name in _PATHS and not (value or "").startswith(("/", "#")):
                self.faults.append(f'<{tag} {name}="{value}">')
            if name in _PATHS and (value or "").startswith("//"):
                self.faults.append(f'<{tag} {name}="{value}">')
        if tag == "script" and "src" not in names:
            self.faults.append("<script> within the page")

    def handle_endtag(self, tag: str) -> None:
        """See that it ends what was begun last."""
        if not self._open or self._open.pop() != tag:
            self.faults.append(f"</{tag}> out of place")

    def handle_comment(self, data: str) -> None:
        """There is none."""
        self.faults.append(f"<!--{data}-->")

    def close(self) -> None:
        """See that all was ended."""
        super().close()
        self.faults += [f"<{tag}> is open" for tag in self._open]


def faults(page: str) -> list[str]:
    """Return what in a page is no markup of ours: tags, attributes, addresses."""
    markup = _Markup()
    markup.feed(page)
    markup.close()
    return markup.faults
