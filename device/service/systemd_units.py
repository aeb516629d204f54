"""The systemd units that keep the loop running: for one camera, for several, and for a user without root.

They are written for systemd 252 (Bookworm) and later: what only a newer one knows stands in none. Each directive was tried
by a test, or stands among those of tests/device/test_service.py that none can try.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fer_edge import __version__
from fer_edge.active_bundle import SYSTEM_BUNDLES
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError

NAME = "fer-edge"
SYSTEM_UNITS = Path("/etc/systemd/system")
SYSTEM_USERS = Path("/etc/sysusers.d/fer-edge.conf")
HOME = Path("/opt/fer-edge")  # what a service of the system reads: programs, bundles, detectors; all of it root's
_ENVIRONMENT = {"FER_EDGE_DETECTORS": f"{HOME}/detectors", "FER_EDGE_BUNDLES": str(SYSTEM_BUNDLES)}
_HIDDEN_BY_PROTECT_HOME = ("/home/", "/root/", "/run/user/")  # what ProtectHome hides
# A camera's address is in the house, or it is nobody's: RFC 1918, RFC 4193 and link-local.
_PRIVATE_RANGES = "localhost 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fc00::/7 fe80::/10"

# Of any manager: none of these needs root.
_SANDBOX = """\
# The program: no new rights, no code made at run time, and only the system calls of an ordinary service.
NoNewPrivileges=yes
MemoryDenyWriteExecute=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM

# Memory: a leak ends this service and not the machine. No picture may reach a card as a core dump or by swapping. Raspberry
# Pi OS counts no memory until /boot/firmware/cmdline.txt says cgroup_enable=memory.
MemoryMax=400M
MemorySwapMax=0
TasksMax=64
LimitCORE=0
"""

_SYSTEM_SERVICE = """\
# Who: a user of its own, which may read cameras.
User=fer-edge
SupplementaryGroups=video
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
RemoveIPC=yes

# Where: it writes to its two folders and nowhere else. Others may ask after its health, its journal is for its group.
StateDirectory=fer-edge
StateDirectoryMode=0750
RuntimeDirectory=fer-edge
RuntimeDirectoryPreserve=yes
ConfigurationDirectory=fer-edge
UMask=0022
ProtectSystem=strict
{home}
PrivateTmp=yes
ProtectProc=invisible
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes

# With what: cameras, and the memory that their frames come in.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
"""

_NO_NETWORK = """\

# No network. libcamera asks the kernel which cameras there are through a netlink socket.
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX AF_NETLINK
"""

_PRIVATE_NETWORKS = f"""\

