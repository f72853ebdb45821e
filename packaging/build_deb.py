"""`make deb`: builds the Debian package out of the project's .venv. Nothing is fetched when it is installed.

The package has an environment of its own in /usr/lib/talkspurt, whose interpreter is Debian's python3.11. So it is for
Debian 12, which FreePBX 17 runs on.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import tomllib
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from pathlib import Path

from run_time import MissingPackage, copy_run_time

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
PYTHON = (3, 11)
"""The Python of Debian 12. Compiled packages fit this one alone."""
HOME = Path("usr/lib/talkspurt")
BUILT_OF = ("pyproject.toml", "README.md", "LICENSE", "NOTICE", "bridge", "engine")
LAUNCHER = f"""\
#!/{HOME}/venv/bin/python3 -I
import sys

from bridge.__main__ import main

sys.exit(main())
"""
FILES = {
    "talkspurt.service": "lib/systemd/system/talkspurt.service",
    "start": "usr/lib/talkspurt/start",
    "copy": "usr/lib/talkspurt/copy",
    "tidy": "usr/lib/talkspurt/tidy",
    "gpu.conf": "usr/share/doc/talkspurt/examples/gpu.conf",
    "talkspurt.env": "etc/talkspurt/talkspurt.env",
    "debian/copyright": "usr/share/doc/talkspurt/copyright",
    "debian/lintian-overrides": "usr/share/lintian/overrides/talkspurt",
    "../NOTICE": "usr/share/doc/talkspurt/NOTICE",
}
SCRIPTS = ("postinst", "prerm", "postrm")
COMMANDS = ("venv/bin/talkspurt", "start", "copy", "tidy")


def build(output: Path, version: str) -> Path:
    """Builds the package into a folder and returns its path. Raises MissingPackage and CalledProcessError."""
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix="deb-") as work:
        root = Path(work, "root")
        fill(root, version)
        values = {
            "VERSION": version,
            "ARCHITECTURE": run("dpkg", "--print-architecture").strip(),
            "INSTALLED_SIZE": str(-(-size_bytes(root) // 1024)),
        }
        write_control(root / "DEBIAN", values)
        set_modes(root)
        deb = output / f"talkspurt_{version}_{values['ARCHITECTURE']}.deb"
        run("dpkg-deb", "--root-owner-group", "--build", str(root), str(deb))
    return deb


def fill(root: Path, version: str) -> None:
    """Puts every file of the package into `root`."""
    site = root / HOME / "venv/lib/python3.11/site-packages"
    site.mkdir(parents=True)
    copy_run_time(PROJECT, site)
    copy_project(site, version)
    make_environment(root / HOME / "venv")
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/talkspurt").symlink_to("../lib/talkspurt/venv/bin/talkspurt")
    for source, target in FILES.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(HERE / source, root / target)
    pack(root / "usr/share/man/man1/talkspurt.1.gz", (HERE / "talkspurt.1").read_text())
    pack(root / "usr/share/doc/talkspurt/changelog.gz", changelog(version))


def copy_project(site: Path, version: str) -> None:
    """Installs the project itself, built as its pyproject.toml says."""
    with tempfile.TemporaryDirectory() as work:
        for name in BUILT_OF:  # a copy, because a build leaves files in the folder that it is made in
            copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copyfile
            copy(PROJECT / name, Path(work, name))
        project = Path(work, "pyproject.toml")
        project.write_text(re.sub(r'(?m)^version = ".*"$', f'version = "{version}"', project.read_text(), count=1))
        pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
        run(*pip, "install", "--no-deps", "--no-compile", "--target", str(site), work)
    shutil.rmtree(site / "bin")  # its command names the interpreter that built it
    for name in ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json"):
        (site / f"talkspurt-{version.replace('-', '_')}.dist-info" / name).unlink(missing_ok=True)


def make_environment(venv: Path) -> None:
    """Makes a virtual environment of the packages in it: the interpreter that it uses, and the one command."""
    (venv / "bin").mkdir()
    (venv / "bin/python3").symlink_to("../../../../bin/python3.11")
    (venv / "bin/talkspurt").write_text(LAUNCHER)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.11\n")


def write_control(folder: Path, values: Mapping[str, str]) -> None:
    """Writes what dpkg reads: the package's fields, its scripts and the list of its settings' files."""
    folder.mkdir()
    text = (HERE / "debian/control").read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    (folder / "control").write_text(text)
    (folder / "conffiles").write_text("/etc/talkspurt/talkspurt.env\n")
    for name in SCRIPTS:
        shutil.copyfile(HERE / "debian" / name, folder / name)
    (folder / "md5sums").write_text("".join(checksums(folder.parent)))


def checksums(root: Path) -> Iterator[str]:
    """Returns a line for each file of the package, for `dpkg --verify`."""
    for path in sorted(root.rglob("*")):
        if path.is_file() and not path.is_symlink() and root / "DEBIAN" not in path.parents:
            yield f"{hashlib.md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n"


def set_modes(root: Path) -> None:
    """Lets everybody read everything, and nobody but root write it."""
    commands = {*(root / HOME / name for name in COMMANDS), *(root / "DEBIAN" / name for name in SCRIPTS)}
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path in commands else 0o644)


def changelog(version: str) -> str:
    """Returns the newest entries of CHANGELOG.md in Debian's form."""
    text = (PROJECT / "CHANGELOG.md").read_text()
    newest = re.split(r"(?m)^## .*$", text)[1]
    entries = re.findall(r"(?ms)^- (.+?)(?=^- |^#|\n\n|\Z)", newest)
    lines = "\n".join(
        textwrap.fill(" ".join(entry.split()), 78, initial_indent="  * ", subsequent_indent="    ") for entry in entries
    )
    date_s = int(os.environ.get("SOURCE_DATE_EPOCH") or time.time())
    maintainer = re.findall(r"(?m)^Maintainer: (.*)$", (HERE / "debian/control").read_text())[0]
    return f"talkspurt ({version}) bookworm; urgency=medium\n\n{lines}\n\n -- {maintainer}  {formatdate(date_s)}\n"


def pack(path: Path, text: str) -> None:
    """Writes a compressed file, the same one for the same text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def size_bytes(root: Path) -> int:
    """Returns how much the files in a folder hold."""
    return sum(path.lstat().st_size for path in root.rglob("*"))


def run(*command: str) -> str:
    """Returns what a command prints. Raises CalledProcessError."""
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def main() -> int:
    """Builds the package and prints its path. Returns 1 where it cannot be built here."""
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    parser = argparse.ArgumentParser(description="Builds the Debian package.")
    parser.add_argument("--output", type=Path, default=PROJECT / "dist", help="folder (default: dist)")
    parser.add_argument("--version", default=version, help="default: %(default)s, of pyproject.toml")
    args = parser.parse_args()
    if sys.version_info[:2] != PYTHON or shutil.which("dpkg-deb") is None:
        print("The package is for Debian 12: it is built with dpkg-deb and a .venv of Python 3.11.", file=sys.stderr)
        return 1
    try:
        deb = build(args.output.resolve(), args.version)
    except MissingPackage as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{deb} ({deb.stat().st_size / 1e6:.0f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
