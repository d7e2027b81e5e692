"""Telling that what an interpreter has installed is not what it was."""

from __future__ import annotations

from pathlib import Path


class Packages:
    """Fingerprints of environments, remembered for as long as their folders do not change."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[int, int]] = {}

    def fingerprint(self, python: str) -> int:
        """A number that changes when a distribution is installed, updated or removed. `python` is `…/bin/python`."""
        prefix = Path(python).parent.parent
        return hash(tuple(self._folder(folder) for folder in sorted(prefix.glob("lib/python*/site-packages"))))

    def _folder(self, folder: Path) -> int:
        try:
            changed = folder.stat().st_mtime_ns
            known = self._known.get(folder)
            if known is None or known[0] != changed:
                # Names carry versions; the time alone also changes when Python makes a folder for bytecode.
                names = sorted(path.name for path in folder.iterdir() if path.suffix in _INSTALLED)
                known = self._known[folder] = changed, hash((folder, *names))
        except OSError:
            return 0
        return known[1]


_INSTALLED = (".dist-info", ".egg-info", ".pth")
