"""The commands that a host has for a device: `deploy`, `status`, `fetch` and `undeploy`; `cli` adds them to its own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer_edge.console import message
from fer_edge.errors import EXIT_DONE, FerEdgeError

if TYPE_CHECKING:
    from convert.deploy.ssh_address import SshAddress


def add(commands: Any) -> None:
    """Adds them to the parsers of `fer-edge`."""
    deploy = commands.add_parser(
        "deploy",
        help="bring this fer-edge, a bundle and settings to a Pi, and its service up",
        epilog="Exit codes: 2 refused, 5 the bundle, 7 the new release's doctor, 8 it did not come up and what served "
        "before was brought back, 75 the connection was lost: the same command goes on.",
    )
    deploy.add_argument("--bundle", type=Path, metavar="DIR", help="to install and use; default: the one in use there")
    deploy.add_argument("--config", type=Path, metavar="FILE", help="the settings of the service")
    deploy.add_argument("--network", action="store_true", help="let the service into the house's networks")
    deploy.add_argument(
        "--extra", action="append", default=[], metavar="NAME", help="of the package, to be installed too"
    )
    deploy.add_argument("--offline", action="store_true", help="ship every wheel: the Pi needs no network but this one")
    deploy.add_argument("--keep", type=int, default=3, metavar="N", help="releases stay there; default: 3")
    which = deploy.add_mutually_exclusive_group()
    which.add_argument("--dry-run", action="store_true", help="look, and say what would be done")
    which.add_argument("--rollback", action="store_true", help="go back to what served before the last deploy")
    deploy.set_defaults(command=_deploy)

    status = commands.add_parser("status", help="how a Pi that was deployed to does")
    status.set_defaults(command=_status)
    fetch = commands.add_parser("fetch", help="copy a Pi's journals here; what is here already is not copied again")
    fetch.add_argument("--out", type=Path, metavar="DIR", help="default: HOST-journal")
    fetch.set_defaults(command=_fetch)
    undeploy = commands.add_parser("undeploy", help="take away from a Pi what was deployed there; the journal stays")
    undeploy.add_argument("--journal-too", action="store_true", help="and the journal, and the service's user")
    undeploy.set_defaults(command=_undeploy)
    for parser in (deploy, status, fetch, undeploy):
        parser.add_argument("host", metavar="USER@HOST", help="as ssh takes it; names of ~/.ssh/config too")
        parser.add_argument("--port", type=int, metavar="N", help="of ssh")
        parser.add_argument("--json", action="store_true", dest="as_json")
    for parser in (deploy, status):
        parser.add_argument("--name", default="camera", help="of the instance, where there are several cameras")


def _deploy(args: argparse.Namespace) -> int:
    from convert.deploy.payload import PayloadOptions
    from convert.deploy.plan import DeployPlan, DeployResult
    from convert.deploy.progress import StepLog
    from convert.deploy.releases import Instance
    from convert.deploy.rollout import deploy, rollback

    cargo = PayloadOptions(args.bundle, args.config, tuple(args.extra), args.offline)
    order = DeployPlan(_to(args), Instance(args.name), cargo, args.network, args.keep)
    done = DeployResult(order.to.host, StepLog(message))
    try:
        if args.rollback:
            rollback(order, done)
        else:
            deploy(order, done, message, args.dry_run)
    except FerEdgeError as error:
        if args.as_json:
            print(json.dumps(done.to_json(error), ensure_ascii=False))
        raise
    if args.as_json:
        print(json.dumps(done.to_json(), ensure_ascii=False))
        return EXIT_DONE
    for line in done.plan:
        message(f"would {line}")
    if done.first_line_s is not None:
        message(f"{done.first_line_s:.1f} s to the first log line")
    print(done.release)
    return EXIT_DONE


def _status(args: argparse.Namespace) -> int:
    from convert.deploy.operations import status
    from convert.deploy.releases import Instance

    standing = status(_to(args), Instance(args.name))
    print(json.dumps(standing.to_json(), ensure_ascii=False) if args.as_json else standing.text())
    return standing.verdict()


def _fetch(args: argparse.Namespace) -> int:
    from convert.deploy.operations import fetch

    folder, came = fetch(_to(args), args.out)
    message(f"{came['files']} files, {came['bytes']:,} bytes, of which {came['read']:,} came over the line")
    print(json.dumps({"fetch": 1, "folder": str(folder), **came}) if args.as_json else folder)
    return EXIT_DONE


def _undeploy(args: argparse.Namespace) -> int:
    from convert.deploy.operations import undeploy

    left = undeploy(_to(args), args.journal_too, message)
    if args.as_json:
        print(json.dumps(left, ensure_ascii=False))
    return EXIT_DONE


def _to(args: argparse.Namespace) -> SshAddress:
    from convert.deploy.ssh_address import SshAddress

    return SshAddress(args.host, args.port)
