"""Fetch what the dashboard's pages load besides our own files, and check it: `python scripts/vendor.py`.

The result is committed, so a build needs neither npm nor a network; a test holds the files against this table. To take a
newer version, change its row: `npm view NAME@VERSION dist.integrity` tells the integrity, and a run with `--print` the
hashes of the files.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

TARGET: Final = Path(__file__).resolve().parent.parent / "microlite/web/dashboard/static/vendor"


class File(NamedTuple):
    """One file of a package."""

    source: str
    """Where it lies in the package."""
    name: str
    """What it is called here."""
    sha256: str


class Package(NamedTuple):
    """One package of npm's registry."""

    name: str
    version: str
    integrity: str
    """Of the packed file, as the registry states it."""
    files: tuple[File, ...]


PACKAGES: Final = (
    Package(
        "htmx.org",
        "2.0.11",
        "sha512-Thx/WtpeOQqSrqBCw/A1cwGJGg4UrVa3+sW0GmrM3p4gJgO89ecH4qtbnyzDDWFvBTqjnIMCgELTNt636dtamA==",
        (
            File("dist/htmx.min.js", "htmx.min.js", "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717"),
            File("LICENSE", "htmx.LICENSE", "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38"),
        ),
    ),
    Package(
        "htmx-ext-sse",
        "2.2.4",
        "sha512-LJmxVhykyflBWgh5PvbRidcyuqMHlgfajmmzumvKctv9puvsufeH6OaejSMZTNTnEI8O2wXXn4ZZtBdpEMqmEQ==",
        (
            File("dist/sse.min.js", "sse.min.js", "98a46496de0c3605fbffdce9167ba427bdd9553184f83f149c261891a92c0136"),
            File("LICENSE", "sse.LICENSE", "a17d224ce9afdc21ec9491b76a2f5d036d19aa641ac4f85ca29c21f9f7e54fdf"),
        ),
    ),
    Package(
        "idiomorph",
        "0.8.0",
        "sha512-R47JBL+6jHDQvcnbppIUtXXcxi5h6+wuCEEZXnRhUltsgzPFKzThL5PuHppP9ypJuy+7WawcY1TsSBD/iQbMhw==",
        (
            File(
                "dist/idiomorph-ext.min.js",
                "idiomorph-ext.min.js",
                "5811b9a7eda14878b7dab4378bf60432e1bb6f11fcfb970cc26540642650181e",
            ),
            File(
                "LICENSE", "idiomorph-ext.LICENSE", "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38"
            ),
        ),
    ),
    Package(
        "swagger-ui-dist",
        "5.35.0",
        "sha512-U06rpMtW9V3XPGOBeamTUSr0Z09jMX4IJuANpE/EZbAhw0G8CgwrzU4YmXkn/h0wCDNsXdGarTNNHC3sU8yVUQ==",
        (
            File(
                "swagger-ui-bundle.js",
                "swagger-ui-bundle.js",
                "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
            ),
            File(
                "swagger-ui.css", "swagger-ui.css", "5ed08757e53da3e026d6cbecc61fe5d43585c9560b302d534ad56692519a273d"
            ),
            File("LICENSE", "swagger-ui.LICENSE", "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"),
            File("NOTICE", "swagger-ui.NOTICE", "0d20d1adef18aee3f40dd258172155521ce702ac445cb5f7b7d60ed32dad2fb2"),
        ),
    ),
)
"""All that is vendored. htmx stays at 2.x: 4.x renames events and attributes that the dashboard uses."""


def fetch(package: Package, folder: Path) -> dict[str, bytes]:
    """Pack a package by npm, check it, and return the wanted files by their names here."""
    words = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{package.name}@{package.version}"]
    packed = folder / subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()[-1]
    found = "sha512-" + base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
    if found != package.integrity:
        sys.exit(f"{package.name} {package.version} has the integrity {found}, and the table wants {package.integrity}")
    files: dict[str, bytes] = {}
    with tarfile.open(packed) as archive:
        for file in package.files:
            member = archive.extractfile(f"package/{file.source}")
            assert member is not None, f"{package.name} has a file {file.source}"
            files[file.name] = member.read()
    return files


def main() -> None:
    """Fetch all packages and write their files."""
    parser = argparse.ArgumentParser(description="Fetch the dashboard's vendored files.")
    parser.add_argument("--print", action="store_true", help="print the hashes instead of writing the files")
    options = parser.parse_args()
    if shutil.which("npm") is None:
        sys.exit("npm is missing: it comes with Node.js, and is needed for this script only")
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for package in PACKAGES:
            contents = fetch(package, Path(scratch))
            for file in package.files:
                found = hashlib.sha256(contents[file.name]).hexdigest()
                if options.print:
                    print(file.name, found)
                elif found != file.sha256:
                    sys.exit(f"{file.name} has the sha256 {found}, and the table wants {file.sha256}")
                else:
                    (TARGET / file.name).write_bytes(contents[file.name])


if __name__ == "__main__":
    main()
