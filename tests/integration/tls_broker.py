"""A Kafka broker behind TLS with an authority of its own, as a managed one: SCRAM and OAUTHBEARER.

Google's identity comes from a metadata server of this machine, which every client of Google's asks
where ``GCE_METADATA_HOST`` says: https://cloud.google.com/compute/docs/metadata/overview.
"""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local_services import compiling, kafka
from loopback import Answering, serving
from spotify_mlops.config.progress import silent
from spotify_mlops.io.http import ports
from spotify_mlops.io.kafka import google_tokens
from spotify_mlops.io.local import secret, state

EMAIL = "stream@project.iam.gserviceaccount.com"
BEGINNING = "ya29.test-"


def authority(folder: Path) -> tuple[Path, Path]:
    """Write an authority's certificate, and key and chain of a server of 127.0.0.1 (PEM)."""
    now = datetime.datetime.now(datetime.UTC)

    def signed(name: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey,
               issuer: str) -> x509.CertificateBuilder:  # fmt: skip
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=key is by, path_length=None), critical=True)
        )

    root, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = signed("test authority", root, root, "test authority").sign(root, hashes.SHA256())
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(ports.HOST))])
    server = (
        signed("broker", own, root, "test authority")
        .add_extension(here, critical=False)
        .sign(root, hashes.SHA256())
    )
    pem, key_format = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    trusted, chain = folder / "ca.pem", folder / "broker.pem"
    trusted.write_bytes(ca.public_bytes(pem))
    key = own.private_bytes(pem, key_format, serialization.NoEncryption())
    chain.write_bytes(key + server.public_bytes(pem) + ca.public_bytes(pem))
    return trusted, chain


def _properties(chain: Path, trusted: Path) -> str:
    mechanism = "oauthbearer"
    login = (
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required "
        f'unsecuredLoginStringClaim_sub="broker" token="{BEGINNING}";'
    )
    settings = {
        "listener.security.protocol.map": "BROKER:SASL_SSL,CONTROLLER:SASL_PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": chain,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": trusted,
        "ssl.client.auth": "none",
        "listener.name.broker.sasl.enabled.mechanisms": f"{kafka.MECHANISM},OAUTHBEARER",
        f"listener.name.broker.{mechanism}.sasl.jaas.config": login,
        f"listener.name.broker.{mechanism}.sasl.server.callback.handler.class": "GoogleTokens",
        f"listener.name.broker.{mechanism}.connections.max.reauth.ms": 3_600_000,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, Path]]:
    """Run one with its state in the state directory; give its address and its authority's file."""
    chosen = ports.choose(kafka.PORTS, {})
    trusted, chain = authority(folder)
    argv, _ = kafka.command(chosen, silent)
    with (state.folder("kafka") / "server.properties").open("a") as written:
        written.write(_properties(chain, trusted))  # the last value of a name holds
    classes = compiling.compiled("kafka", "GoogleTokens.java")
    place = argv.index("-cp") + 1
    argv[place] = f"{classes}:{argv[place]}"
    with (folder / "broker.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            yield f"{ports.HOST}:{chosen['broker']}", trusted
        finally:
            process.terminate()
            process.wait(60)


class Metadata(ThreadingHTTPServer):
    """Who this machine is: the tokens that it gave, each good for ``lifetime`` seconds."""

    def __init__(self, lifetime: int) -> None:
        super().__init__((ports.HOST, 0), _Answer)
        self.lifetime = lifetime
        self.beginning = BEGINNING
        self.given = 0

    @property
    def address(self) -> str:
        return f"{ports.HOST}:{self.server_port}"


class _Answer(Answering, BaseHTTPRequestHandler):
    server: Metadata

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.endswith("/token"):
            self.server.given += 1
            token = f"{self.server.beginning}{self.server.given}"
            content: object = {"access_token": token, "expires_in": self.server.lifetime,
                               "token_type": "Bearer"}  # fmt: skip
        elif "/service-accounts/" in path:
            content = {"email": EMAIL, "scopes": [], "aliases": ["default"]}
        else:
            content = {}
        self.answer(content, Metadata_Flavor="Google")


def metadata(lifetime: int = 3600) -> AbstractContextManager[Metadata]:
    """Serve an identity of Google's."""
    return serving(Metadata(lifetime))


@contextmanager
def identified() -> Iterator[Metadata]:
    """Give this process, and those that it starts, an identity of Google's, and no other."""
    from google.auth.compute_engine import _metadata

    with metadata() as server, pytest.MonkeyPatch.context() as patched:
        for name in ("GCE_METADATA_HOST", "GCE_METADATA_IP"):
            patched.setenv(name, server.address)
        patched.setattr(_metadata, "_GCE_METADATA_HOST", server.address)  # read at its import
        patched.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)
        patched.setenv("CLOUDSDK_CONFIG", "/nowhere")
        google_tokens._credentials.cache_clear()
        yield server
    google_tokens._credentials.cache_clear()


def scram_password() -> str:
    """Return the password of the broker's one user, `kafka.OWNER`."""
    return secret.key("kafka")
