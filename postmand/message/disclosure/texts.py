"""What a text tells beside what its writer says: reply lines, HTML, closing lines.

The wash leaves texts alone, so all of this stays: only a setting helps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from postmand.message.disclosure.anatomy import Section
from postmand.message.disclosure.finding import Finding, found

_WROTE = {
    "English": r"wrote|writes|said",
    "German": r"schrieb(?:en Sie)?|hat .{0,80}geschrieben",
    "French": r"a écrit|écrivait",
    "Spanish": r"escribió|escribio",
    "Italian": r"ha scritto|scrive",
    "Portuguese": r"escreveu",
    "Dutch": r"schreef|heeft .{0,80}geschreven",
    "a Scandinavian language": r"skrev|skreiv",
    "Polish": r"napisał(?:\(a\)|a)?|pisze",
    "Czech": r"napsal(?:\(a\)|a)?",
    "Finnish": r"kirjoitti",
    "Hungarian": r"írta|ezt írta",
    "Turkish": r"yazd\u0131",
    "Russian": r"писал\w{0,3}|написал\w{0,3}|пишет",
    "Ukrainian": r"пише",
    "Greek": r"έγραψε",
    "Chinese": r"写道|寫道",
    "Japanese": r"書きました|のメール",
}
_WROTE_LINE = {
    language: re.compile(
        rf"(?:{words})\b.{{0,120}}[:\uff1a]?\s*\Z|(?:{words})\s*[:\uff1a]"
    )
    for language, words in _WROTE.items()
}
_FORWARD = re.compile(
    r"(?<!-)-{4,10} ?(?:Forwarded [Mm]essage|Original Message|Weitergeleitete Nachricht"
    r"|Ursprüngliche Nachricht|Message transféré|Message original|Mensaje reenviado"
    r"|Messaggio inoltrato|Doorgestuurd bericht|Пересылаемое сообщение).{0,80}"
    r"|Begin forwarded message:|Anfang der weitergeleiteten Nachricht:"
    r"|Forwarded message from .{0,80}"
)
_FOREIGN = re.compile(r"Weiter|Urspr|transf|original\b|reenv|inolt|Doorg|Пере|Anfang")
_CLOCK = re.compile(r"\b\d{1,2}[:.h]\d\d(?:[:.]\d\d)?\b(?: ?[AaPp]\.?[Mm]\.?)?")
_ZONE = re.compile(r"(?<![\d-])[+-]\d\d(?::?\d\d)?(?!\d)(?![-/.]\d)|\b(?:GMT|UTC|Z)\b")
_UTC = re.compile(r"[+-]00(?::?00)?|GMT|UTC|Z")
_SENT_FROM = re.compile(
    r"(?:Sent|Gesendet|[Vv]on meinem|Envoyé|Enviado|Inviato|Verzonden|Get) "
    r"[^\r\n]{0,60}(?:iPhone|iPad|Android|Samsung|Galaxy|Outlook|Mail for Windows"
    r"|K-9 Mail|Yahoo|Proton|Thunderbird|BlackBerry|Huawei|Xiaomi)[^\r\n]{0,40}"
    r"|Von meinem [^\r\n]{0,40}gesendet[^\r\n]{0,40}"
)
# A line that says so is looked for only around these: it costs less by far.
_PRODUCT = re.compile(
    r"iPhone|iPad|Android|Samsung|Galaxy|Outlook|Mail for Windows|K-9 Mail|Yahoo|Proton"
    r"|Thunderbird|BlackBerry|Huawei|Xiaomi|gesendet"
)
_SYSTEMS = re.compile(
    r"iPhone|iPad|iOS|Android|Windows|BlackBerry|Galaxy|Samsung|Huawei|Xiaomi"
)
_GIT = re.compile(r"^-- \r?\n(\d+\.\d+\.[\w.]+)\s*\Z", re.MULTILINE)
_MARK = re.compile(
    r"(moz-[\w-]+|gmail_[\w-]+|Mso[A-Z]\w+|WordSection\d|Apple-[\w-]+|yahoo_[\w-]+|yiv\d+"
    r"|geary-body|protonmail_[\w-]+|k9mail[\w-]*|-x-evo-[\w-]+|AppleMail\w+|elementToProof"
    r"|rcmBody|ms-outlook-[\w-]+|kmail-[\w-]+|qrichtext|divRplyFwdMsg|x_Mso\w+|zmail\w+)"
)
_ATTRIBUTE = re.compile(r"(?:class|id|style|name)\s{0,4}=\s{0,4}[\"']?[^\"'<>]{0,40}\Z")
_EVOLUTION = re.compile(r"data-evo-[\w-]+|-evo-paragraph[\w-]*")
_GENERATOR = re.compile(
    r"<meta\s[^<>]{0,80}name=[\"']?generator[\"']?[^<>]{0,20}"
    r"content=[\"']?([^\"'<>]{1,100})",
    re.IGNORECASE,
)
_LANGUAGE = re.compile(
    r"<(?:html|body|div)\s[^<>]{0,200}?lang=[\"']?([A-Za-z-]{2,10})", re.IGNORECASE
)
_PATHS = re.compile(
    r"file:///[^\s\"'<>]{1,200}|(?<![\w/.])/(?:home|Users)/[^\s\"'<>/]{1,60}/[^\s\"'<>]{1,150}"
    r"|\b[A-Z]:\\(?:Users|Documents and Settings)\\[^\r\n\"'<>|?*]{1,150}"
)
_LINES = 4_000
_COLONS = 200
_MARKED = 100_000
_MOST = 20
# So many words are looked around, and so far.
_WORDS = 400
_AROUND = 90


def label(section: Section) -> Iterator[Finding]:
    """Yield what the label of a text tells."""
    charset = section.charset
    if charset and charset.replace(b"_", b"-") not in _NEUTRAL:
        where = f"part {section.number} charset"
        spelt = section.parameters.get(b"charset", b"")
        note = "a character set of one region: it follows your language"
        yield found("language", where, spelt, note)
    if section.parameters.get(b"format", b"").lower() == b"flowed":
        note = (
            "how its lines are broken: Thunderbird, Alpine, Apple Mail and few others"
        )
        yield found("software", "Content-Type parameter", "format=flowed", note)


def findings(kind: str, text: str, place: str) -> Iterator[Finding]:
    """Yield what one text tells; at most a handful of each sort."""
    yield from _reply(text, place)
    for match in _some(_FORWARD, text):
        category = "language" if _FOREIGN.search(match[0]) else "software"
        yield found(category, place, match[0], "the line over a forwarded message")
    for match in _distinct(_closings(text)):
        yield found(
            "software", place, match[0], "a closing line that your program adds"
        )
        system = _SYSTEMS.search(match[0])
        if system:
            yield found("os", place, system[0], "your operating system")
    version = _GIT.search(text[-300:])
    if version:
        yield found("version", place, version[1], "git's version, below the dashes")
    for match in _some(_PATHS, text):
        yield found("path", place, match[0], "a place on your disk")
    if kind == "text/html":
        yield from _html(text, place)


_NEUTRAL = frozenset((b"utf-8", b"utf8", b"us-ascii", b"ascii", b"unknown-8bit"))


def _some(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield the first matches of each wording."""
    yield from _distinct(pattern.finditer(text))


