"""Declaring settings in groups, and reading a group or several."""

import pytest

from echo.configuration import BOTH, GATEWAY, SERVER, Group, SettingsError, Title, optional, read, setting
from echo.configuration.addresses import FILE
from echo.configuration.values import SWITCH, seconds, whole_number


class Calls(Group):
    calls = Title("Calls")
    call_timeout = setting(15.0, seconds(), GATEWAY, "deadline of calls")
    call_limit = setting(3, whole_number(1, 9), BOTH, "most calls at a time")

    def check(self) -> None:
        if self.call_timeout < self.call_limit:
            raise self.refusal("call_timeout", f"can't be less than {self.name_of('call_limit')}")


class Keys(Group):
    keys = Title("Keys")
    key = optional(FILE, SERVER, "a key")
    more = Title("More keys")
    key_needed = setting(False, SWITCH, SERVER, "whether there must be a key")

    def check(self) -> None:
        self.require("key_needed", "key")


class All(Calls, Keys):
    last = Title("Last")
    last_of_all = setting(1, whole_number(0, 2), BOTH, "one more")


def test_settings_are_listed_group_by_group_under_their_titles() -> None:
    assert [(each.title, each.variable, each.flag, each.default_text) for each in All.settings] == [
        ("Calls", "CALL_TIMEOUT", "--call-timeout", "15s"),
        ("Calls", "CALL_LIMIT", "--call-limit", "3"),
        ("Keys", "KEY", "--key", ""),
        ("More keys", "KEY_NEEDED", "--key-needed", "false"),
        ("Last", "LAST_OF_ALL", "--last-of-all", "1"),
    ]


def test_a_group_is_read_without_the_others() -> None:
    calls = read(Calls, {"CALL_TIMEOUT": "20s", "KEY_NEEDED": "nonsense"}, call_limit="4")
    assert (calls.call_timeout, calls.call_limit) == (20.0, 4)


def test_what_a_program_does_not_use_is_not_read() -> None:
    environ = {"CALL_TIMEOUT": "nonsense", "KEY": "k"}
    assert read(All, environ, SERVER).call_timeout == 15.0
    with pytest.raises(SettingsError, match=r"^CALL_TIMEOUT: 'nonsense' is not a duration"):
        read(All, environ, GATEWAY)


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        ({"call_timeout": "2s"}, "--call-timeout: can't be less than CALL_LIMIT"),
        ({"call_limit": "9", "call_timeout": "8s"}, "--call-timeout: can't be less than --call-limit"),
        ({"key_needed": "on"}, "--key-needed: needs KEY as well"),
    ],
)
def test_each_group_s_contradictions_are_refused(flags: dict[str, str], line: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(All, {}, **flags)
    assert str(caught.value) == line


def test_the_first_invalid_setting_is_named_before_any_contradiction() -> None:
    with pytest.raises(SettingsError, match=r"^LAST_OF_ALL: '3' is not a whole number from 0 to 2$"):
        read(All, {"CALL_TIMEOUT": "1s", "LAST_OF_ALL": "3"})
