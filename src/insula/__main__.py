"""`python -m insula` is `insula`."""

from insula.cli import main

if __name__ == "__main__":
    main()
