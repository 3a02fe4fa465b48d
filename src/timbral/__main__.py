"""The command `timbral`. Nothing is imported before Ctrl-C is answered."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]

INTERRUPTED = {130, 143}
"""exit codes of Ctrl-C and SIGTERM"""


def main() -> None:
    """Run the verb that the command line names; see `timbral.cli.main` for the exit codes."""
    if os.name != "posix":
        sys.exit("error: timbral runs on Linux and macOS; on Windows run it in WSL")
    try:
        from timbral.cli.interruption import run_interruptibly
    except KeyboardInterrupt:  # what answers it was being imported
        os.write(2, b"interrupted; what is finished is kept\n")
        sys.exit(130)
    try:
        run_interruptibly(_main)
    except SystemExit as ended:
        if ended.code in INTERRUPTED:
            from timbral.cli.interruption import leave

            leave(ended.code)
        raise


def _main() -> int:
    from timbral.cli.main import run
    from timbral.io.cores import SPIN_COUNT, SPIN_COUNT_SERVING, share_cores

    share_cores(SPIN_COUNT_SERVING if sys.argv[1:2] == ["serve"] else SPIN_COUNT)
    return run()


if __name__ == "__main__":
    main()
