"""`python -m torchfloor`, and the command of that name."""

import sys


def main() -> int:
    """Run the command, which takes a moment to import: Ctrl-C may be pressed by then.

    Returns:
        The exit status.
    """
    try:
        from torchfloor import cli  # noqa: PLC0415 - documented
    except KeyboardInterrupt:
        return 130
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
