"""An image that was built: what is in it and what is not, and whether it sells. Called by deploy/image-test, as root.

It runs without a container engine, in the way that one would start it: mount and process namespaces of its own, the image as
a root that cannot be written, its own user, no new rights.

    image.py BINARY ROOT CONFIG         ROOT is where the image is mounted, CONFIG what `buildah inspect` says
"""

import gzip
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import tempfile

from processes import OPERATOR_KEY, Process, fetch, free_port

# Of all files, as they lie on disk; what is pulled is packed and about half of it.
BYTES_MAX = 90_000_000
CONTAINER = """
set -eu
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o size=64m tmpfs "$root/tmp"
mount --bind "$data" "$root/data"
mount -t proc proc "$root/proc"
exec setpriv --no-new-privs chroot --userspec=10001:10001 --groups= "$root" "$@"
"""


def contained(root, data, *command):
    return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "env", f"root={root}", f"data={data}",
            "sh", "-c", CONTAINER, "sh", *map(str, command)]


def check_config(config):
    assert config["User"] == "10001:10001", config["User"]
    assert config["Entrypoint"] == ["onsale"] and config["Cmd"] == ["serve"], config
    assert "/data" in config["Volumes"] and "8080/tcp" in config["ExposedPorts"], config
    assert config["Healthcheck"]["Test"] == ["CMD", "onsale", "admin", "status"], config["Healthcheck"]
    labels = {name.rsplit(".", 1)[1]: value for name, value in config["Labels"].items() if "opencontainers" in name}
    assert {"title", "description", "licenses", "version", "revision"} <= set(labels), labels
    return {name: value for name, _, value in (line.partition("=") for line in config["Env"])}


def check_files(root):
    files = [path for path in root.rglob("*") if not path.is_symlink() and path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert size <= BYTES_MAX, f"{size:,} bytes"
    for path in files:
        mode = path.stat().st_mode
        assert not mode & (stat.S_ISUID | stat.S_ISGID), f"{path} has rights of its own"
        assert not mode & 0o022 and path.stat().st_uid == 0, f"others may write to {path}"
    programs = {path.name for path in files if path.stat().st_mode & 0o111 and ".so" not in path.name}
    assert programs == {"onsale"}, f"programs: {sorted(programs)}"
    bill = json.loads((root / "usr/share/doc/onsale/onsale.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX" and len(bill["components"]) > 100, "the bill of materials"
    packages = sorted(path.name for path in (root / "var/lib/dpkg/status.d").iterdir())
    assert "libssl3" in packages, packages
    packed = sum(len(gzip.compress(path.read_bytes(), 6)) for path in files)
    return f"{size / 1e6:.0f} MB ({packed / 1e6:.0f} MB packed), {len(files)} files, {len(bill['components'])} crates named"


def check_sells(binary, root, env):
    for name in ["proc", "dev"]:
        (root / name).mkdir(exist_ok=True)
    program = next(f"{folder}/onsale" for folder in env["PATH"].split(":") if (root / folder[1:] / "onsale").exists())
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        data = folder / "data"
        data.mkdir()
        os.chown(data, 10001, 10001)
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        env = {**env, "ONSALE_LISTEN": f"127.0.0.1:{port}", "ONSALE_OPERATOR_KEY": OPERATOR_KEY, "ONSALE_SERVER": url,
               "ONSALE_LIMIT_SIGN_IN_PER_MINUTE": "0", "ONSALE_LIMIT_KEY_PER_MINUTE": "0", "ONSALE_PASSWORD_MEMORY_KIB": "8",
               "ONSALE_PASSWORD_PASSES": "1"}
        # PATH is that of the programs around it until the last one.
        given = [f"{name}={value}" for name, value in env.items() if name != "PATH"]
        run = lambda *command: ["env", "-i", f"PATH={os.environ['PATH']}:/usr/sbin:/sbin", *given,
                                *contained(root, data, program, *command)]
        health = lambda: subprocess.run(run("admin", "status"), capture_output=True, text=True)
        with Process(folder, "image", *run("serve"), ready=lambda: fetch(f"{url}/readyz")) as server:
            healthy = health()
            assert healthy.returncode == 0, healthy.stdout + healthy.stderr
            crowd = subprocess.run([binary, "crowd", "--url", url, "--operator-key", OPERATOR_KEY, "--buyers", "200",
                                    "--seats", "60", "--seed", "1"], capture_output=True, text=True, timeout=60)
            assert crowd.returncode == 0, crowd.stdout + crowd.stderr
            owners = {(path.stat().st_uid, path.stat().st_gid) for path in data.rglob("*")}
            assert owners == {(10001, 10001)}, owners
            # The one process in the namespace of processes is the server: it is told as an engine would tell it.
            children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGTERM)
            server.process.wait(timeout=15)
            assert server.process.returncode == 0, f"it ended with {server.process.returncode}: {server.said()[-2000:]}"
        ill = health()
        assert ill.returncode == 69, f"of a server that is not there: {ill.returncode}, {ill.stderr}"


def main(binary, root, inspected):
    described = json.loads(pathlib.Path(inspected).read_text())
    env = check_config(described["Docker"]["config"])
    told = check_files(root)
    check_sells(binary, root, env)
    print(f"image: {told}; it sold to 200 as user 10001 on a root that cannot be written, and stopped in order")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3])
