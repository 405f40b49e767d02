"""Speaks incidentd's side of the wire to incidentd-collect: packs struct wire_message (watchdog/wire.h), hands over a
plan made by incidentd-config, and reads what came back and what lies in the staging folder."""
import fcntl
import json
import os
import pathlib
import socket
import struct
import subprocess

import daemon as lib

RUN, FIND = 7, 4
PHASES = {"instant": 0, "dump": 1, "sample": 2, "after": 3, "trace": 4}
OUTCOMES = ["done", "partial", "failed", "skipped", "timed_out", "interrupted"]
LAYOUT = struct.Struct("=IIQIiIIIiQQIIIIqq201s256s512s7x")
FIELDS = ("type reply id generation status target collector phase pid start_ticks run_id run index outcome ready "
          "started_ms ended_ms capture name text").split()

F_ADD_SEALS, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1033, 2, 4, 8


def check_abi():
    """Fails when watchdog/wire.h has moved on without this file."""
    out = subprocess.run([lib.BIN / "incidentd-collect", "--abi"], capture_output=True, text=True, check=True).stdout
    told = {name: int(value) for name, value in (line.split() for line in out.splitlines())}
    assert told["size"] == LAYOUT.size, told
    assert (told["find"], told["run"]) == (FIND, RUN), told
    assert told["start_ticks"] == 40 and told["started_ms"] == 72 and told["capture"] == 88, told


def pack(**fields):
    values = [fields.get(name, b"" if name in ("capture", "name", "text") else 0) for name in FIELDS]
    return LAYOUT.pack(*values)


def unpack(data):
    m = dict(zip(FIELDS, LAYOUT.unpack(data)))
    for name in ("capture", "name", "text"):
        m[name] = m[name].split(b"\0")[0].decode(errors="replace")
    m["outcome"] = OUTCOMES[m["outcome"]]
    return m


def start_ticks(pid):
    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2:].split()[19])


class Plan:
    """A sealed plan of `config` (text), and the index of each collector and target by name."""

    def __init__(self, folder, config):
        path = folder / "incidentd.yaml"
        path.write_text(config)
        self.fd = os.memfd_create("plan", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        source = os.open(path, os.O_RDONLY)
        done = subprocess.run([lib.BIN / "incidentd-config", str(path)], capture_output=True, text=True,
                              pass_fds=(), preexec_fn=lambda: self._place(source, self.fd), close_fds=False)
        os.close(source)
        assert done.returncode == 0, done.stderr
        fcntl.fcntl(self.fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

    @staticmethod
    def _place(*fds):
        place(3, fds)


def place(first, fds):
    """Puts `fds` at first, first+1, ... in a child."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 100) for fd in fds]
    for number, fd in enumerate(high, first):
        os.dup2(fd, number, inheritable=True)
        os.close(fd)


class Run:
    """One incidentd-collect process."""

    def __init__(self, plan, staging, mode="run", wrapper=(), **fields):
        self.staging = staging
        staging.mkdir(exist_ok=True, parents=True)
        for folder in ("artifacts", "meta"):
            (staging / folder).mkdir(exist_ok=True)
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = os.open(staging, os.O_RDONLY | os.O_DIRECTORY)
        self.socket.send(pack(type=RUN if mode == "run" else FIND, id=7, **fields))
        self.process = subprocess.Popen([*wrapper, lib.BIN / "incidentd-collect", mode], close_fds=False,
                                        preexec_fn=lambda: place(3, (plan.fd, folder, theirs.fileno())))
        theirs.close()
        os.close(folder)

    @property
    def pid(self):
        return self.process.pid

    def answer(self, timeout=40):
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(LAYOUT.size + 1)
            self.process.wait(timeout)
        finally:
            self.kill()
        assert data, "incidentd-collect ended without an answer"
        return unpack(data)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.socket.close()

    def meta(self):
        """Lines of all meta files, in order."""
        lines = []
        for path in sorted((self.staging / "meta").iterdir()):
            lines += [json.loads(line) for line in path.read_text().splitlines()]
        return lines

    def artifacts(self):
        return {pathlib.PurePath(e["path"]).relative_to("artifacts").as_posix(): e
                for e in self.meta() if e["event"] == "artifact"}

    def read(self, name):
        return (self.staging / "artifacts" / name).read_bytes()
