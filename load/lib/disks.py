"""Disks that can be full, fail, take their time, and forget what was not synced."""

import os
import subprocess
from pathlib import Path

from .k6 import LOAD, TARGET
from .play import say
from .server import Failed

FORGETFUL = LOAD.parent / "tests" / "forgetful"


class NotHere(Failed):
    """This machine cannot do it."""


class Tmpfs:
    """A file system in memory of so many bytes."""

    def __init__(self, folder, size):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self._mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs")

    def _mount(self, *arguments):
        done = subprocess.run(["mount", *arguments, str(self.folder)], capture_output=True, text=True)
        if done.returncode != 0:
            raise NotHere(f"no file system can be mounted: {done.stderr.strip()}")

    def grow(self, size):
        self._mount("-o", f"remount,size={size}")

    def close(self):
        subprocess.run(["umount", str(self.folder)], check=True)


class Forgetful:
    """tests/forgetful: a FUSE file system that knows what was synced."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        if not os.path.exists("/dev/fuse"):
            raise NotHere("there is no /dev/fuse")
        self.process = subprocess.Popen(
            [self._built(), str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C is for us; it ends when its input does.
            start_new_session=True,
        )
        if self.process.stdout.readline().strip() != "mounted":
            self.process.wait()
            raise NotHere("no FUSE file system can be mounted")

    @staticmethod
    def _built():
        target = TARGET / "forgetful"
        say("building tests/forgetful")
        command = ["cargo", "build", "--quiet", "--locked", "--target-dir", str(target)]
        own = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
        built = subprocess.run([*command, "--manifest-path", str(FORGETFUL / "Cargo.toml")], env=own)
        if built.returncode != 0:
            raise Failed("tests/forgetful cannot be built")
        return str(target / "debug" / "forgetful")

    def _order(self, order):
        print(order, file=self.process.stdin, flush=True)
        return self.process.stdout.readline().strip()

    def trouble(self, what=""):
        """From now on `reads`, `writes` or `syncs` fail, or each sync takes `slow=MS`; or nothing is wrong any more."""
        if self._order(f"trouble {what}".strip()) != "noted":
            raise Failed("the disk does not do what it is told")

    def cut_power(self, seed):
        """The power is gone, and comes back. Nobody may have a file open. How many changes were not synced."""
        return int(self._order(f"cut {seed}"))

    def close(self):
        self.process.stdin.close()
        self.process.wait()
