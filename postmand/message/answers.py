"""Letters the node writes itself: they look like all other mail in a mailbox.

Every one has the null return path and says that a machine wrote it, so that no program
answers it (RFC 3834 3, RFC 5321 4.5.5).
"""

from __future__ import annotations

from collections.abc import Sequence

from postmand.message import encoded, fields, headers, transfer
from postmand.message.address import Mailbox
from postmand.message.fields import Field
from postmand.message.headers import fold
from postmand.message.trace import return_path


def letter(
    to: Mailbox,
    subject: str,
    text: str,
    *,
    sender: Mailbox,
    date: bytes,
    message_id: bytes,
    in_reply_to: bytes | None = None,
) -> tuple[bytes, bytes]:
    """Return (header block, body) of a letter to a member, in plain text, 7-bit.

    The block ends with the empty line, the body with CRLF. Lines of `text` end with a
    newline. `date` is as `restamp.utc_date` writes it; ids have their angle brackets,
    and `in_reply_to` is the id given out for what is answered.
    """
    mime, body = text_part(text)
    block = letter_header(
        to,
        subject,
        sender=sender,
        date=date,
        message_id=message_id,
        in_reply_to=in_reply_to,
        mime=mime,
    )
    return block, body


def letter_header(
    to: Mailbox,
    subject: str,
    *,
    sender: Mailbox,
    date: bytes,
    message_id: bytes,
    in_reply_to: bytes | None,
    mime: Sequence[Field],
) -> bytes:
    """Return the header block of a letter whose body has the `mime` fields."""
    thread = [] if in_reply_to is None else [in_reply_to]
    block = headers.write(
        (
            (b"Date", date),
            (b"From", fields.addresses(b"From", [sender])),
            (b"To", fields.addresses(b"To", [to])),
            (b"Subject", fold(b"Subject", encoded.words(encoded.clean(subject)))),
            (b"Message-ID", message_id),
            *(
                (name, one)
                for one in thread
                for name in (b"In-Reply-To", b"References")
            ),
            (b"Auto-Submitted", b"auto-replied"),
            (b"MIME-Version", b"1.0"),
            *mime,
        )
    )
    return return_path(None) + block


def text_part(text: str) -> tuple[list[Field], bytes]:
    """Return the MIME fields and the content of plain text, its last CRLF included."""
    lines = text.removesuffix("\n").split("\n")
    octets = "".join([f"{_clean(line)}\r\n" for line in lines]).encode(
        "utf-8", "replace"
    )
    encoding, chunks = transfer.encode_text(octets, clean=True)
    content = b"".join(chunks)
    mime = [
        (b"Content-Type", b"text/plain; charset=utf-8"),
        (b"Content-Transfer-Encoding", encoding),
    ]
    return mime, content if content.endswith(b"\r\n") else content + b"\r\n"


def _clean(line: str) -> str:
    """Return the line without control characters, its indentation kept."""
    words = line.lstrip(" ")
    return " " * (len(line) - len(words)) + encoded.clean(words)
