"""The Containerfile, step by step: no container engine runs where the tests do, but a fresh root can be made.

The fresh root is this machine's own with an empty layer above it: python comes from here instead of from the
image that FROM names. What RUN, COPY, USER, HEALTHCHECK, ENTRYPOINT and CMD say is done as it stands.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.lab.node import ROOT
from tests.lab.ports import free_port

CONTAINERFILE = (ROOT / "Containerfile").read_text("utf-8")
COMPOSE = (ROOT / "config" / "compose.yaml").read_text("utf-8")
URL = "https://wiki.sidecar.internal"

# An overlay in a mount namespace of its own, gone with the shell. $1: an empty folder; then a script.
IN_A_FRESH_ROOT = """
set -euo pipefail
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
cp /etc/resolv.conf "$1/root/etc/resolv.conf"
cp --recursive "$2/." "$1/root/tmp/context"
chroot "$1/root" bash -euo pipefail -c "$3"
"""


def instructions() -> list[tuple[str, str]]:
    """Every instruction with its arguments, lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]  # type: ignore[misc]


def of(name: str) -> list[str]:
    return [rest for each, rest in instructions() if each == name]


def build_steps() -> str:
    lines = [
        "umask 022",
        "export PATH=/opt/python/bin:$PATH",
        # this machine's python may lie in a folder of root's; in the image everybody can read it
        "place=$(readlink -f $(command -v python3))",
        'while [ "$place" != / ]; do place=$(dirname "$place"); chmod o+rx "$place"; done',
        "python3 -m venv /opt/python",
    ]
    for name, rest in instructions():
        if name == "COPY":
            *sources, target = rest.split()
            lines.append(f"mkdir -p {target}")
            for source in sources:
                folder = (ROOT / source).is_dir()
                lines.append(f"cp -r /tmp/context/{source}{'/.' if folder else ''} {target}")
        elif name == "RUN":
            lines.append(rest)
    return "\n".join(lines)


def run_steps(port: int) -> str:
    """As compose.yaml starts it: as the user, on a root that can't be written."""
    (user,), (entry,), (command,) = of("USER"), of("ENTRYPOINT"), of("CMD")
    (health,) = of("HEALTHCHECK")
    check = json.loads(health.partition("CMD ")[2])
    check[2] = check[2].replace("9180", str(port))
    as_user = f"setpriv --reuid={user} --regid={user} --clear-groups --no-new-privs --bounding-set=-all env"
    (environment,) = of("ENV")
    settings = f"{environment} SIDECAR_SERVER_LISTEN=127.0.0.1:{port} SIDECAR_SERVER_TRUSTED_PEERS=127.0.0.1"
    init = f"init --yes --dir /etc/sidecar --public-url {URL} --allow alice.test"
    quoted = " ".join(f"'{word}'" if " " in word else word for word in json.loads(command))
    return f"""
{as_user} {settings} {json.loads(entry)[0]} {init} >/tmp/printed 2>/tmp/said
for folder in /etc/sidecar /var/lib/sidecar /run/sidecar; do mount --bind $folder $folder; done
mount -o remount,ro,bind / 2>/dev/null || mount -o remount,ro /
{as_user} {settings} {json.loads(entry)[0]} {quoted} 2>/run/sidecar/log &
service=$!
for _ in $(seq 100); do
    if python3 -c "{check[2]}" 2>/dev/null; then echo healthy; break; fi
    sleep 0.1
done
if {as_user} touch /written 2>/dev/null; then echo "the root can be written"; fi
stat --format='%U %a' /etc/sidecar /etc/sidecar/cookie-secrets.txt /var/lib/sidecar/sidecar.db
{as_user} {settings} sidecar check-config --config /etc/sidecar/sidecar.toml
kill $service
wait $service && echo "ended well"
"""


def can_make_roots() -> bool:
    return shutil.which("unshare") is not None and (
        subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not can_make_roots(), reason="needs root, and leave to mount: a fresh root can't be made")
def test_the_steps_of_the_containerfile_work_in_a_fresh_root(tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    for source in sorted({word for rest in of("COPY") for word in rest.split()[:-1]}):
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", source]
        files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, files.split("\0")):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, context / name)
    layer = tmp_path / "layer"
    layer.mkdir()
    steps = build_steps() + run_steps(free_port())
    command = ["unshare", "--mount", "bash", "-c", IN_A_FRESH_ROOT, "bash", str(layer), str(context), steps]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    said = ran.stdout.splitlines()
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert "healthy" in said
    assert "the root can be written" not in said
    assert "sidecar 700" in said
    assert said.count("sidecar 600") == 2
    assert "ended well" in said
    assert [line for line in said if line.startswith("ok: /etc/sidecar/sidecar.toml has no faults")]


def test_compose_trusts_the_network_that_it_makes_and_no_other() -> None:
    (subnet,) = re.findall(r'subnet: "([0-9./]+)"', COMPOSE)
    (trusted,) = re.findall(r'SIDECAR_SERVER_TRUSTED_PEERS: "(.*)"', COMPOSE)
    assert trusted.split(",") == [subnet, "127.0.0.1"]


def test_compose_uses_the_containerfile_and_the_example_and_a_caddy_that_is_new_enough() -> None:
    assert "dockerfile: Containerfile" in COMPOSE
    assert "../Caddyfile.example:/etc/caddy/Caddyfile:ro" in COMPOSE
    (image,) = re.findall(r"library/caddy:([0-9.]+)", COMPOSE)
    assert tuple(map(int, image.split("."))) >= (2, 11, 6)
    for name in re.findall(
        r"^      (SIDECAR_SITE|SIDECAR_UPSTREAM|APP_UPSTREAM|CADDY_BIND):", COMPOSE, re.MULTILINE
    ):
        assert f"{{${name}:" in (ROOT / "Caddyfile.example").read_text("utf-8")


def test_only_what_the_containerfile_copies_is_sent_to_the_builder() -> None:
    copied = {word for rest in of("COPY") for word in rest.split()[:-1]}
    sent = {
        line[1:] for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line.startswith("!")
    }
    assert sent == copied
