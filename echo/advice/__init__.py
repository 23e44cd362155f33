"""Which setting of which product to look at, for what a check finds; for the command line's probe and the console."""

from echo.advice.read import advice_for, read_advice

__all__ = ["advice_for", "read_advice"]