def _distinct(matches: Iterator[re.Match[str]]) -> Iterator[re.Match[str]]:
    seen: set[str] = set()
    for match in matches:
        if match[0] not in seen:
            seen.add(match[0])
            yield match
        if len(seen) >= _MOST:
            return


def _closings(text: str) -> Iterator[re.Match[str]]:
    """Yield the closing lines that programs add."""
    end = 0
    for word, _ in zip(_PRODUCT.finditer(text), range(_WORDS), strict=False):
        if word.start() >= end:
            start = max(end, word.start() - _AROUND)
            match = _SENT_FROM.search(text, start, word.end() + _AROUND)
            if match:
                end = match.end()
                yield match


def _reply(text: str, place: str) -> Iterator[Finding]:
    """Yield what the line over the first quotation tells."""
    line, language = _attribution(text)
    if not line:
        return
    if language == "English":
        note = "the reply line, in the form of your program"
        yield found("software", place, line, note)
    else:
        yield found("language", place, line, f"the reply line is in {language}")
    clock = _CLOCK.search(line)
    zone = _ZONE.search(line, clock.end()) if clock else None
    if clock and not (zone and _UTC.fullmatch(zone[0])):
        note = (
            "the reply line's time may be your local one: beside the other's own "
            "mail it gives your zone"
        )
        end = zone.end() if zone else clock.end()
        yield found("timezone", place, line[:end], note)


def _attribution(text: str) -> tuple[str, str]:
    """Return the line over the first quotation (two joined, if it takes two)."""
    above: list[str] = []
    colons = 0
    for written in text[:200_000].split("\n")[:_LINES]:
        # Without HTML's elements, and without addresses in angle brackets.
        line = re.sub(r"<[^<>]{0,200}>", "", written).strip()
        if line.startswith(">") or line == "":
            quoted = line.startswith(">")
            if quoted and above:
                return _language(above)
            continue
        above = [*above[-1:], line[:300]]
        if line.endswith((":", "\uff1a")) and colons < _COLONS:
            colons += 1
            found_ = _language(above)
            if found_[0]:
                return found_
    return "", ""


def _language(above: list[str]) -> tuple[str, str]:
    for lines in (above[-1:], above[-2:]):
        joined = " ".join(lines)
        for language, pattern in _WROTE_LINE.items():
            if pattern.search(joined) and re.search(r"\d|@", joined):
                return joined, language
    return "", ""


def _html(text: str, place: str) -> Iterator[Finding]:
    marks = dict.fromkeys(_marks(text[:_MARKED]))
    marks.update(dict.fromkeys(match[0] for match in _some(_EVOLUTION, text)))
    for mark in list(marks)[:_MOST]:
        yield found("software", place, mark, "a mark of your program in the HTML")
    generator = _GENERATOR.search(text)
    if generator:
        yield found("software", place, generator[1], "the program that wrote the HTML")
        version = re.search(r"\d+(?:\.\d+)*", generator[1])
        if version:
            yield found("version", place, version[0], "its version")
    language = _LANGUAGE.search(text[:100_000])
    if language:
        yield found("language", place, language[1], "your language")


def _marks(text: str) -> Iterator[str]:
    """Yield the first mark in each attribute that has one."""
    last = -1
    for mark, _ in zip(_MARK.finditer(text), range(_WORDS), strict=False):
        start = max(0, mark.start() - _AROUND)
        attribute = _ATTRIBUTE.search(text, start, mark.start())
        if attribute and attribute.start() != last:
            last = attribute.start()
            yield mark[0]
