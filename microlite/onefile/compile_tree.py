"""The child of `bytecode.Compilation`: a program of its own, standard library only, since it runs isolated.

Arguments: the extraction, and the path of the note to leave when all is compiled. Ends at end of file on stdin.
"""

import compileall
import os
import select
import sys
from pathlib import Path


def compile_tree(tree: Path, note: Path) -> None:
    """Compile what lacks fresh bytecode below ``tree/site-packages``, then touch ``note``."""
    os.nice(19)
    for source in sorted((tree / "site-packages").rglob("*.py")):
        # The parent never writes: readable means that its end is closed.
        if select.select([0], [], [], 0)[0]:
            return
        compileall.compile_file(source, quiet=2)
    note.touch()


if __name__ == "__main__":
    compile_tree(Path(sys.argv[1]), Path(sys.argv[2]))