# The networks of the house, for a camera with an address, metrics, a live page, or a broker; never the internet.
IPAddressDeny=any
IPAddressAllow={_PRIVATE_RANGES}
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """What a unit is made from. Raises UsageError for a program that a unit cannot name.

    `program` is the absolute path of `fer-edge`. `template`: one unit for several cameras, an instance of it for each,
    `fer-edge@door`. `of_user`: for a user's own systemd. `network`: a camera has an address, metrics or the live page
    are served, or a broker is told; without it nobody reaches them, not from the machine itself either.
    """

    program: Path
    template: bool = False
    of_user: bool = False
    network: bool = False

    def __post_init__(self) -> None:
        # A space, a quote, $ and % mean something in a unit, and pip's scripts do not start below a folder with a space.
        if not re.fullmatch(r"/[A-Za-z0-9_./@+:-]+", str(self.program)) or ".." in self.program.parts:
            raise UsageError(
                f"a service cannot be told to start “{self.program}”; give the whole path of `fer-edge`, of letters, digits "
                "and _ . / @ + : -"
            )

    @property
    def file_name(self) -> str:
        """The unit's name, by which systemd finds it."""
        return f"{NAME}{'@' if self.template else ''}.service"

    def text(self) -> str:
        """The unit's file."""
        camera = " %i" if self.template else ""
        parts = [
            f"# {self.file_name}, by fer-edge {__version__}: `fer-edge service show` prints it. It is written anew with each "
            f"release;\n# what you change belongs beside it: systemctl {'--user ' * self.of_user}edit {self.file_name}\n",
            f"[Unit]\nDescription=fer-edge{camera}: logs displayed facial expressions\n"
            "# Ten lives in a row of less than half a minute are hopeless; a camera's driver that hangs each time is not.\n"
            "StartLimitIntervalSec=5min\nStartLimitBurst=10\n\n",
            f"[Service]\n# It says when it has a camera or waits for one, and then that frames reach the journal.\n"
            f"Type=notify\nNotifyAccess=main\nTimeoutStartSec=2min\nTimeoutStopSec=20s\nWatchdogSec=1min\nExecStart={self._command()}\n"
            "ExecReload=/bin/kill -HUP $MAINPID\n# A bundle that was refused is refused again; all else may pass.\n"
            "Restart=on-failure\nRestartSec=15s\nRestartPreventExitStatus=5\n",
        ]
        if not self.of_user:
            given = " ".join(f"{name}={value}" for name, value in _ENVIRONMENT.items())
            parts += [f"Environment={given}\n\n"]
            parts += [_SYSTEM_SERVICE.format(home=self._home()), _PRIVATE_NETWORKS if self.network else _NO_NETWORK]
        target = "default" if self.of_user else "multi-user"
        return "".join([*parts, "\n", _SANDBOX, f"\n[Install]\nWantedBy={target}.target\n"])

    def _command(self) -> str:
        more = ""
        if self.template:
            folder = "%E/fer-edge" if self.of_user else "/etc/fer-edge"
            more = f" --name %i --config {folder}/%i.toml"
        return f"{self.program} run --wait-camera{more}"

    def _home(self) -> str:
        """People's folders are hidden, but for the environment that the program is in, where that is in one."""
        if not str(self.program).startswith(_HIDDEN_BY_PROTECT_HOME):
            return "ProtectHome=yes"
        return f"ProtectHome=tmpfs\nBindReadOnlyPaths={self.program.parents[1]}"


def sysusers_text() -> str:
    """What systemd-sysusers makes the service's user from."""
    return f'# by fer-edge {__version__}\nu fer-edge - "fer-edge" /var/lib/fer-edge /usr/sbin/nologin\n'


def installed_program() -> Path:
    """The `fer-edge` of the environment that this process runs in. Raises UsageError where there is none."""
    program = Path(sysconfig.get_path("scripts")) / NAME
    if not program.is_file():
        raise UsageError(f"there is no {program}; `pip install .` from a checkout makes it, or name one with --program")
    return program


def unit_files(unit: Unit, root: Path = Path("/")) -> dict[Path, str]:
    """What has to be written for `unit`, and where: below `root`, or in its user's own folder for settings."""
    if unit.of_user:
        given = Path(os.environ.get("XDG_CONFIG_HOME", ""))
        home = given if given.is_absolute() else Path.home() / ".config"
        return {home / "systemd/user" / unit.file_name: unit.text()}
    unit_file = root / SYSTEM_UNITS.relative_to("/") / unit.file_name
    return {root / SYSTEM_USERS.relative_to("/"): sysusers_text(), unit_file: unit.text()}


def install_unit(unit: Unit, root: Path = Path("/")) -> list[Path]:
    """The files that were written for `unit`, each put in place whole. Raises UsageError when one cannot be."""
    for path, text in (wanted := unit_files(unit, root)).items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}); try with sudo, or --user") from error
    return list(wanted)


def service_environment(environ: Mapping[str, str], root: Path = Path("/")) -> dict[str, str]:
    """`environ` with what the installed service of the system has in its own, so that who looks after it sees what it sees."""
    unit = root / SYSTEM_UNITS.relative_to("/")
    if not any((unit / f"{NAME}{at}.service").is_file() for at in ("", "@")):
        return dict(environ)
    return {
        "STATE_DIRECTORY": "/var/lib/fer-edge",
        "RUNTIME_DIRECTORY": "/run/fer-edge",
        "CONFIGURATION_DIRECTORY": "/etc/fer-edge",
        **_ENVIRONMENT,
        **environ,
    }


def next_commands(unit: Unit) -> tuple[str, ...]:
    """What is to be typed once the unit's files are there, in that order."""
    instance = unit.file_name.replace("@", "@NAME") if unit.template else unit.file_name
    if unit.of_user:
        return (
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {instance}",
            "sudo loginctl enable-linger $USER",  # else it starts with a login and ends with the last one
        )
    return (
        "sudo systemd-sysusers",
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable --now {instance}",
    )
