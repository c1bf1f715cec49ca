"""How the parts of the cluster know each other: TLS both ways, with one key of this directory.

Flink has no users: whoever reaches a JobManager runs code on it. With this its ports answer those
who have the key, which only its owner can read. Beam's ports are `OwnersServers`' to guard.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from spotify_mlops.io import files
from spotify_mlops.io.http import ports
from spotify_mlops.io.local import secret, tls

_LIFE = timedelta(days=3650)


def settings() -> dict[str, object]:
    """Return Flink's settings of TLS, making the key when there is none."""
    store, password = _made(), secret.key("flink")
    found: dict[str, object] = {
        "security.ssl.protocol": "TLSv1.3",
        "security.ssl.algorithms": "TLS_AES_128_GCM_SHA256",
        "security.ssl.rest.authentication-enabled": True,
    }
    for side in ("internal", "rest"):
        found |= {
            f"security.ssl.{side}.enabled": True,
            f"security.ssl.{side}.keystore": str(store),
            f"security.ssl.{side}.keystore-password": password,
            f"security.ssl.{side}.key-password": password,
            # Who has this key is trusted, and nobody else.
            f"security.ssl.{side}.truststore": str(store),
            f"security.ssl.{side}.truststore-password": password,
        }
    return found


def _made() -> Path:
    key_file, certificate_file = tls.files()
    # By the secret: a new one makes a new key.
    store = key_file.with_name(f"store-{secret.key('flink store')[:12]}.p12")
    if store.exists():
        return store
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import pkcs12

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "spotify-mlops flink")])
    now = datetime.now(UTC)
    host = x509.IPAddress(ipaddress.ip_address(ports.HOST))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([host, x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
    sealed = serialization.BestAvailableEncryption(secret.key("flink").encode())
    store.parent.mkdir(parents=True, exist_ok=True)
    files.replace(key_file, private, 0o600)
    files.replace(certificate_file, certificate.public_bytes(encoding), 0o600)
    # Last: where it is, all are.
    content = pkcs12.serialize_key_and_certificates(b"flink", key, certificate, None, sealed)
    files.replace(store, content, 0o600)
    return store
