"""`python -m mecbounce`: the command."""

from mecbounce.cli import main

main()
