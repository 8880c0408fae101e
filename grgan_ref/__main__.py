"""`python -m grgan_ref` is `grgan`, so that torchrun can start it."""

from grgan_ref.cli.main import main

if __name__ == "__main__":
    main(prog_name="grgan")
