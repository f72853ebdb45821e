"""The console's cookie."""

from __future__ import annotations

from bridge.console.session import LIFE_S, Sessions


class Time:
    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_login_is_good_for_a_working_day():
    time = Time()
    sessions = Sessions("key", time)
    value = sessions.create()
    time.now_s += LIFE_S - 2
    assert sessions.is_good(value)
    time.now_s += 3
    assert not sessions.is_good(value)


def test_nobody_makes_a_cookie_without_the_key():
    time = Time()
    value = Sessions("key", time).create()
    expires, _, signature = value.partition(".")
    later = f"{int(expires) + 100}.{signature}"
    for wrong in ("", ".", later, value[:-1], f"{expires}.", f"x.{signature}", "\udcff.\udcff", value + "0"):
        assert not Sessions("key", time).is_good(wrong), wrong


def test_another_key_ends_all_logins():
    time = Time()
    assert not Sessions("new key", time).is_good(Sessions("key", time).create())


def test_the_key_is_known():
    assert Sessions("key").is_key("key")
    assert not Sessions("key").is_key("kex")
    assert not Sessions("key").is_key("\ud800")
