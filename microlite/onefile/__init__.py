"""The one file at run time: where it is, where it is unpacked, and what service environments get from it.

`folder`, `start`, `unpack` and `cleaning` are also copied into microlite.pyz and run there before anything of
microlite is unpacked; they import nothing but the standard library and each other.
"""

from microlite.onefile.cleaning import Cleaned, clean
from microlite.onefile.folder import CacheError
from microlite.onefile.library import archive, command, extraction, library_path

__all__ = ["CacheError", "Cleaned", "archive", "clean", "command", "extraction", "library_path"]
