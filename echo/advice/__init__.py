"""Advice for each finding of a check: which product's setting to look at. The probe and the console show it."""

from echo.advice.read import advice_for, advice_for_message, read_advice, read_messages

__all__ = ["advice_for", "advice_for_message", "read_advice", "read_messages"]
