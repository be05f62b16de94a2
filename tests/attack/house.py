"""What is attacked: the real planecastd with a fake display, and an honest viewer of it."""

import grp
import itertools
import json
import os
import pathlib
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
START_MAX_S = 60
# A size and a rate that any machine encodes beside whatever else it does.
DISPLAY_RATE_HZ = 30
DISPLAY = ("--fake", "ideal:desktop", "--size", "640x360", "--rate", str(DISPLAY_RATE_HZ))
# A call of an operator that takes longer has failed.
CALL_MAX_S = 5
# What systemd gives to services: attackers are to find the limit that users have.
FILES_SOFT = 1024

CONFIG = """\
# proto-file: planecast/config/v1/server_config.proto
# proto-message: planecast.config.v1.ServerConfig
socket_path: "{folder}/planecast.sock"
{user}
allow_fake_devices: true
encoder {{ id: "auto" }}
audit {{ file_path: "{folder}/audit.log" }}
listeners {{
  address: "127.0.0.1:0"
  tls {{ certificate_path: "{folder}/tls/server.pem" private_key_path: "{folder}/tls/server.key" }}
}}
listeners {{ address: "127.0.0.1:0" }}
"""


class HouseError(Exception):
    """The house can't be set up: no attacker's doing."""


def free_uid():
    """A number that no user and no group of this machine has."""
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    return next(uid for uid in range(61184, 65000) if uid not in taken)


class Daemon:
    """planecastd in a folder of its own, which goes with it."""

    def __init__(self, binaries):
        self._binaries = pathlib.Path(binaries)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="planecast-attack-"))
        # The viewers' socket is for every local user.
        self.folder.chmod(0o755)
        self._log = self.folder / "log"
        self._write_config()
        self._process = self._start()
        self.ports = self._await_ports()

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_config(self):
        self._run("planecastd", "--make-certificate", str(self.folder / "tls"), "--host",
                  "127.0.0.1")
        user = ""
        if os.getuid() == 0:
            uid = free_uid()
            user = f'user: "{uid}"'
            for path in (self.folder, *self.folder.glob("tls/**/*"), self.folder / "tls"):
                os.chown(path, uid, uid)
        (self.folder / "config").write_text(CONFIG.format(folder=self.folder, user=user))

    def _start(self):
        hard = subprocess.check_output(["prlimit", "--nofile", "--output", "HARD", "--noheadings",
                                        "--pid", str(os.getpid())], text=True).strip()
        with open(self._log, "wb") as log:
            return subprocess.Popen(
                ["prlimit", f"--nofile={FILES_SOFT}:{hard}", self._binaries / "planecastd",
                 "--config", self.folder / "config"], stdout=log, stderr=log)

    def _await_ports(self):
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline and self.alive:
            found = dict((bool(tls), int(port)) for port, tls in
                         re.findall(r"listening on 127\.0\.0\.1:(\d+)( \(TLS\))?",
                                    self.log_text()))
            if len(found) == 2 and self.planecast("list").returncode == 0:
                return {"tls": found[True], "plain": found[False]}
            time.sleep(0.1)
        raise HouseError(f"planecastd did not start:\n{self.log_text()}")

    def _run(self, program, *arguments, **options):
        done = subprocess.run([self._binaries / program, *arguments], capture_output=True,
                              text=True, **options)
        if program == "planecastd" and done.returncode != 0:
            raise HouseError(f"{program} {' '.join(arguments)}: {done.stderr}")
        return done

    def planecast(self, *arguments):
        """Runs the client as an operator."""
        return self._run("planecast", *arguments, "--server",
                         f"unix:{self.folder}/planecast.sock", "--timeout", str(CALL_MAX_S))

    def must(self, *arguments):
        done = self.planecast(*arguments)
        if done.returncode != 0:
            raise HouseError(f"planecast {' '.join(arguments)}: {done.stderr}{self.log_text()}")
        return done.stdout

    def ticket(self, display, *more):
        made = json.loads(self.must("ticket", display, *more, "--ttl", "1h", "--uses", "1000",
                                    "-o", "json"))
        return made["secret"]

    def seconds_to_list(self):
        """How long an operator waits for the list of displays, and what was wrong with it."""
        began = time.monotonic()
        done = self.planecast("list")
        return time.monotonic() - began, done.stderr.strip() if done.returncode else ""

    @property
    def alive(self):
        return self._process.poll() is None

    @property
    def exit_code(self):
        return self._process.poll()

    @property
    def resident_mb(self):
        try:
            status = pathlib.Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return 0.0
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        return int(found.group(1)) / 1024 if found else 0.0

    @property
    def open_files(self):
        try:
            return len(os.listdir(f"/proc/{self._process.pid}/fd"))
        except OSError:
            return 0

    def log_text(self, bytes_max=4000):
        return self._log.read_bytes()[-bytes_max:].decode(errors="replace")


class Viewer:
    """The honest viewer's process, and when it had which picture."""

    def __init__(self, daemon, display):
        self.ended = ""
        self._times = []
        self._process = subprocess.Popen([sys.executable, HERE / "viewer.py"],
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        facts = {"way": "tls", "path": "", "ports": daemon.ports, "seconds": 0, "display": display,
                 "displays": {}, "secret": daemon.ticket(display), "rate_hz": DISPLAY_RATE_HZ}
        self._process.stdin.write(json.dumps(facts) + "\n")
        self._process.stdin.flush()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            if line.startswith("ended: "):
                self.ended = line.removeprefix("ended: ").strip()
            else:
                self._times.append(float(line))

    @property
    def alive(self):
        return self._process.poll() is None and not self.ended

    def pictures(self, begin, end):
        return sum(begin <= moment < end for moment in list(self._times))

    def await_pictures(self, count, seconds_max):
        """True once so many came from now on."""
        begin = time.monotonic()
        while self.alive and time.monotonic() < begin + seconds_max:
            if self.pictures(begin, float("inf")) >= count:
                return True
            time.sleep(0.05)
        return False

    def close(self):
        self._process.kill()
        self._process.wait()
        self._reader.join()


class House:
    """Daemon, display, viewer. Mended between attacks where one broke something."""

    DISPLAY = "vm1"

    def __init__(self, binaries):
        self._binaries = binaries
        self._numbers = itertools.count(1)
        self.daemon = None
        self.viewer = None

    def make_ready(self):
        """Everything runs and the viewer has pictures."""
        for _ in range(2):
            if self.daemon is not None and not self.daemon.alive:
                self.close()
            if self.daemon is None:
                self.daemon = Daemon(self._binaries)
                self.daemon.must("attach", self.DISPLAY, *DISPLAY)
            if self.viewer is not None and not self.viewer.alive:
                self.viewer.close()
                self.viewer = None
            if self.viewer is None:
                self.viewer = Viewer(self.daemon, self.DISPLAY)
            if self.viewer.await_pictures(30, START_MAX_S):
                return
            # What is left of an attack is not what the next is judged by.
            log = self.daemon.log_text()
            self.close()
        raise HouseError(f"the viewer has no pictures in peace:\n{log}")

    def attach(self, displays):
        """Attaches what an attacker asks for; returns his names for them with ours."""
        names = {}
        for key, arguments in displays.items():
            names[key] = f"{key}-{next(self._numbers)}"
            self.daemon.must("attach", names[key], *arguments)
        return names

    def detach(self, names):
        for name in names:
            self.daemon.planecast("detach", name)

    def close(self):
        if self.viewer is not None:
            self.viewer.close()
        if self.daemon is not None:
            self.daemon.close()
        self.viewer = self.daemon = None
