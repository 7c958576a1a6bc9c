"""What tests of the live path share: a machine that lacks a library."""

import sys

import pytest


@pytest.fixture
def without_pulsectl(monkeypatch):
    """Called with the class of an error: importing pulsectl fails as where it, or libpulse, is absent."""

    def refuse(failure):
        class Refusing:
            def find_spec(self, name, path=None, target=None):
                if name == "pulsectl":
                    raise failure("libpulse.so.0")

        monkeypatch.delitem(sys.modules, "pulsectl", raising=False)
        monkeypatch.setattr(sys, "meta_path", [Refusing(), *sys.meta_path])

    return refuse
