"""Build dist/microlite.pyz: one file that runs on a machine with Python and nothing else.

    python scripts/build_zipapp.py                    # Python 3.11 to 3.14, this kind of machine
    python scripts/build_zipapp.py --python current   # for the running Python only, quicker

The file is a small zip, which Python opens at each start, around a big one, `payload.zip`, made by shiv, which is
opened once, to unpack it. (Python reads a zip's whole table of contents at each start: 50 ms for 5,000 files.) The same
sources, locks and binutils give the same bytes; SOURCE_DATE_EPOCH moves the time stamps.
"""

from __future__ import annotations

import argparse
import io
import os
import platform as host
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import dependency_tree
import shiv  # type: ignore[import-untyped]  # no stubs anywhere
import vendor
from dependency_tree import Target
from shiv import builder
from shiv.bootstrap.environment import Environment  # type: ignore[import-untyped]
from shiv.constants import BUILD_AT_TIMESTAMP_FORMAT  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
LIMIT = 80_000_000
"""The most bytes the file may have."""
START = ("folder", "tree", "start", "unpack", "cleaning")
"""Modules of microlite/onefile that run before anything is unpacked."""
TEXTS = {"": "usage", "--help": "help", "-h": "help", "--version": "version"}
"""Command lines answered from a text made at build time."""
SHELLS = ("bash", "zsh", "fish")
SHEBANG = b"#!/usr/bin/env python3\n"


