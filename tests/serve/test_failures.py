from __future__ import annotations

from insula.serve.failures import Failures


def test_an_address_that_fails_too_often_waits_a_minute() -> None:
    now = [0.0]
    failures = Failures(3, clock=lambda: now[0])
    for second in (0, 10, 20):
        assert failures.wait_seconds("10.0.0.1", "") == 0
        now[0] = second
        failures.add("10.0.0.1")
    assert failures.wait_seconds("10.0.0.1", "") == 40
    assert failures.wait_seconds("10.0.0.2", "") == 0, "others are let in"
    now[0] = 61.0
    assert failures.wait_seconds("10.0.0.1", "") == 0


def test_a_token_that_was_right_before_need_not_wait() -> None:
    failures = Failures(1)
    failures.right("10.0.0.1", "Bearer good")
    failures.add("10.0.0.1")
    failures.add("10.0.0.2")
    assert failures.wait_seconds("10.0.0.1", "Bearer good") == 0
    assert failures.wait_seconds("10.0.0.1", "Bearer other") > 0
    assert failures.wait_seconds("10.0.0.2", "Bearer good") > 0, "it was right elsewhere"


def test_one_ipv6_network_is_one_address() -> None:
    failures = Failures(1)
    failures.add("2001:db8:1:2::5")
    assert failures.wait_seconds("2001:db8:1:2:ffff::1", "")
    assert not failures.wait_seconds("2001:db8:1:3::5", "")
    failures.add("::ffff:192.0.2.1")
    assert failures.wait_seconds("192.0.2.1", "")


def test_addresses_are_forgotten_when_there_are_too_many() -> None:
    failures = Failures(1)
    for number in range(12_000):
        failures.add(f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}")
    assert not failures.wait_seconds("10.0.0.0", "")
    assert len(failures._times) == 10_000
