"""`mamimon` and `python -m mamimon`."""

from __future__ import annotations


def main() -> None:
    """Run the command line."""
    from mamimon.cli.root import cli

    cli(prog_name="mamimon")


if __name__ == "__main__":
    main()
