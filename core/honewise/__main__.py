"""``python -m honewise`` is the ``honewise`` command."""

from honewise.cli import main

if __name__ == "__main__":
    main()
