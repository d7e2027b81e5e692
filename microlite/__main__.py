"""The program: `microlite …`, `python -m microlite …`, and what the one file runs."""

import sys


def main() -> int:
    """Run the command line of this process. Returns the exit code; never raises."""
    try:
        from microlite.cli.entry import run

        return run(sys.argv[1:])
    except KeyboardInterrupt:  # while the first modules were being imported
        return 130


if __name__ == "__main__":
    sys.exit(main())
