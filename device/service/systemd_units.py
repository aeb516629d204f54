"""The systemd units that keep the loop running: for one camera, for several, and for a user without root.

They use only directives that systemd 252 (Bookworm) knows. Each directive is exercised by a test, or is listed in
tests/device/test_service.py among those that no test can exercise.
"""

from __future__ import annotations

import os
import re
import shlex
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fer_edge import __version__
from fer_edge.active_bundle import SYSTEM_BUNDLES
from fer_edge.atomic_file import write_atomically
from fer_edge.errors import UsageError
from fer_edge.user_folders import home_folder

NAME = "fer-edge"
SYSTEM_UNITS = Path("/etc/systemd/system")
SYSTEM_USERS = Path("/etc/sysusers.d/fer-edge.conf")
HOME = Path("/opt/fer-edge")  # what the system service reads: programs, bundles, detectors; owned by root
_ENVIRONMENT = {"FER_EDGE_DETECTORS": f"{HOME}/detectors", "FER_EDGE_BUNDLES": str(SYSTEM_BUNDLES)}
_HIDDEN_BY_PROTECT_HOME = ("/home/", "/root/", "/run/user/")  # paths that ProtectHome hides
# Private addresses: RFC 1918, RFC 4193 and link-local.
_PRIVATE_RANGES = "localhost 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 169.254.0.0/16 fc00::/7 fe80::/10"

# For system and user services: none of these directives needs root.
_SANDBOX = """\
# Process: no new privileges, no code generated at run time, only the system calls of an ordinary service.
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

# Memory: a leak ends this service, not the machine. No picture may reach the card in a core dump or by swapping. On Raspberry
# Pi OS the limits apply only if /boot/firmware/cmdline.txt contains cgroup_enable=memory.
MemoryMax=400M
MemorySwapMax=0
TasksMax=64
LimitCORE=0
"""

_SYSTEM_SERVICE = """\
# User: a user of its own that may read cameras.
User=fer-edge
SupplementaryGroups=video
CapabilityBoundingSet=
AmbientCapabilities=
KeyringMode=private
RemoveIPC=yes

# Files: it writes to its two folders only. Other users may read its status file. Only its user and root may read the journal;
# its group may list the names of the folder's files.
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

# Devices: cameras, and the memory that holds their frames.
DevicePolicy=closed
DeviceAllow=char-video4linux rw
DeviceAllow=char-media rw
DeviceAllow=char-dma_heap rw
"""

_CAMERA_DRIVERS = """\
# DeviceAllow can name cameras only if videodev is loaded at the start; otherwise one that is plugged in later is refused.
Wants=modprobe@videodev.service
After=modprobe@videodev.service
"""

_NO_NETWORK = """\

# No network. libcamera lists the cameras through a netlink socket.
PrivateNetwork=yes
IPAddressDeny=any
RestrictAddressFamilies=AF_UNIX AF_NETLINK
"""

_PRIVATE_NETWORKS = f"""\

# Private networks only, for a network camera, metrics, the live page or an MQTT broker; no internet.
IPAddressDeny=any
IPAddressAllow={_PRIVATE_RANGES}
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_INET AF_INET6
"""


