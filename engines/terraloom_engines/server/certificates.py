"""Certificates: who the server is and whose clients it takes (TLS 1.2 and 1.3), from files that may be renewed while it runs.

gRPC asks for the newest pair at every handshake; HTTP's context is given it by `refresh`. A pair that does not work is told once and the
former stays in use, so that half a renewal (the certificate is new, the key not yet) cuts nobody off.
"""

import logging
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path

import grpc

from terraloom.errors import InvalidArgumentError, NotFoundError, TerraloomError

__all__ = ["Certificates", "TlsFiles"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the server's certificate with its chain, its key without a password, and the authorities whose clients it takes."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    """With it a client must show a certificate that one of these authorities signed (mutual TLS)."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """All files."""
        return (self.certificate, self.key) + ((self.client_ca,) if self.client_ca else ())


class Certificates:
    """The newest working pair of `files`. Safe to use from any thread."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises NotFoundError or InvalidArgumentError, with the file, for what is absent, damaged, expired or does not fit."""
        self.files = files
        self.expires = 0.0
        """When the certificate in use expires, in seconds since 1970."""
        self._lock = threading.Lock()
        self._seen = _stamp(files)
        self._pair = self._read()
        self._contexts: list[ssl.SSLContext] = []

    def _read(self) -> grpc.ServerCertificateConfiguration:
        self.expires = prove(self.files)
        certificate, key = self.files.certificate.read_bytes(), self.files.key.read_bytes()
        authorities = self.files.client_ca.read_bytes() if self.files.client_ca else None
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=authorities)

    def refresh(self) -> bool:
        """Takes up what was renewed on disk; whether anything was."""
        with self._lock:
            seen = _stamp(self.files)
            if seen == self._seen:
                return False
            self._seen = seen
            try:
                self._pair = self._read()
                for context in self._contexts:
                    _load(context, self.files)
            except TerraloomError as error:
                _log.error("the renewed certificate cannot be used, the former stays: %s", error)
                return False
        _log.info("took up the renewed certificate %s", self.files.certificate)
        return True

    def server_credentials(self) -> grpc.ServerCredentials:
        """For gRPC; every handshake takes the newest pair."""
        in_use = self._pair

        def newest() -> grpc.ServerCertificateConfiguration | None:
            nonlocal in_use
            self.refresh()
            changed, in_use = self._pair is not in_use, self._pair
            return in_use if changed else None

        mutual = self.files.client_ca is not None
        return grpc.dynamic_ssl_server_credentials(in_use, newest, require_client_authentication=mutual)  # type: ignore[arg-type]  # None: as before

    def ssl_context(self) -> ssl.SSLContext:
        """For HTTP; it follows `refresh`, but that an authority removed from `client_ca` is trusted until the server is started anew."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        _load(context, self.files)
        with self._lock:
            self._contexts.append(context)
        return context


def prove(files: TlsFiles) -> float:
    """Shakes hands over the files in memory; returns when the certificate expires. Raises NotFoundError or InvalidArgumentError."""
    for path in files.paths:
        _readable(path)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _load(server, TlsFiles(files.certificate, files.key))
    if files.client_ca is not None:
        _load_authorities(server, files.client_ca)
        server.verify_mode = ssl.CERT_NONE
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the certificate vouches for itself: what is proven is the rest
    client.load_verify_locations(files.certificate)
    try:
        shown = _handshake(server, client)
    except ssl.SSLCertVerificationError as error:
        raise InvalidArgumentError(f"certificate {files.certificate} cannot be used: {error.verify_message}", field="tls_cert") from error
    return ssl.cert_time_to_seconds(str(shown["notAfter"]))


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """What a client sees of a server's certificate."""
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours, theirs = server.wrap_bio(up, down, server_side=True), client.wrap_bio(down, up)
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return dict(theirs.getpeercert() or {})


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        context.load_cert_chain(files.certificate, files.key, _no_password)
    except ssl.SSLError as error:
        text = f"{files.key} is not the key of the certificate {files.certificate}"
        if error.reason != "KEY_VALUES_MISMATCH":
            text = f"{files.certificate} and {files.key} are not a certificate and its key in PEM ({error.reason or 'no PEM'})"
        raise InvalidArgumentError(text, field="tls_key") from error
    if files.client_ca is not None:
        _load_authorities(context, files.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED


def _load_authorities(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise InvalidArgumentError(f"{path} holds no certificates of authorities in PEM", field="client_ca") from error


def _no_password() -> str:
    raise InvalidArgumentError("the key has a password, which nobody can enter when a server starts: store it without", field="tls_key")


def _readable(path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except FileNotFoundError:
        raise NotFoundError(f"there is no file {path}") from None
    except OSError as error:
        raise InvalidArgumentError(f"cannot read {path}: {error.strerror}") from error


def _stamp(files: TlsFiles) -> tuple[tuple[int, int, int], ...]:
    """What changes when a file is written or another is put in its place."""
    found = []
    for path in files.paths:
        try:
            status = path.stat()
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
