"""What is attacked: the real planecastd with a fake display, and an honest viewer of it."""

import grp
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
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
START_MAX_S = 60
# A size and a rate that any machine encodes beside whatever else it does.
DISPLAY_RATE_HZ = 30
DISPLAY = ("--fake", "ideal:desktop", "--size", "640x360", "--rate", str(DISPLAY_RATE_HZ))
# A call of an operator that takes longer has failed.
CALL_MAX_S = 5
# Its metrics have a thread of their own.
SCRAPE_MAX_S = 5
# Until the viewer's last line has come.
LINES_MAX_S = 10
# So many of its pictures, and the viewer is in.
PICTURES_FIRST = 10
# What systemd gives to services: attackers are to find the limit that users have.
FILES_SOFT = 1024

CONFIG = """\
# proto-file: planecast/config/v1/server_config.proto
# proto-message: planecast.config.v1.ServerConfig
socket_path: "{folder}/planecast.sock"
{user}
allow_fake_devices: true
encoder {{ id: "auto" }}
metrics_address: "127.0.0.1:0"
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
        self.ports, self._metrics = {}, ""
        try:
            self._await_start()
        except BaseException:
            self.close()
            raise

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

    def _await_start(self):
        deadline = time.monotonic() + START_MAX_S
        while time.monotonic() < deadline and self.alive:
            found = dict((bool(tls), int(port)) for port, tls in
                         re.findall(r"listening on 127\.0\.0\.1:(\d+)( \(TLS\))?",
                                    self.log_text()))
            metrics = re.search(r"metrics on (http://\S+)", self.log_text())
            if len(found) == 2 and metrics and self.planecast("list").returncode == 0:
                self.ports = {"tls": found[True], "plain": found[False]}
                self._metrics = metrics.group(1)
                return
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

    def connections(self):
        """How many are open, and how many were not taken or cut off since its start, by reason. Nothing
        if it doesn't say."""
        try:
            with urllib.request.urlopen(self._metrics, timeout=SCRAPE_MAX_S) as answer:
                text = answer.read().decode()
        except OSError:
            return None
        opened = re.findall(r"^planecast_connections\{.*\} (\S+)$", text, re.MULTILINE)
        refused = re.findall(r'^planecast_connections_refused_total\{reason="(\w+)"\} (\S+)$', text,
                             re.MULTILINE)
        return (sum(int(float(number)) for number in opened),
                {why: int(float(number)) for why, number in refused if float(number) > 0})

    @property
    def pid(self):
        return self._process.pid

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
        """Without the fake guests' memory: a display keeps ever more of their buffers, up to 32."""
        count = 0
        folder = f"/proc/{self._process.pid}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            return 0
        for name in names:
            try:
                count += not os.readlink(f"{folder}/{name}").startswith("/memfd:planecast-fake")
            except OSError:  # Closed meanwhile.
                pass
        return count

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
                 "secret": daemon.ticket(display), "rate_hz": DISPLAY_RATE_HZ}
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
    def pid(self):
        return self._process.pid

    @property
    def alive(self):
        return self._process.poll() is None and not self.ended

    def pictures(self, begin, end):
        """How many came from `begin` until `end`, which is now or was."""
        # What it says comes a moment after.
        patience = end + LINES_MAX_S
        while self.alive and self._last() < end and time.monotonic() < patience:
            time.sleep(0.02)
        return sum(begin <= moment < end for moment in list(self._times))

    def _last(self):
        return self._times[-1] if self._times else 0.0

    def await_pictures(self, count, seconds_max):
        """True once so many came from now on."""
        begin = time.monotonic()
        while self.alive and time.monotonic() < begin + seconds_max:
            if sum(moment >= begin for moment in list(self._times)) >= count:
                return True
            time.sleep(0.02)
        return False

    def close(self):
        self._process.kill()
        self._process.wait()
        self._reader.join()


class House:
    """Daemon, display, viewer, all of them new: nothing is left of who attacked before, no bar of an
    address, no siege, no memory. Closed at the end of a `with`."""

    DISPLAY = "vm1"

    def __init__(self, binaries):
        self.daemon = Daemon(binaries)
        self.viewer = None
        try:
            self.daemon.must("attach", self.DISPLAY, *DISPLAY)
            self.viewer = Viewer(self.daemon, self.DISPLAY)
            if not self.viewer.await_pictures(PICTURES_FIRST, START_MAX_S):
                raise HouseError(f"the viewer has no pictures in peace: {self.viewer.ended}\n"
                                 f"{self.daemon.log_text()}")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def attach(self, displays):
        """Attaches what an attacker asks for, by name; returns the names."""
        for name, arguments in displays.items():
            self.daemon.must("attach", name, *arguments)
        return list(displays)

    def close(self):
        if self.viewer is not None:
            self.viewer.close()
        self.daemon.close()
