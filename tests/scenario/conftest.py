"""Fixtures of the scenarios: a daemon and a faulty service that are always ended, whatever the test did."""
import os
import pathlib
import pwd
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
import daemon as lib  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "quick: part of tests/run.sh --quick and of the sanitizer run")


@pytest.fixture(scope="session", autouse=True)
def accounts():
    """The two system accounts, where we may make them."""
    if os.geteuid() != 0:
        return
    for name in lib.ACCOUNTS:
        try:
            pwd.getpwnam(name)
        except KeyError:
            subprocess.run(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name], check=True)


@pytest.fixture
def faulty():
    """Makes examples/faulty services; each argument list is one."""
    made = []

    def make(*arguments):
        made.append(lib.Faulty(*arguments))
        return made[-1]
    yield make
    for service in made:
        service.stop()


@pytest.fixture
def daemon(tmp_path):
    """Makes and starts daemons: daemon(config) or daemon(config, start=False)."""
    made = []

    def make(config, start=True, **options):
        place = tmp_path / f"d{len(made)}"
        place.mkdir()
        lib.let_through(tmp_path)
        one = lib.Daemon(place, config, **options)
        made.append(one)
        return one.start() if start else one
    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def sealed(tmp_path_factory):
    """One daemon with a token and a sealed capture, for all tests that only ask; see tests/lib/sealed.py."""
    import sealed as module
    place = tmp_path_factory.mktemp("sealed")
    lib.let_through(place)
    one = module.Sealed(place)
    try:
        yield one.begin()
    finally:
        one.end()
