"""The entry point of `phi3v-data` and of `python -m phi3v_data.cli`: interrupted while it imports, it says so."""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line and exit; see `main.main`."""
    try:
        from .main import main as run
    except KeyboardInterrupt:
        print("phi3v-data: interrupted", file=sys.stderr)  # noqa: T201 - click may not be imported yet
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