def epoch() -> int:
    """Return the time stamp of everything in the file, in seconds since 1970."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", "1767225600"))  # 2026-01-01, any day would do


def host_platform() -> str:
    """Return this machine's platform in uv's words."""
    machine = host.machine()
    if sys.platform == "darwin":
        return {"arm64": "aarch64", "x86_64": "x86_64"}[machine] + "-apple-darwin"
    # Older manylinux tags would silently give older libraries. 2.28: Debian 10, Ubuntu 20.04, RHEL 8 and later.
    return f"{machine}-manylinux_2_28" if host.libc_ver()[0] == "glibc" else f"{machine}-unknown-linux-musl"


def machine_facts(platform: str) -> dict[str, object]:
    """Return what the stub compares with `os.uname` and the C library: system, machine, C library and least glibc."""
    machine, _, rest = platform.partition("-")
    if "darwin" in rest:
        return {"system": "Darwin", "machine": "arm64" if machine == "aarch64" else machine, "libc": ""}
    glibc = re.fullmatch(r"manylinux_(\d+)_(\d+)", rest)
    if glibc is None:
        return {"system": "Linux", "machine": machine, "libc": "musl"}
    return {"system": "Linux", "machine": machine, "libc": "glibc", "glibc": [int(part) for part in glibc.groups()]}


def copy_package(source: Path, site_packages: Path) -> str:
    """Copy the package's files and write its metadata; return its version."""
    package = site_packages / "microlite"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    for path in package.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    found = re.search(r'__version__ = "([^"]+)"', (source / "version.py").read_text())
    if found is None:
        sys.exit(f"no __version__ in {source / 'version.py'}")
    version = found[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    metadata = site_packages / f"microlite-{version}.dist-info"
    metadata.mkdir()
    lines = ["Metadata-Version: 2.4", "Name: microlite", f"Version: {version}", f"Summary: {project['description']}"]
    lines += [f"License-Expression: {project['license']}", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {need}" for need in project["dependencies"]]
    (metadata / "METADATA").write_text("\n".join(lines) + "\n")
    groups = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    points = [
        f"[{group}]\n" + "".join(f"{name} = {to}\n" for name, to in found.items()) for group, found in groups.items()
    ]
    (metadata / "entry_points.txt").write_text("\n".join(points))
    for path in metadata.iterdir():
        path.chmod(0o644)
    return version


def notices(site_packages: Path) -> str:
    """Return the licences of all that is bundled, as their packages carry them."""
    parts = ["microlite.pyz carries these packages, each under its own licence.\n"]
    for metadata in sorted(site_packages.glob("*.dist-info"), key=lambda path: path.name.lower()):
        name, version = metadata.name.removesuffix(".dist-info").rsplit("-", 1)
        if name == "microlite":
            continue
        head = (metadata / "METADATA").read_text(encoding="utf-8").partition("\n\n")[0]
        stated = re.findall(r"^(?:License-Expression|License): (.+)$", head, re.MULTILINE)
        stated = stated or re.findall(r"^Classifier: License :: (?:OSI Approved :: )?(.+)$", head, re.MULTILINE)
        parts.append(f"\n{'=' * 80}\n{name} {version}: {', '.join(stated) or 'see below'}\n{'=' * 80}\n")
        texts = [path for path in sorted(metadata.rglob("*")) if re.match(r"(?i)licen[cs]e|copying|notice", path.name)]
        parts += [path.read_text(encoding="utf-8", errors="replace").strip() + "\n" for path in texts if path.is_file()]
    for package in vendor.PACKAGES:
        parts.append(f"\n{'=' * 80}\n{package.name} {package.version}, for the dashboard's pages\n{'=' * 80}\n")
        kept = [vendor.TARGET / file.name for file in package.files]
        parts += [path.read_text(encoding="utf-8") for path in kept if path.suffix in (".LICENSE", ".NOTICE")]
    return "\n".join(parts)


def _answer(site_packages: Path, words: list[str], environ: dict[str, str]) -> str | None:
    """Return what `microlite WORDS` prints, or None if it does anything else than print and succeed."""
    done = subprocess.run(
        [sys.executable, "-B", "-m", "microlite", *words],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(site_packages),
            "LC_ALL": "C.UTF-8",
            "COLUMNS": "80",
            **environ,
        },
        cwd=site_packages,
        capture_output=True,
        check=False,
    )
    return done.stdout.decode() if done.returncode == 0 and not done.stderr else None


def prepared_texts(site_packages: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Ask the command line for the texts that need no unpacking.

    Returns:
        Text names by what asks for them (a command line, or a value of ``_MICROLITE_COMPLETE``), and texts by name.
        What the command line does not answer plainly is left to it at run time.
    """
    names: dict[str, str] = {}
    texts: dict[str, str] = {}
    if not (site_packages / "microlite/__main__.py").is_file():
        sys.exit("the package has no __main__.py: there is nothing to start")
    for line, name in TEXTS.items():
        text = _answer(site_packages, [line] if line else [], {})
        if text is not None:
            # Two command lines share a text only if they print the same.
            name = name if texts.get(name, text) == text else f"{name}{line}"
            names[line], texts[name] = name, text
    for shell in SHELLS:
        asked = f"{shell}_source"
        text = _answer(site_packages, [], {"_MICROLITE_COMPLETE": asked})
        if text:
            names[asked], texts[asked] = asked, text
    return names, texts


def payload(site_packages: Path, work: Path) -> tuple[bytes, str]:
    """Pack the tree by shiv; return the zip and the id of its contents."""
    built_at = datetime.fromtimestamp(epoch(), UTC).strftime(BUILD_AT_TIMESTAMP_FORMAT)
    facts = Environment(built_at=built_at, shiv_version=shiv.__version__, reproducible=True, compile_pyc=False)
    target = work / "payload.zip"
    builder.create_archive([site_packages], target, "/usr/bin/env python3", "microlite.__main__:main", facts)
    assert isinstance(facts.build_id, str)  # create_archive has set it
    return target.read_bytes(), facts.build_id


def stub(build: dict[str, object]) -> str:
    """Return scripts/stub.py with the facts of this build in it."""
    source = (ROOT / "scripts/stub.py").read_text()
    filled, count = re.subn(r"^BUILD = \{\}.*$", lambda _: f"BUILD = {build!r}", source, flags=re.MULTILINE)
    assert count == 1, "scripts/stub.py must have one line that begins with `BUILD = {}`"
    return filled


def outer(entries: dict[str, bytes]) -> bytes:
    """Return the small zip around the payload; what is read at each start is stored, not compressed."""
    stream = io.BytesIO()
    stream.write(SHEBANG)
    stamp = time.gmtime(epoch())
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in entries.items():
            entry = zipfile.ZipInfo(name, stamp[:6])
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED if name.endswith(".txt") else zipfile.ZIP_STORED
            archive.writestr(entry, data)
    return stream.getvalue()


def build(source: Path, target: Target, output: Path, work: Path) -> None:
    """Build the file for ``target`` from the package folder ``source`` into ``output``."""
    work.mkdir(parents=True, exist_ok=True)
    locks = [ROOT / "requirements/runtime.lock", ROOT / "requirements/bundle.lock"]
    own_machine = target.platform.partition("-")[0] == host.machine() and sys.platform == "linux"
    tree = dependency_tree.build(locks, target, work, strip=own_machine)
    with tempfile.TemporaryDirectory(dir=work) as scratch:
        site_packages = Path(scratch) / "site-packages"
        shutil.copytree(tree, site_packages, copy_function=os.link)
        version = copy_package(source, site_packages)
        names, texts = prepared_texts(site_packages)
        packed, payload_id = payload(site_packages, Path(scratch))
        licences = notices(site_packages)
        unpacked = sum(path.stat().st_size for path in site_packages.rglob("*") if path.is_file())
    start = {name: (ROOT / f"microlite/onefile/{name}.py").read_bytes() for name in START}
    facts: dict[str, object] = {
        "name": f"microlite-{version}-{payload_id[:16]}",
        "payload": payload_id,
        "unpacked": unpacked,
        "pythons": [[int(part) for part in python.split(".")] for python in target.pythons],
        "texts": names,
        **machine_facts(target.platform),
    }
    entries = {"__main__.py": stub(facts).encode(), "_microlite_onefile/__init__.py": b""}
    entries |= {f"_microlite_onefile/{name}.py": data for name, data in start.items()}
    entries |= {f"text/{name}": text.encode() for name, text in texts.items()}
    for name in ("__init__", "environment", "filelock", "interpreter"):
        entries[f"_bootstrap/{name}.py"] = (Path(builder.__file__).parent / f"bootstrap/{name}.py").read_bytes()
    entries["LICENSE.txt"] = (ROOT / "LICENSE").read_bytes()
    entries["THIRD-PARTY.txt"] = licences.encode()
    entries["payload.zip"] = packed
    data = outer(entries)
    if len(data) > LIMIT:
        sys.exit(f"{output.name} would have {len(data):,} bytes; the limit is {LIMIT:,}")
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.{os.getpid()}")
    aside.write_bytes(data)
    aside.chmod(0o755)
    aside.rename(output)  # a running microlite keeps reading the file it was started from
    pythons = target.pythons[0] if len(target.pythons) == 1 else f"{target.pythons[0]} to {target.pythons[-1]}"
    print(f"{output.name}: {len(data) / 1e6:.1f} MB for Python {pythons} on {target.platform}")


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description="Build microlite.pyz.")
    parser.add_argument("--python", default="all", help="current, all (default), or minors such as 3.12,3.13")
    parser.add_argument("--platform", default=host_platform(), help="in uv's words (default: %(default)s)")
    parser.add_argument("--source", type=Path, default=ROOT / "microlite", help="folder of the package")
    parser.add_argument("--output", type=Path, default=ROOT / "dist/microlite.pyz")
    parser.add_argument("--work", type=Path, default=ROOT / "build", help="folder for what later builds use again")
    options = parser.parse_args()
    running = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pythons = {"all": PYTHONS, "current": (running,)}.get(options.python, tuple(options.python.split(",")))
    unknown = set(pythons) - set(PYTHONS)
    if unknown:
        parser.error(f"no such Python: {', '.join(sorted(unknown))}; there are {', '.join(PYTHONS)}")
    try:
        build(options.source.resolve(), Target(tuple(pythons), options.platform), options.output, options.work)
    except subprocess.CalledProcessError as error:
        # The program has said why, on the lines above.
        sys.exit(f"microlite.pyz was not built: {Path(error.cmd[0]).name} could not fetch or install what goes into it")


if __name__ == "__main__":
    main()
