"""`python -m gainful` is the command `gainful`."""

from gainful.cli import app

app(prog_name="gainful")
