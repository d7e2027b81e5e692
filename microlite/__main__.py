"""The program: `microlite …`, `python -m microlite …`, and what the one file runs."""

import os
import sys


def main() -> int:
    """Run the command line of this process. Returns the exit code, or ends the process with it; never raises."""
    try:
        from microlite.cli.entry import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while the first modules were being imported
        code = 130
    if "asyncio" not in sys.modules:
        # A client command has started nothing and holds nothing: tidying up would take a fifth of its time.
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
