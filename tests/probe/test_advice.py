"""The advice and the checks fit each other, and each line is fit to be read."""

import tomllib
from importlib.resources import files

import pytest

from echo.advice import advice_for, advice_for_message, read_advice, read_messages
from echo.probe.check import Check
from echo.probe.table import CHECKS

DOCUMENT = tomllib.loads(files("echo.advice").joinpath("advice.toml").read_text("utf-8"))
PRODUCTS = [
    *("nginx", "ingress-nginx", "Envoy", "Istio", "HAProxy", "Traefik", "AWS ALB", "AWS NLB", "GCP", "Cloudflare"),
]


def test_there_are_33_checks_each_with_a_question() -> None:
    assert len({check.name for check in CHECKS}) == 33
    assert all(check.question.endswith("?") for check in CHECKS)
    assert all(need in {other.name for other in CHECKS} for check in CHECKS for need in check.needs)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_each_cause_of_a_check_has_advice_and_no_other(check: Check) -> None:
    assert check.causes
    assert set(read_advice()[check.name]) == set(check.causes)
    assert all(advice_for(check.name, cause) for cause in check.causes)


def test_there_is_advice_for_no_other_check() -> None:
    assert set(read_advice()) == {check.name for check in CHECKS}


def test_every_product_of_the_table_is_there_and_no_other() -> None:
    assert list(DOCUMENT["settings"]) == PRODUCTS


def test_every_setting_that_is_listed_is_advised_somewhere() -> None:
    used = {
        (product, setting)
        for causes in (*DOCUMENT["advice"].values(), DOCUMENT["messages"])
        for c in causes.values()
        for product, setting, _ in c
    }
    listed = {(product, setting) for product, settings in DOCUMENT["settings"].items() for setting in settings}
    assert used == listed


def test_a_line_names_product_setting_and_default() -> None:
    assert "nginx: grpc_read_timeout (default 60s): raise it above the longest silence of a stream" in advice_for(
        "stream-idle", "reset"
    )


def test_no_line_is_long() -> None:
    every = [*read_advice().values(), read_messages()]
    lines = [line for causes in every for lines in causes.values() for line in lines]
    assert max(map(len, lines)) <= 200


def test_what_a_hop_says_tells_which_setting_it_is() -> None:
    sentence = "A plain call ended with UNAVAILABLE (reset before headers. reset reason: overflow)."
    assert [line.partition(" (")[0] for line in advice_for_message(sentence)] == [
        "Envoy: circuit_breakers.thresholds.max_requests",
        "Istio: DestinationRule connectionPool",
    ]
    assert advice_for_message("A plain call ended with UNAVAILABLE (please retry).") == ()
    overloaded = advice_for_message("A plain call failed: UNAVAILABLE (envoy overloaded).")
    assert overloaded[0].startswith("Envoy: overload_manager")
