"""`python -m weelo_workers.cli`: the command `weelo`, from a checkout."""

from weelo_workers.cli import main

if __name__ == "__main__":
    main()
