"""Which mail program wrote a message: by its own word, else by its traces."""

from __future__ import annotations

import re

from postmand.message.disclosure.anatomy import Letter
from postmand.message.disclosure.spoken import Spoken

# In this order: K-9's name for Thunderbird on Android holds both.
_NAMES = (
    ("k-9", "k9"),
    ("thunderbird for android", "k9"),
    ("thunderbird", "thunderbird"),
    ("icedove", "thunderbird"),
    ("seamonkey", "thunderbird"),
    ("neomutt", "mutt"),
    ("mutt", "mutt"),
    ("susimail", "susimail"),
    ("claws mail", "claws-mail"),
    ("sylpheed", "sylpheed"),
    ("evolution", "evolution"),
    ("kmail", "kmail"),
    ("alpine", "alpine"),
    ("aerc", "aerc"),
    ("s-nail", "s-nail"),
    ("geary", "geary"),
    ("balsa", "balsa"),
    ("outlook", "outlook"),
    ("iphone mail", "apple-mail"),
    ("ipad mail", "apple-mail"),
    ("apple mail", "apple-mail"),
    ("roundcube", "roundcube"),
    ("git-send-email", "git"),
    ("swaks", "swaks"),
    ("mblaze", "mblaze"),
)
_IDS = (
    (rb"\.camel\Z", "evolution"),
    (rb"\A(?:al)?[Pp]ine\.", "alpine"),
    (rb"\A\d{5,8}\.[A-Za-z0-9]{10}\Z", "kmail"),
    (rb"\A[0-9a-f]{12}\$[0-9a-f]{8}\$[0-9a-f]{8}\$?\Z", "outlook"),
    (rb"\A\d{12}\.\d+\.\d{15,20}\Z", "python"),
)
_BOUNDARIES = (
    (rb"-?\d+-\d+-\d+=:\d+", "alpine"),
    (rb"nextPart\d+\..+", "kmail"),
    (rb"MP_/.+", "claws-mail"),
    (rb"Multipart=_.+", "sylpheed"),
    (rb"Apple-Mail.+", "apple-mail"),
    (rb"----=_NextPart_.+", "outlook"),
    (rb"----[0-9A-Z]{30}", "k9"),
    (rb"-{12}[0-9A-Za-z]{24}", "thunderbird"),
    (rb"={15}\d{17,19}==", "python"),
    (rb"--_NmP-.+", "nodemailer"),
)
_BARE_PATH = re.compile(rb"MAIL FROM: [^<\s]")


def identify(letter: Letter, spoken: Spoken) -> str:
    """Return the program's short name, empty where nothing tells it."""
    top = letter.top
    named = b" ".join(
        value[:300]
        for spelt, value in top.fields
        if spelt.lower() in (b"user-agent", b"x-mailer", b"x-mailer-version")
    )
    text = named.decode("latin-1").lower()
    for words, client in _NAMES:
        if words in text:
            return client
    return _by_traces(letter, spoken)


def _by_traces(letter: Letter, spoken: Spoken) -> str:
    local = letter.top.first(b"message-id")[:500].strip(b"<> ").rpartition(b"@")[0]
    shapes = [client for pattern, client in _IDS if re.search(pattern, local)]
    for section in letter.own:
        shapes += [
            client
            for pattern, client in _BOUNDARIES
            if re.fullmatch(pattern, section.boundary)
        ]
    return shapes[0] if shapes else _by_habits(letter, spoken)


def _by_habits(letter: Letter, spoken: Spoken) -> str:
    """Tell a program by what few others do."""
    top = letter.top
    names = [spelt for spelt, _ in top.fields]
    if b"cc" in names and top.parameters.get(b"format", b"").lower() == b"flowed":
        return "alpine"
    inline = top.first(b"content-disposition").strip().lower() == b"inline"
    if inline and (spoken.authzid or not letter.sections[1:]):
        return "mutt"
    if _BARE_PATH.match(spoken.mail):
        return "susimail"
    if spoken.hello.startswith(b"ehlo ") and spoken.mail.startswith(b"mail "):
        return "python"
    return ""
