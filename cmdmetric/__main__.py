"""`python -m cmdmetric` is the command `cmdmetric`."""

from cmdmetric.cli.main import main

if __name__ == "__main__":
    main(prog_name="cmdmetric")