@dataclass(frozen=True, slots=True)
class Unit:
    """The parameters of a unit. Raises UsageError for a program path that a unit cannot contain.

    `program` is the absolute path of `fer-edge`. `template`: one unit for several cameras, with an instance for each, such
    as `fer-edge@door`. `of_user`: for a user's own systemd. `network`: for a network camera, metrics, the live page or an
    MQTT broker; without it none of them can be reached, not even from the same machine.
    """

    program: Path
    template: bool = False
    of_user: bool = False
    network: bool = False

    def __post_init__(self) -> None:
        # Space, quote, $ and % have a meaning in a unit, and pip's scripts do not start from a folder with a space in its name.
        if not re.fullmatch(r"/[A-Za-z0-9_./@+:-]+", str(self.program)) or ".." in self.program.parts:
            raise UsageError(
                f"a service cannot start “{self.program}”; give the absolute path of `fer-edge`, with letters, digits and "
                "_ . / @ + : - only"
            )

    @property
    def file_name(self) -> str:
        """The name of the unit's file."""
        return f"{NAME}{'@' if self.template else ''}.service"

    def text(self) -> str:
        """The content of the unit's file."""
        camera = " %i" if self.template else ""
        parts = [
            f"# {self.file_name}, by fer-edge {__version__}: `fer-edge service show` prints it. Each release overwrites it;\n"
            f"# put your changes in a drop-in: systemctl {'--user ' * self.of_user}edit {self.file_name}\n",
            f"[Unit]\nDescription=fer-edge{camera}: logs displayed facial expressions\n",
            "" if self.of_user else _CAMERA_DRIVERS,
            "# Ten starts in five minutes: systemd gives up. A camera driver that hangs takes longer and is retried.\n"
            "StartLimitIntervalSec=5min\nStartLimitBurst=10\n\n",
            f"[Service]\n# Ready once it has a camera or waits for one; the watchdog checks that frames reach the journal.\n"
            f"Type=notify\nNotifyAccess=main\nTimeoutStartSec=2min\nTimeoutStopSec=20s\nWatchdogSec=1min\nExecStart={self._command()}\n"
            "ExecReload=/bin/kill -HUP $MAINPID\n# A rejected bundle is rejected again; other failures may be temporary.\n"
            "Restart=on-failure\nRestartSec=15s\nRestartPreventExitStatus=5\n",
        ]
        if not self.of_user:
            environment = " ".join(f"{name}={value}" for name, value in _ENVIRONMENT.items())
            parts += [f"Environment={environment}\n\n"]
            parts += [_SYSTEM_SERVICE.format(home=self._home()), _PRIVATE_NETWORKS if self.network else _NO_NETWORK]
        target = "default" if self.of_user else "multi-user"
        return "".join([*parts, "\n", _SANDBOX, f"\n[Install]\nWantedBy={target}.target\n"])

    def _command(self) -> str:
        arguments = ""
        if self.template:
            folder = "%E/fer-edge" if self.of_user else "/etc/fer-edge"
            arguments = f" --name %i --config {folder}/%i.toml"
        return f"{self.program} run --wait-camera{arguments}"

    def _home(self) -> str:
        """Home folders are hidden, except the environment of the program if it is in one."""
        if not str(self.program).startswith(_HIDDEN_BY_PROTECT_HOME):
            return "ProtectHome=yes"
        return f"ProtectHome=tmpfs\nBindReadOnlyPaths={self.program.parents[1]}"


def sysusers_text() -> str:
    """The systemd-sysusers file that defines the service's user."""
    return f'# by fer-edge {__version__}\nu fer-edge - "fer-edge" /var/lib/fer-edge /usr/sbin/nologin\n'


def installed_program() -> Path:
    """The path of `fer-edge` in this process's environment. Raises UsageError when it does not exist."""
    program = Path(sysconfig.get_path("scripts")) / NAME
    if not program.is_file():
        raise UsageError(f"there is no {program}; run `pip install .` in a checkout, or name one with --program")
    return program


def unit_files(unit: Unit, root: Path = Path("/")) -> dict[Path, str]:
    """The files of `unit` by path, below `root` or, for a user's unit, in the user's configuration folder."""
    if unit.of_user:
        configured = Path(os.environ.get("XDG_CONFIG_HOME", ""))
        folder = configured if configured.is_absolute() else home_folder() / ".config"
        return {folder / "systemd/user" / unit.file_name: unit.text()}
    unit_file = root / SYSTEM_UNITS.relative_to("/") / unit.file_name
    return {root / SYSTEM_USERS.relative_to("/"): sysusers_text(), unit_file: unit.text()}


def install_unit(unit: Unit, root: Path = Path("/")) -> list[Path]:
    """Writes the files of `unit`, each by a rename, and returns their paths. Raises UsageError when one cannot be written."""
    for path, text in (files := unit_files(unit, root)).items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, text)
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}); try with sudo, or --user") from error
    return list(files)


def is_installed(root: Path = Path("/")) -> bool:
    """Whether a unit of the system is there, for one camera or for several."""
    units = root / SYSTEM_UNITS.relative_to("/")
    return any((units / f"{NAME}{at}.service").is_file() for at in ("", "@"))


def service_environment(environ: Mapping[str, str], root: Path = Path("/")) -> dict[str, str]:
    """`environ` with the variables of the installed system service, so that `doctor` finds the same folders."""
    if not is_installed(root):
        return dict(environ)
    return {
        "STATE_DIRECTORY": "/var/lib/fer-edge",
        "RUNTIME_DIRECTORY": "/run/fer-edge",
        "CONFIGURATION_DIRECTORY": "/etc/fer-edge",
        **_ENVIRONMENT,
        **environ,
    }


def next_commands(unit: Unit, root: Path = Path("/")) -> tuple[str, ...]:
    """The commands to type after the unit's files were written below `root`, in order."""
    instance = unit.file_name.replace("@", "@NAME") if unit.template else unit.file_name
    if unit.of_user:
        return (
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {instance}",
            "sudo loginctl enable-linger $USER",  # otherwise it starts at login and stops at logout
        )
    if root.resolve() != Path("/"):  # a system that does not run now
        there = f"--root={shlex.quote(str(root))}"
        return f"sudo systemd-sysusers {there}", f"sudo systemctl {there} enable {instance}"
    return (
        "sudo systemd-sysusers",
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable --now {instance}",
    )
