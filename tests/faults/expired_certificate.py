"""A certificate that was good until yesterday."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

EXPIRED = "expired.crt"
FROM, UNTIL = "20200101000000Z", "20200201000000Z"


def make_expired_certificate(folder: Path) -> tuple[Path, Path]:
    """Returns the files of a certificate for localhost that has expired, and of its key. Skips without openssl."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    certificate, key, request = (folder / name for name in (EXPIRED, "expired.key", "expired.csr"))
    authority = folder / "authority.cnf"
    authority.write_text(
        "[ca]\ndefault_ca=a\n[a]\n"
        f"new_certs_dir={folder}\ndatabase={folder}/index\nserial={folder}/serial\ndefault_md=sha256\npolicy=p\n"
        "x509_extensions=e\n[p]\ncommonName=supplied\n[e]\nsubjectAltName=DNS:localhost\n"
    )
    (folder / "index").write_text("")
    (folder / "serial").write_text("01")
    new = [
        "req",
        "-new",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=localhost",
    ]
    _openssl(*new, "-keyout", str(key), "-out", str(request))
    signed = ["ca", "-batch", "-selfsign", "-config", str(authority), "-keyfile", str(key), "-in", str(request)]
    _openssl(*signed, "-startdate", FROM, "-enddate", UNTIL, "-out", str(certificate), "-notext")
    return certificate, key


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
