"""How the links between machines are encrypted."""

from __future__ import annotations

import ssl
from pathlib import Path

from engine.speech import SpeechError


def client_context(ca: Path | None) -> ssl.SSLContext:
    """Returns what checks replicas' certificates. Raises SpeechError where the file cannot be used."""
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:  # ssl.SSLError is one
        raise SpeechError(f"ENGINE_TLS_CA={str(ca)!r}: {error}") from None


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """Returns what a replica encrypts with. Raises SpeechError where the files cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # never asks the terminal
    except OSError as error:
        names = f"ENGINE_TLS_CERT={str(certificate)!r}" + (f", ENGINE_TLS_KEY={str(key)!r}" if key else "")
        raise SpeechError(f"{names}: {error}") from None
    return context
