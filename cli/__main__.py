"""The entry point of `phi3v-data` and of `python -m phi3v_data`; stopped while it imports, it ends with one line."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line and exit; see `main.main`."""
    try:
        from .signals import raise_on_sigterm

        raise_on_sigterm()
        from .main import main as run
    except KeyboardInterrupt as error:
        from .signals import stop_code

        if os.environ.get("RANK", "0") == "0":
            print("phi3v-data: stopped before it began", file=sys.stderr)  # noqa: T201 - click may not be imported yet
        sys.exit(stop_code(error))
    run()


if __name__ == "__main__":
    main()
