"""`fer-edge bundle`: the bundles on this machine."""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from typing import Any

from fer_edge.argument_types import file_path
from fer_edge.console import message, output
from fer_edge.errors import EXIT_DONE, BundleRefused, FerEdgeError
from fer_edge.json_fields import json_text


def register(commands: Any) -> None:
    """Adds the command."""
    actions = commands.add_parser("bundle", help="list, install and select the models on this machine").add_subparsers(
        metavar="ACTION", required=True
    )
    install = actions.add_parser("install", help="check a bundle on this machine's runtime and install it")
    install.add_argument(
        "folder", type=file_path, metavar="DIR", help="folder of a bundle, or large or edge-votes, of a checkout"
    )
    install.add_argument("--use", action="store_true", help="also use it from the next start on")
    install.set_defaults(command=_install)
    list_parser = actions.add_parser("list", help="list the bundles on this machine; * marks the one in use")
    list_parser.add_argument("--json", action="store_true", dest="as_json", help="print the list as JSON")
    list_parser.set_defaults(command=_list)
    use = actions.add_parser("use", help="check an installed bundle again and use it from the next start on")
    use.add_argument(
        "name",
        metavar="NAME",
        help="a name from `fer-edge bundle list` or its beginning, the bundle's own name, or the folder that was installed",
    )
    use.set_defaults(command=_use)
    rollback = actions.add_parser("rollback", help="use the previous bundle from the next start on")
    rollback.set_defaults(command=_rollback)
    for parser in (install, list_parser, use, rollback):
        parser.add_argument(
            "--bundles",
            type=file_path,
            metavar="DIR",
            help="folder of installed bundles; default: $FER_EDGE_BUNDLES, else /opt/fer-edge/bundles for root, else "
            "~/.local/share/fer-edge/bundles",
        )


def _install(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    store = BundleStore(_bundles_folder(args))
    change = store.install(args.folder)
    message(change.verified.remark or change.verified.sentence)
    if args.use:
        store.use(change.release)
        _report_in_use(change.release)
    else:
        message(f"installed in {change.path}; `fer-edge bundle use {change.release}` selects it")
    output(change.release)
    return EXIT_DONE


def _list(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore
    from fer_edge.active_bundle import selected_path

    entries = BundleStore(folder := _bundles_folder(args)).entries()
    message(f"bundles in {folder}, and those that came with the package")
    try:
        selected_path(folder)
    except BundleRefused as error:
        message(f"none can be used: {error}")
    if args.as_json:
        output(json_text([entry.to_json() for entry in entries]))
        return EXIT_DONE
    for entry in entries:
        state = entry.problem or ("came with the package" if entry.shipped else "installed")
        output(f"{'*' if entry.in_use else ' '} {entry.release}  {state}")
    return EXIT_DONE


def _use(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    change = BundleStore(_bundles_folder(args)).use(args.name)
    message(change.verified.remark or change.verified.sentence)
    _report_in_use(change.release)
    output(change.release)
    return EXIT_DONE


def _rollback(args: argparse.Namespace) -> int:
    from device.system.bundles import BundleStore

    change = BundleStore(_bundles_folder(args)).rollback()
    _report_in_use(change.release)
    output(change.release)
    return EXIT_DONE


def _bundles_folder(args: argparse.Namespace) -> Path:
    from fer_edge.active_bundle import bundles_folder

    folder: Path = args.bundles or bundles_folder()
    return folder


def _report_in_use(release: str) -> None:
    """Reports when a bundle is used from, and whether the settings name another one."""
    from device.config_sources import load_settings

    message(f"{release} is in use from the next start on; a running service: `sudo systemctl restart fer-edge`")
    with suppress(FerEdgeError):  # `run` and `doctor` report what is wrong with the settings
        configured = load_settings({})
        if (bundle := configured.settings.bundle) is not None:
            message(f"but the settings select another bundle ({configured.origins['bundle']}): {bundle}")
