"""``python -m ntkfast`` is the command ``ntkfast``."""

from ntkfast.cli import main

if __name__ == "__main__":
    main(prog_name="ntkfast")
