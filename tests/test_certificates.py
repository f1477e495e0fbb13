"""The exchange's TLS identity: our own, or an operator's files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from postmand.servers.starttls import ServerTls
from postmand.store import certificates
from postmand.store.certificates import OWN, CertificateError, identity, tlsa

NAME = "mx.i2pmail.org"


def parts(pem: bytes) -> tuple[bytes, bytes]:
    """Return key and certificate."""
    at = pem.index(b"-----BEGIN CERTIFICATE")
    return pem[:at], pem[at:]


def test_made_once(tmp_path: Path) -> None:
    """The first start makes it, for the owner alone; the next one finds it."""
    made = identity(tmp_path, NAME)
    assert identity(tmp_path, NAME) == made
    state = (tmp_path / OWN).stat()
    assert state.st_mode & 0o777 == 0o600
    assert state.st_mtime == 0
    ServerTls(made)


def test_it_tells_a_name_and_a_key(tmp_path: Path) -> None:
    """The certificate has our name, and no date of ours."""
    one = x509.load_pem_x509_certificates(identity(tmp_path / "a", NAME))[0]
    two = x509.load_pem_x509_certificates(identity(tmp_path / "b", NAME))[0]
    names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    assert one.not_valid_before_utc == two.not_valid_before_utc
    assert one.not_valid_after_utc == two.not_valid_after_utc
    assert one.public_key() != two.public_key()


def test_long_host_name(tmp_path: Path) -> None:
    """A name longer than a common name may be is still shown whole."""
    name = "a" * 60 + ".example.org"
    one = x509.load_pem_x509_certificates(identity(tmp_path, name))[0]
    names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [name]


def test_given_files(tmp_path: Path) -> None:
    """Files of one's own, apart or as one, are taken; renewed ones at the next call."""
    key, certificate = parts(identity(tmp_path / "other", NAME))
    (tmp_path / "key.pem").write_bytes(key)
    (tmp_path / "key.pem").chmod(0o640)
    (tmp_path / "chain.pem").write_bytes(certificate)
    (tmp_path / "both.pem").write_bytes(certificate + key)
    (tmp_path / "both.pem").chmod(0o600)
    chain, both = str(tmp_path / "chain.pem"), str(tmp_path / "both.pem")
    found = identity(tmp_path, NAME, chain, str(tmp_path / "key.pem"))
    assert identity(tmp_path, NAME, both) == found
    assert not (tmp_path / OWN).exists()
    ServerTls(found)
    new = identity(tmp_path / "new", NAME)
    (tmp_path / "both.pem").write_bytes(new)
    assert identity(tmp_path, NAME, both) != found


def test_tlsa(tmp_path: Path) -> None:
    """TLSA is the hash of the key, as it stands in the certificate."""
    pem = identity(tmp_path, NAME)
    key = serialization.load_pem_private_key(parts(pem)[0], None).public_key()
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert tlsa(pem) == "3 1 1 " + hashlib.sha256(der).hexdigest()


def _wrong(tmp_path: Path) -> dict[str, tuple[str, str, str]]:
    key, certificate = parts(identity(tmp_path / "one", NAME))
    other, _ = parts(identity(tmp_path / "two", NAME))
    files = {"cert": certificate, "key": key, "other": other, "text": b"no PEM\n"}
    for name, octets in files.items():
        (tmp_path / name).write_bytes(octets)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "open").write_bytes(key)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "both").write_bytes(certificate + key)
    (tmp_path / "both").chmod(0o604)
    return {
        "none": ("missing", "key", "missing: No such file"),
        "no key": ("cert", "missing", "missing: No such file"),
        "other's": ("cert", "other", "other: is not the key of"),
        "text": ("text", "key", "text: holds no certificate"),
        "no key in it": ("cert", "cert", "holds no private key"),
        "alone": ("cert", "", "holds no private key"),
        "readable": ("cert", "open", "open: everybody may read"),
        "both readable": ("both", "", "both: everybody may read"),
        "directory": (".", "key", "Is a directory"),
        "key alone": ("", "key", "certificate is missing"),
    }


@pytest.mark.parametrize(
    "case",
    ["none", "no key", "other's", "text", "no key in it", "alone", "readable",
     "both readable", "directory", "key alone"],
)  # fmt: skip
def test_wrong_files(case: str, tmp_path: Path) -> None:
    """What is wrong with files is told with the file's name."""
    certificate, key, told = _wrong(tmp_path)[case]
    with pytest.raises(CertificateError, match=told):
        identity(
            tmp_path,
            NAME,
            str(tmp_path / certificate) if certificate else "",
            str(tmp_path / key) if key else "",
        )


def test_our_own_file_is_ours_alone(tmp_path: Path) -> None:
    """Our own key that others may read is not used."""
    identity(tmp_path, NAME)
    (tmp_path / OWN).chmod(0o644)
    with pytest.raises(CertificateError, match="0600"):
        identity(tmp_path, NAME)


def test_a_broken_file_of_ours(tmp_path: Path) -> None:
    """A file of ours that is cut short is told, and not overwritten."""
    (tmp_path / OWN).write_bytes(b"-----BEGIN PRIVATE KEY-----\n")
    (tmp_path / OWN).chmod(0o600)
    with pytest.raises(CertificateError, match=OWN):
        identity(tmp_path, NAME)
    assert (tmp_path / OWN).read_bytes() == b"-----BEGIN PRIVATE KEY-----\n"


def test_what_tls_does_not_take() -> None:
    """TLS itself refuses what is no identity, and keeps the old one on a renewal."""
    good = certificates._made(NAME)
    with pytest.raises(ValueError, match="one private key"):
        ServerTls(parts(good)[1])
    with pytest.raises(ValueError, match="one private key"):
        ServerTls(parts(good)[0])
    with pytest.raises(SSL.Error):
        ServerTls(parts(good)[0] + parts(certificates._made(NAME))[1])
    tls = ServerTls(good)
    before = tls._context
    with pytest.raises(ValueError, match="one private key"):
        tls.replace(b"")
    assert tls._context is before
    tls.replace(certificates._made(NAME))
    assert tls._context is not before
