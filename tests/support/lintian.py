"""Debian's lintian, unpacked into the cache folder as Asterisk is: nothing is installed.

`python -m tests.support.lintian dist/talkspurt_0.1.0_amd64.deb` looks at a whole package, which takes two minutes.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.asterisk.fetch import CACHE

APT_TIMEOUT_S = 300
SCRIPT = Path(__file__).with_name("lintian.sh")
NO_OVERLAY = 77
"""What the script ends with where no overlay can be mounted."""


class Unavailable(Exception):
    """lintian cannot be had on this machine. Its text is the reason."""


def fetch_lintian(cache: Path = CACHE) -> Path:
    """Returns a folder with what lintian needs beyond this machine's packages. Raises Unavailable."""
    cache = cache.resolve()
    root = cache / "lintian"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lintian.lock", "w") as lock, tempfile.TemporaryDirectory(dir=cache, prefix="lintian-") as work:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the file is closed
        if root.exists():
            return root
        archives = Path(work, "archives")
        (archives / "partial").mkdir(parents=True)
        if shutil.which("apt-get") is None:
            raise Unavailable("no apt-get here")
        command = ["apt-get", "-q", "--yes", "--no-install-recommends", "--download-only", "install", "lintian"]
        options = [f"Dir::Cache::archives={archives}", "Debug::NoLocking=1", "APT::Sandbox::User="]
        try:
            done = subprocess.run(
                [*command, *(part for option in options for part in ("-o", option))],
                capture_output=True, text=True, timeout=APT_TIMEOUT_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unavailable(f"the Debian mirror gave nothing in {APT_TIMEOUT_S} s") from None
        if done.returncode:
            raise Unavailable(f"apt-get failed: {' '.join(done.stderr.split())[-300:]}")
        _unpack(archives, Path(work, "root"))
        Path(work, "root").rename(root)
    return root


def lintian(deb: Path) -> subprocess.CompletedProcess[str]:
    """Has lintian look at a package. Raises Unavailable."""
    command = ["unshare", "--mount", "sh", str(SCRIPT), str(fetch_lintian()), str(deb)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == NO_OVERLAY:
        raise Unavailable("no overlay can be mounted here")
    return done


def _unpack(archives: Path, root: Path) -> None:
    for folder in ("bin", "lib", "sbin"):  # as on every Debian 12: a folder in their place would hide the machine's own
        (root / "usr" / folder).mkdir(parents=True)
        (root / folder).symlink_to(f"usr/{folder}")
    for archive in archives.glob("*.deb"):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as package:
            tar = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", "--no-same-owner"]
            subprocess.run(tar, stdin=package.stdout, check=True)


if __name__ == "__main__":
    looked = lintian(Path(sys.argv[1]))
    print(looked.stdout + looked.stderr, end="")
    sys.exit(looked.returncode)
