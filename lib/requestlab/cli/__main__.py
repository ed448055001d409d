"""`python -m requestlab.cli`: the command line without its console script."""

from requestlab.cli import main

if __name__ == "__main__":
    main()
