"""The command `timbral`. Little is imported before a signal is answered."""

from __future__ import annotations

from timbral.cli.interruption import run_interruptibly

__all__ = ["main"]


def main() -> None:
    """Run the verb that the command line names; see `timbral.cli.main` for the exit codes."""
    run_interruptibly(_main)


def _main() -> int:
    from timbral.cli.main import run

    return run()


if __name__ == "__main__":
    main()
