"""Goal: whoever has taken over the brain gets from incidentd what the configuration allows and nothing else: no other
process, no descriptor, no path, no crash, and never its time."""
import contextlib
import errno
import os
import pathlib
import pwd
import shutil
import signal
import socket
import struct
import subprocess
import time

import daemon as lib
import pytest
import wire
from daemon import Daemon, target_config, wait_for

PLAN, STOP, RELOAD_FAILED, FIND, BEGIN, ADD, RUN, CANCEL, EXPLAIN, PACK, EXTRACT, DISCARD, STAGED, RELOAD, ALIVE = range(1, 16)
PROMPT_S = 0.5 if not lib.SANITIZED else 2  # on a busy machine; alone it is a few milliseconds
SEALS = wire.F_SEAL_SHRINK | wire.F_SEAL_GROW | wire.F_SEAL_WRITE

BRAIN = """#!{python}
import os, socket
s = socket.socket(socket.AF_UNIX)
s.connect({path!r})
socket.send_fds(s, [b"%d" % os.getpid()], [3, 4])
for order in iter(lambda: s.recv(1), b""):
    if order == b"c":
        os.close(3)
    if order == b"f" and os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        s.close()
        while True:
            os.read(os.pipe()[0], 1)
"""


class TakenOver(Daemon):
    """incidentd with a brain that hands its descriptors to the test."""

    def start(self, ready=True):
        self.place.chmod(0o755)
        programs = self.place / "bin"
        programs.mkdir()
        for program in lib.BIN.glob("incidentd*"):
            shutil.copy(program, programs)
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.place / "ear"))
        (self.place / "ear").chmod(0o777)
        self.server.listen()
        self.server.settimeout(20)
        brain = programs / "incidentd-brain"
        brain.unlink()
        brain.write_text(BRAIN.format(python="/usr/bin/python3", path=str(self.place / "ear")))
        brain.chmod(0o755)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen([programs / "incidentd", "-c", self.config], stderr=log, stdout=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        self.wire = None
        self.take()
        return self

    def take(self):
        """The next brain's wire, once it runs."""
        self.let_go()
        self.hand, _ = self.server.accept()
        number, fds, _, _ = socket.recv_fds(self.hand, 20, 2)
        self.brain = int(number)
        self.wire = socket.socket(fileno=fds[0])
        self.root = fds[1]
        self.wire.settimeout(20)
        self.id = 0
        self.generation = self.receive()["generation"]
        self.tell(ALIVE, ready=1, text=b"taken over")

    def let_go(self):
        if self.wire is not None:
            self.wire.close()
            os.close(self.root)
            self.hand.close()
            self.wire = None

    def receive(self):
        data, fds, _, _ = socket.recv_fds(self.wire, wire.LAYOUT.size, 32)
        for fd in fds:
            os.close(fd)
        return wire.unpack(data) if data else None

    def tell(self, kind, fds=(), **fields):
        self.id += 1
        message = wire.pack(**{"type": kind, "id": self.id, "generation": self.generation, **fields})
        socket.send_fds(self.wire, [message], list(fds))
        return self.id

    def answer(self, number):
        while True:
            m = self.receive()
            assert m is not None, self.text()
            if m["reply"] and m["id"] == number:
                return m

    def ask(self, kind, fds=(), **fields):
        return self.answer(self.tell(kind, fds, **fields))

    def latency(self):
        """Seconds until a request is answered that costs nothing."""
        start = time.monotonic()
        self.ask(STAGED, index=1 << 20)
        return time.monotonic() - start

    def assert_unmoved(self, fds=None):
        assert self.process.poll() is None, self.text()
        assert self.latency() < PROMPT_S
        if fds is not None:
            wait_for(lambda: self.fds() == fds, f"{fds} descriptors, not {self.fds()}", 5)

    def fds(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self, timeout=40):
        self.let_go()
        self.server.close()
        return super().stop(timeout)


@pytest.fixture
def taken(tmp_path, faulty):
    made = []
    lib.let_through(tmp_path)

    def make(collectors="", **options):
        place = tmp_path / f"t{len(made)}"
        place.mkdir()
        service = faulty()
        d = TakenOver(place, target_config(service, collectors=collectors), **options)
        d.service = service
        made.append(d)
        return d.start()
    yield make
    for d in made:
        d.stop()


def memfd(data=b"{}", seals=SEALS):
    fd = os.memfd_create("x", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    wire.fcntl.fcntl(fd, wire.F_ADD_SEALS, seals)
    return fd


@contextlib.contextmanager
def opened(*fds):
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


BAD_NAMES = [b"", b"..", b".", b"/", b"a/b", b"/etc/passwd", b"..\0x", b".hidden", b"-rf", b"a b", b"a\nb",
             b"\x1b[2J", "ä".encode(), b"\xff" * 99]


@pytest.mark.quick
def test_what_is_not_in_the_plan_is_refused(taken):
    d = taken()
    wire.check_abi()
    d.ask(BEGIN, capture=b"good")
    before = d.fds()
    wrong = [dict(kind=BEGIN, capture=b"x", generation=g) for g in (0, 2, 2**32 - 1)]
    wrong += [dict(kind=BEGIN, capture=name) for name in BAD_NAMES]
    wrong += [dict(kind=RUN, capture=b"good", target=t) for t in (1, 63, 64, 2**32 - 1)]
    wrong += [dict(kind=RUN, capture=b"good", collector=c) for c in (63, 64, 2**32 - 1)]
    wrong += [dict(kind=RUN, capture=b"good", phase=p) for p in (5, 31, 32, 33, 2**32 - 1)]
    wrong += [dict(kind=RUN, capture=name) for name in (b"", b"other", b"../good")]
    wrong += [dict(kind=FIND, target=t) for t in (1, 64, 2**32 - 1)]
    wrong += [dict(kind=kind, capture=b"good") for kind in (0, PLAN, STOP, 16, 2**32 - 1, EXPLAIN, PACK, ADD)]
    wrong += [dict(kind=EXTRACT, name=b"../../etc/passwd"), dict(kind=STAGED, index=2**32 - 1)]
    for fields in wrong:
        assert d.ask(**fields)["status"] < 0, fields
    for name in BAD_NAMES:
        with opened(memfd()) as fds:
            assert d.ask(ADD, fds, capture=b"good", name=name)["status"] < 0, name
        if name not in (b"..\0x",):
            assert d.ask(DISCARD, capture=name)["status"] < 0, name
    assert sorted(os.listdir(d.store / "staging")) == ["good"]
    assert os.listdir(d.store / "staging/good") == []
    d.assert_unmoved(before)


@pytest.mark.quick
def test_descriptors_of_every_kind_do_no_harm_and_are_closed(taken, tmp_path):
    d = taken()
    d.ask(BEGIN, capture=b"c")
    d.latency()
    before = d.fds()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    pair = socket.socketpair()
    kinds = [memfd(seals=0), os.open(fifo, os.O_RDWR), os.open("/dev/zero", os.O_RDONLY), os.open("/", os.O_RDONLY),
             os.open("/proc/self/mem", os.O_RDONLY), os.open(d.store / "lock", os.O_RDONLY), pair[0].detach(), pair[1].detach(),
             os.open(d.config, os.O_PATH), os.open("/etc/passwd", os.O_RDONLY)]
    huge = os.memfd_create("huge", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(huge, 1 << 40)
    wire.fcntl.fcntl(huge, wire.F_ADD_SEALS, SEALS)
    with opened(*kinds, huge):
        for fd in (*kinds, huge):
            assert d.ask(ADD, [fd], capture=b"c", name=b"base.json")["status"] == -errno.EINVAL
        for count in (0, 2, 18, 19, 40, 253):
            number = d.tell(ADD, [kinds[0]] * count, capture=b"c", name=b"x")
            if count <= 18:
                assert d.answer(number)["status"] < 0
            else:
                d.take()
        for first in kinds:
            for second in (kinds[1], kinds[3], huge):
                if first not in (kinds[1], kinds[2], kinds[6], kinds[7]):  # those wait, or never end
                    d.ask(EXTRACT, [first, second], name=b"manifest.json")
        for packet in (b"", b"x", b"x" * 5000):  # a packet without a byte may carry descriptors too
            socket.send_fds(d.wire, [packet], kinds[:5])
            d.take()
    assert os.listdir(d.store / "staging/c") == []
    d.assert_unmoved(before)


def lingering():
    """A socket that takes half a minute to close: it asks to wait for a peer that does not read."""
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    server.bind(("127.0.0.1", 0))
    server.listen()
    client = socket.create_connection(server.getsockname())
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    client.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            client.send(b"x" * 65536)
    return server, client


@pytest.mark.parametrize("how", ["request", "garbage", "empty", "too many", "left in the socket"])
def test_a_descriptor_that_is_slow_to_close_stops_nobody(taken, how):
    d = taken()
    servers, clients = zip(*(lingering() for _ in range({"too many": 30, "left in the socket": 1}.get(how, 3))))
    fds = [c.fileno() for c in clients]
    os.kill(d.process.pid, signal.SIGSTOP)  # so that its close is the last
    if how in ("request", "too many"):
        d.tell(ADD, fds, capture=b"c", name=b"x")
    elif how == "left in the socket":
        for _ in range(70):
            d.tell(ADD, fds, capture=b"c", name=b"x")
        os.kill(d.brain, signal.SIGKILL)
    else:
        socket.send_fds(d.wire, [b"x" if how == "garbage" else b""], fds)
    for c in clients:
        c.close()
    os.kill(d.process.pid, signal.SIGCONT)
    start = time.monotonic()
    if how != "request":
        d.take()
    d.assert_unmoved()
    assert time.monotonic() - start < 10
    for s in servers:
        s.close()


def test_collectors_look_at_what_the_configuration_names_and_nothing_else(taken):
    d = taken()
    d.ask(BEGIN, capture=b"c")
    found = d.ask(FIND)
    assert (found["status"], found["pid"]) == (0, d.service.pid)
    mine = os.getpid()
    for pid, ticks in ((1, wire.start_ticks(1)), (mine, wire.start_ticks(mine)), (d.process.pid, wire.start_ticks(d.process.pid)),
                       (d.service.pid, found["start_ticks"] + 1), (-1, 0), (-d.service.pid, found["start_ticks"]), (2**31 - 1, 1)):
        answer = d.ask(RUN, capture=b"c", pid=pid, start_ticks=ticks, run=1)
        assert answer["status"] == -errno.EPERM, (pid, answer)
    indices = [i for i in range(8) if d.ask(RUN, capture=b"c", collector=i, pid=1, start_ticks=1)["status"] == -errno.EPERM]
    assert indices, "some collector has the first phase"
    answer = d.ask(RUN, capture=b"c", collector=indices[0], pid=found["pid"], start_ticks=found["start_ticks"], run=2)
    assert answer["status"] == 0 and answer["outcome"] in ("done", "partial", "skipped"), answer
    d.assert_unmoved()


def test_floods_are_bounded_and_incidentd_stays_prompt(taken):
    d = taken()
    d.ask(BEGIN, capture=b"c")
    found = d.ask(FIND)
    before = d.fds()
    worst = 0
    statuses = [d.ask(BEGIN, capture=b"flood-%d" % i)["status"] for i in range(200)]
    assert statuses.count(0) == 15 and set(statuses[15:]) == {-errno.EAGAIN}
    for i in range(15):
        assert d.ask(DISCARD, capture=b"flood-%d" % i)["status"] == 0
    for kind, fields in ((RUN, dict(capture=b"c", pid=found["pid"], start_ticks=found["start_ticks"])), (FIND, {}), (RELOAD, {}),
                         (CANCEL, dict(run_id=2**64 - 1)), (CANCEL, dict(run_id=1)), (STAGED, dict(index=7))):
        for i in range(150):
            d.tell(kind, run=i, **fields)
        assert len(lib.children_of(d.process.pid)) < 20, d.programs()
        worst = max(worst, d.latency())
    assert worst < 3 * PROMPT_S, worst
    wait_for(lambda: len(d.programs()) <= 1, "the end of what was started")
    wait_for(lambda: d.latency() and d.fds() <= before + 3, "the end of all but the plans", 10)
    d.assert_unmoved()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs the two accounts")
def test_a_collector_that_writes_first_cannot_pass_for_the_brain(taken):
    d = taken()
    d.ask(BEGIN, capture=b"c")
    folder = d.store / "staging/c"
    work = pwd.getpwnam("incidentd-work")
    (folder / "base.json").write_text('{"id":"forged"}')
    os.chown(folder / "base.json", work.pw_uid, work.pw_gid)
    with opened(memfd(b'{"id":"c"}')) as fds:
        assert d.ask(ADD, fds, capture=b"c", name=b"base.json")["status"] == 0
    out, (reading, status) = memfd(b"", 0), os.pipe()
    with opened(out, reading):
        assert d.ask(PACK, [out, status], capture=b"c")["status"] == 0
        os.close(status)
        told = b"".join(iter(lambda: os.read(reading, 65536), b""))
    assert b'"id":"c"' in told and b"forged" not in told, told


def test_reloads_at_once_are_one_after_the_other(taken):
    d = taken()
    most = 0
    for _ in range(100):
        d.tell(RELOAD)
        d.process.send_signal(signal.SIGHUP)
        most = max(most, sum(name == "incidentd-config" for name in d.programs().values()))
    assert most <= 1
    wait_for(lambda: d.ask(RELOAD)["status"] == 0, "a reload when the others have ended")
    d.tell(RELOAD_FAILED, generation=2**32 - 1)
    d.assert_unmoved()


@pytest.mark.quick
def test_what_a_brain_leaves_behind_ends_with_it(taken):
    d = taken()
    d.hand.send(b"f")

    def orphan():
        """The process whose parent has ended, and which is incidentd's child by now."""
        for pid in lib.children_of(d.process.pid):
            with contextlib.suppress(OSError):
                parent = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1]
                if pid != d.brain and int(parent) == d.process.pid:
                    return pid
        return None
    hidden = wait_for(orphan, "the process that hides")
    os.kill(d.brain, signal.SIGKILL)
    d.take()
    assert not os.path.exists(f"/proc/{hidden}")
    d.assert_unmoved()


def test_a_brain_that_closes_its_wire_costs_no_time_and_is_replaced(taken):
    d = taken()
    d.hand.send(b"c")
    d.wire.close()
    old = d.brain

    def cpu():
        fields = pathlib.Path(f"/proc/{d.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    start = cpu()
    hand = d.hand
    d.wire = None
    os.close(d.root)
    d.take()
    hand.close()
    assert d.brain != old and cpu() - start < 1
    d.assert_unmoved()


def test_a_brain_that_never_reads_is_replaced(taken):
    d = taken()
    old = d.brain
    d.wire.setblocking(False)
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{old}") and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            d.tell(STAGED, index=0)
    d.take()
    assert d.brain != old
    d.assert_unmoved()


def test_a_brain_that_dies_again_and_again_takes_nothing_with_it(taken):
    d = taken()
    before = d.fds()
    for i in range(8):
        d.ask(BEGIN, capture=b"c%d" % i)
        d.tell(FIND)
        os.kill(d.brain, signal.SIGKILL)
        d.take()
        assert d.fds() <= before + i + 1  # the folder of each capture stays open
    for i in range(8):
        assert d.ask(DISCARD, capture=b"c%d" % i)["status"] == 0
    d.assert_unmoved(before)
