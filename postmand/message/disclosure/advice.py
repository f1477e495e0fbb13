"""What to type into mail programs: how they reach us, and how they tell less.

Data, for pages and answers. In `connect` the words {smtp_host}, {smtp_port},
{pop3_host}, {pop3_port} and {address} stand for a node's own.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen


@frozen
class Advice:
    """One program's: its name, the settings to reach us, the settings to tell less."""

    title: str
    connect: tuple[str, ...]
    quiet: tuple[str, ...]


ALWAYS = (
    "Give your account here no name that is not meant to be seen, and sign with none.",
    "Let the clock of the mail program run in UTC: start it with TZ=UTC.",
    "Take EXIF out of pictures (exiftool -all= picture.jpg) and send text, not PDF or "
    "Office files, where you can; rename files that carry names or times.",
    "Write in plain text; delete the line over a quotation, or write your own.",
)
"""Advice that holds for every program."""

_SERVER = "Server {smtp_host}, port {smtp_port}, no TLS, login with a plain password"
_POP = "Incoming: POP3, {pop3_host}, port {pop3_port}, no TLS, user {address}"

ADVICE: Mapping[str, Advice] = {
    "thunderbird": Advice(
        "Thunderbird",
        (
            "Account Settings, Server Settings. " + _POP + ".",
            "Connection security: None. Authentication method: Password, transmitted "
            "insecurely (the tunnel encrypts).",
            "Outgoing Server (SMTP): {smtp_host}, port {smtp_port}, security None, "
            "Password, transmitted insecurely.",
            "Your Name: what all may read; the wizard fills in your real one.",
        ),
        (
            "Settings, General, Config Editor: "
            "mail.smtpserver.default.hello_argument = localhost (else it says its "
            "network address).",
            "mailnews.headers.sendUserAgent = false, mail.sanitize_date_header = true, "
            "mail.suppress_content_language = true.",
            "mailnews.reply_header_type = 0 (no reply line: it holds your local time).",
            "mailnews.send_plaintext_flowed = false; compose in plain text (Account "
            "Settings, Composition & Addressing: no HTML).",
            "Start it with TZ=UTC thunderbird.",
        ),
    ),
    "mutt": Advice(
        "mutt and NeoMutt",
        (
            'set smtp_url = "smtp://{address}@{smtp_host}:{smtp_port}/"',
            "set smtp_authenticators = plain",
            "set ssl_starttls = no; set ssl_force_tls = no",
            'set pop_host = "pop://{address}@{pop3_host}:{pop3_port}/"',
        ),
        (
            'set realname = "" and set from = your address (else it takes your name '
            "from /etc/passwd)",
            "set hostname = the domain of your address (it stands in EHLO and "
            "Message-ID)",
            "set user_agent = no",
            'set attribution = "" and set send_charset = "us-ascii:utf-8"',
            "Start it with TZ=UTC LC_ALL=C.UTF-8 mutt.",
        ),
    ),
    "susimail": Advice(
        "susimail (in the I2P router)",
        (
            "Nothing to set: it uses the router's own tunnels {smtp_host}:{smtp_port} "
            "and {pop3_host}:{pop3_port}. Log in with your account's name.",
        ),
        ("It tells next to nothing; what you attach still does.",),
    ),
    "claws-mail": Advice(
        "Claws Mail",
        (
            "Preferences for the account, Receive: POP3, {pop3_host}; Send: SMTP "
            "server {smtp_host}, SMTP Authentication on, method PLAIN.",
            "SSL/TLS: don't use either. Advanced: SMTP port {smtp_port}, POP port "
            "{pop3_port}.",
        ),
        (
            "Account, Advanced: set 'Domain name' to the domain of your address (it "
            "stands in EHLO and Message-ID).",
            "Account, Send: no 'Generate Message-ID', no header that names it.",
            "Configuration, Compose, Templates, Reply: delete the date from the line.",
            "Start it with TZ=UTC claws-mail.",
        ),
    ),
    "evolution": Advice(
        "Evolution",
        (
            "Receiving: POP, {pop3_host}, port {pop3_port}, no encryption, password.",
            "Sending: SMTP, {smtp_host}, port {smtp_port}, server requires "
            "authentication, no encryption, PLAIN.",
        ),
        (
            "Full Name: what all may read.",
            "Preferences, Composer: UTF-8, plain text; edit the attribution line "
            "(gsettings org.gnome.evolution.mail composer-message-attribution).",
            "It says its version: we remove that. Start it with TZ=UTC LC_ALL=C.UTF-8.",
        ),
    ),
    "kmail": Advice(
        "KMail",
        (
            "Receiving: POP3, {pop3_host}, port {pop3_port}, encryption None, PLAIN.",
            "Sending: SMTP, {smtp_host}, port {smtp_port}, encryption None, "
            "authentication PLAIN.",
        ),
        (
            "Sending, Advanced: 'Send custom hostname to server': localhost.",
            "Composer, Headers: 'Use custom Message-ID suffix': the domain of your "
            "address.",
            "Composer, Standard Templates: take date and words out of the reply line.",
            "Start it with TZ=UTC LC_ALL=C.UTF-8 kmail.",
        ),
    ),
    "sylpheed": Advice(
        "Sylpheed",
        (
            "Account, Basic: POP3, {pop3_host}; SMTP server {smtp_host}.",
            "Send: SMTP Authentication PLAIN. Advanced: SMTP port {smtp_port}, POP3 "
            "port {pop3_port}. SSL: none.",
        ),
        (
            "Account, Advanced: 'Specify domain name' (it stands in EHLO).",
            "Account, Send: no 'Generate Message-ID'; the boundary of attachments "
            "still holds your clock and zone: we replace it.",
            "Start it with TZ=UTC sylpheed.",
        ),
    ),
    "alpine": Advice(
        "Alpine",
        (
            "smtp-server = {smtp_host}:{smtp_port}/user={address}/notls",
            "inbox-path = {{{pop3_host}:{pop3_port}/pop3/user={address}/notls}}INBOX",
        ),
        (
            "personal-name = empty, user-domain = the domain of your address, "
            "user-id = your account's name: without them it sends your login, your "
            "name and your machine's.",
            "Boundaries hold your machine's address, clock and process: let your "
            "host's name resolve to 127.0.0.1 in /etc/hosts.",
            "quell-flowed-text = on. Start it with TZ=UTC LC_ALL=C.UTF-8 alpine.",
        ),
    ),
    "msmtp": Advice(
        "msmtp (for mblaze, mutt and others)",
        (
            "host {smtp_host}",
            "port {smtp_port}",
            "tls off",
            "auth plain",
            "user {address}",
            "from {address}",
        ),
        (
            "domain localhost",
            "It passes on what the program before it wrote, and tells nothing itself.",
        ),
    ),
    "aerc": Advice(
        "aerc",
        (
            "outgoing = smtp+insecure://{address}@{smtp_host}:{smtp_port}",
            "outgoing-cred-cmd prints the password",
        ),
        (
            "Never use Bcc with it elsewhere: it sends that field to everybody. We "
            "remove it.",
            "send-with-hostname = false, quoted-reply without a date, TZ=UTC.",
        ),
    ),
    "geary": Advice(
        "Geary",
        ("It reads IMAP only: use it here for sending, or another program.",),
        ("It marks its HTML with geary-body: write plain text.",),
    ),
    "outlook": Advice(
        "Microsoft Outlook",
        (_SERVER + ".", _POP + "."),
        (
            "Thread-Index, Message-ID and boundaries hold your clock; HTML is Word's "
            "and says so. Write plain text (Options, Mail, Compose), never as RTF: "
            "winmail.dat holds paths and names.",
            "Its EHLO name is your computer's: rename the computer, or use another "
            "program.",
        ),
    ),
    "apple-mail": Advice(
        "Apple Mail",
        (_SERVER + ".", _POP + "."),
        (
            "Its EHLO name is your network's address: let the tunnel run on the same "
            "machine.",
            "Composing: plain text; no signature that names the device. It sends "
            "pictures with all EXIF.",
        ),
    ),
    "k9": Advice(
        "K-9 Mail and Thunderbird for Android",
        (_SERVER + ".", _POP + "."),
        (
            "Settings, Privacy: hide the mail client, hide the time zone.",
            "Account, Sending mail: plain text; no closing line that names the "
            "program.",
        ),
    ),
    "python": Advice(
        "Python's smtplib and email",
        ('smtplib.SMTP("{smtp_host}", {smtp_port}, local_hostname="localhost")',),
        (
            "email.utils.make_msgid(domain=...) still holds clock and process: write a "
            "Message-ID of your own, or none.",
            "email.utils.formatdate() without localtime.",
        ),
    ),
    "swaks": Advice(
        "swaks",
        ("swaks --server {smtp_host}:{smtp_port} --auth PLAIN",),
        ("--helo localhost --header-X-Mailer '' and a Subject of your own: TZ=UTC.",),
    ),
}
