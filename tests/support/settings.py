"""What the tests of settings share: the names of all, the values of all, and the line that refuses one."""

import pytest

from echo.settings import SETTINGS, Settings, SettingsError, load_settings

VARIABLES = [setting.variable for setting in SETTINGS]


def values(settings: Settings) -> dict[str, object]:
    """Every setting's value, by its field."""
    return {each.field: getattr(settings, each.field) for each in SETTINGS}


def refusal(environ: dict[str, str], **flags: str) -> str:
    """The line by which these variables and flags are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(environ, **flags)
    return str(caught.value)
