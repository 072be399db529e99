"""TLS from files that may be replaced at any time: a context for each connection, and what is wrong, in plain words."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from syncline.runtime.security import Tls

MISMATCHES = (62, 64)
"""OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH."""
UNKNOWN = (2, 18, 19, 20, 21)
"""X509_V_ERR_...: an issuer that is not among the trusted, or a certificate that only vouches for itself."""
EXPIRED = 10
"""X509_V_ERR_CERT_HAS_EXPIRED."""


def context(tls: Tls) -> ssl.SSLContext:
    """As the files are now; host names are checked. Raises OSError that says which file is to blame."""
    try:
        made = ssl.create_default_context(cafile=str(tls.ca) if tls.ca else None)
        if tls.certificate:
            # Without `password` OpenSSL would ask for one at the terminal.
            made.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except OSError as error:
        raise OSError("; ".join(faults(tls, datetime.now(UTC))) or str(error)) from None
    return made


def faults(tls: Tls, now: datetime) -> Iterator[str]:
    """What is wrong with the files at this moment, each with what to do."""
    if tls.ca:
        found = _certificates(tls.ca)
        if isinstance(found, str):
            yield found
        elif all(each.not_valid_after_utc < now for each in found):
            until = max(each.not_valid_after_utc for each in found)
            yield f"{tls.ca}: all in it expired, the last on {until:%Y-%m-%d %H:%M} UTC: put the new authority there"
    if tls.certificate is None or tls.key is None:
        return
    found = _certificates(tls.certificate)
    if isinstance(found, str):
        yield found
        return
    own = found[0]
    if own.not_valid_after_utc < now:
        until = own.not_valid_after_utc
        yield f"{tls.certificate}: the certificate expired on {until:%Y-%m-%d %H:%M} UTC: put a new one there"
    if own.not_valid_before_utc > now:
        since = own.not_valid_before_utc
        yield f"{tls.certificate}: the certificate is valid from {since:%Y-%m-%d %H:%M} UTC: check this machine's clock"
    yield from _key_faults(tls.key, own, tls.certificate)


def _certificates(path: Path) -> list[x509.Certificate] | str:
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"
    except ValueError:
        return f"{path}: holds no certificate in PEM"


def _key_faults(path: Path, certificate: x509.Certificate, beside: Path) -> Iterator[str]:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        yield f"cannot read {path}: {error.strerror}"
    except TypeError:
        yield f"{path}: the key is encrypted: store it decrypted, readable by this process alone"
    except ValueError:  # its text may quote the key
        yield f"{path}: holds no private key in PEM"
    else:
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if key.public_key().public_bytes(*form) != certificate.public_key().public_bytes(*form):
            yield f"{path}: is not the key of {beside}: put both from one issue there"


def why(error: BaseException, tls: Tls, host: str) -> str | None:
    """What a failed handshake with `host` means, and what to do; None when TLS is not to blame."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _refused_by_us(error, tls, host)
    if not isinstance(error, ssl.SSLError):
        return None
    reason = error.reason or str(error)
    own = tls.certificate or "no certificate"
    if "CERTIFICATE_REQUIRED" in reason:
        return f"it asks for a client certificate, and was shown {own}"
    if "EXPIRED" in reason:
        return f"it says that the client certificate {own} has expired: put a new one there"
    if any(each in reason for each in ("UNKNOWN_CA", "BAD_CERTIFICATE", "CERTIFICATE_UNKNOWN", "DECRYPT_ERROR")):
        return f"it does not trust the client certificate {own}: have it issued by an authority that the server trusts"
    if any(each in reason for each in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE")):
        return "it does not speak TLS on this port"
    return f"TLS failed: {reason}"


def _refused_by_us(error: ssl.SSLCertVerificationError, tls: Tls, host: str) -> str:
    trusted = tls.ca or "the authorities that this machine trusts"
    if error.verify_code in MISMATCHES:
        return f"its certificate is not for {host}: connect by a name that it holds, or have it issued for this one"
    if error.verify_code == EXPIRED:
        return "its certificate, or an authority of it, has expired: renew it at the server"
    if error.verify_code in UNKNOWN:
        return f"its certificate is signed by nobody in {trusted}: put the authority that signed it there"
    return f"its certificate is refused: {error.verify_message}"
