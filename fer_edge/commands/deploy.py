"""The commands of a host for a device: `deploy`, `status`, `fetch` and `undeploy`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fer_edge.argument_types import file_path
from fer_edge.console import message, output, result_output
from fer_edge.errors import EXIT_DONE, FerEdgeError, UsageError
from fer_edge.instance_name import DEFAULT
from fer_edge.json_fields import json_text

if TYPE_CHECKING:
    from convert.deploy.ssh_address import SshAddress


def register(commands: Any) -> None:
    """Adds the commands to the parsers of `fer-edge`."""
    deploy = commands.add_parser(
        "deploy",
        help="install this fer-edge, a bundle and settings on a Pi, and start its service",
        epilog="Exit codes: 2 bad input or target; 5 bundle refused; 7 the new release's doctor failed; 8 the service, or "
        "another one on the Pi, did not start, and the previous state was restored; 75 the host did not answer, or the "
        "connection was lost (the same command resumes).",
    )
    deploy.add_argument(
        "--bundle",
        type=file_path,
        metavar="DIR",
        help="folder of the bundle that all instances there use, but those with `bundle` in their settings; default: the one "
        "in use on the Pi",
    )
    deploy.add_argument(
        "--config",
        type=file_path,
        metavar="FILE",
        help="settings file of the service; default: the one on the Pi, with the extras and the network that it needs",
    )
    deploy.add_argument(
        "--network",
        action="store_true",
        help="allow the service access to the local networks; default: if the settings, sent or on the Pi, need it",
    )
    deploy.add_argument(
        "--extra",
        action="append",
        metavar="NAME",
        help="install this extra of the package besides those that the settings, sent or on the Pi, need; may be repeated",
    )
    deploy.add_argument(
        "--offline", action="store_true", help="send every wheel, so that the Pi needs no internet access"
    )
    deploy.add_argument(
        "--keep", type=int, default=3, metavar="N", help="number of releases that remain on the Pi; default: 3"
    )
    deploy.add_argument(
        "--dry-run", action="store_true", help="inspect the Pi and print the changes without making them"
    )
    deploy.add_argument("--rollback", action="store_true", help="restore the state before the last deploy")
    deploy.add_argument(
        "--from",
        default="",
        dest="leave",
        metavar="RELEASE",
        help="with --rollback: only if this release is in use, so that the command may be repeated",
    )
    deploy.set_defaults(command=_deploy)

    status = commands.add_parser(
        "status",
        help="print the releases, service and health of a Pi, or a table of all in an inventory",
        epilog="Exit codes: 2 bad input, or the host refused; 7 unhealthy; 8 not running; 75 the host did not answer. With "
        "--inventory the largest of all hosts.",
    )
    status.add_argument(
        "--inventory", type=file_path, metavar="FILE", help="Ansible inventory in YAML; needs the extra `fleet`"
    )
    status.add_argument("--limit", default="", metavar="PATTERN", help="only these hosts or groups of the inventory")
    status.add_argument(
        "--jobs", type=int, default=16, metavar="N", help="hosts of the inventory asked at once; default: 16"
    )
    status.set_defaults(command=_status)
    fetch = commands.add_parser(
        "fetch",
        help="copy a Pi's journals to this machine; only new parts are copied",
        epilog="Exit codes: 2 bad input, the host refused, or --out has a copy of another journal, as of the card before a new "
        "one (nothing is changed then); 75 the host did not answer, or the connection was lost (the same command resumes).",
    )
    fetch.add_argument(
        "--out",
        type=file_path,
        metavar="DIR",
        help="folder for the journals, of which no line is ever removed; default: HOST-journal",
    )
    fetch.set_defaults(command=_fetch)
    undeploy = commands.add_parser("undeploy", help="delete the deployed files from a Pi; the journal remains")
    undeploy.add_argument("--journal-too", action="store_true", help="also delete the journal and the service's user")
    undeploy.set_defaults(command=_undeploy)
    for parser in (deploy, status, fetch, undeploy):
        several = {"nargs": "?"} if parser is status else {}
        parser.add_argument("host", metavar="USER@HOST", help="SSH address, or a name from ~/.ssh/config", **several)
        parser.add_argument("--port", type=int, metavar="N", help="SSH port; default: that of ~/.ssh/config, else 22")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print the result as JSON")
    for parser in (deploy, status):
        parser.add_argument("--name", help=f"name of the instance, if there are several cameras; default: {DEFAULT}")


def _deploy(args: argparse.Namespace) -> int:
    from convert.argument_types import refuse_given
    from convert.deploy.payload import PayloadOptions
    from convert.deploy.plan import DeployPlan, DeployResult
    from convert.deploy.progress import StepLog
    from convert.deploy.releases import Instance
    from convert.deploy.rollout import deploy, rollback

    if args.rollback:
        sent = ("bundle", "config", "network", "extra", "offline")
        refuse_given(args, sent, "a rollback restores what was deployed before; leave out with --rollback")
    options = PayloadOptions(args.bundle, args.config, tuple(args.extra or ()), args.offline)
    instance, is_named = Instance(args.name or DEFAULT), args.name is not None
    plan = DeployPlan(_address(args), instance, options, args.network, args.keep, is_named)
    result = DeployResult(plan.address.host, StepLog(message))
    if args.leave and not args.rollback:
        raise UsageError("--from names the release that a rollback leaves; give --rollback too")
    try:
        if args.rollback:
            rollback(plan, result, args.leave, args.dry_run)
        else:
            deploy(plan, result, message, args.dry_run)
    except FerEdgeError as error:
        if args.as_json:
            result_output(json_text(result.to_json(error)))
        raise
    if args.as_json:
        output(json_text(result.to_json()))
        return EXIT_DONE
    for line in result.planned:
        message(f"would {line}")
    if not result.changed:
        message(f"nothing {'would change' if args.dry_run else 'was changed'}")
    if result.first_line_s is not None:
        message(f"{result.first_line_s:.1f} s to the first log line")
    output(result.release)
    return EXIT_DONE


def _status(args: argparse.Namespace) -> int:
    from convert.deploy.operations import status
    from convert.deploy.releases import Instance

    if args.inventory is not None:
        return _fleet_status(args)
    if args.host is None or args.limit:
        raise UsageError("give USER@HOST, or an inventory: --inventory FILE; --limit needs one")
    target_status = status(_address(args), Instance(args.name or DEFAULT))
    output(json_text(target_status.to_json()) if args.as_json else target_status.text())
    return target_status.verdict()


def _fleet_status(args: argparse.Namespace) -> int:
    from convert.deploy.fleet import fleet_status
    from convert.deploy.inventory import read_inventory
    from convert.deploy.releases import Instance

    if args.host is not None or args.port is not None:
        raise UsageError("--inventory names the hosts and their ports; give it alone, and choose hosts with --limit")
    hosts = read_inventory(args.inventory, args.limit, Instance(args.name or DEFAULT))
    fleet = fleet_status(hosts, args.jobs, message)
    output(json_text(fleet.to_json()) if args.as_json else fleet.text())
    message(fleet.summary())
    return fleet.exit_code()


def _fetch(args: argparse.Namespace) -> int:
    from convert.deploy.operations import fetch

    result = fetch(_address(args), args.out)
    message(f"{result.files} files, {result.bytes:,} bytes; {result.received_bytes:,} bytes received")
    output(json_text(result.to_json()) if args.as_json else str(result.folder))
    return EXIT_DONE


def _undeploy(args: argparse.Namespace) -> int:
    from convert.deploy.operations import undeploy

    result = undeploy(_address(args), args.journal_too, message)
    if args.as_json:
        output(json_text(result.to_json()))
    return EXIT_DONE


def _address(args: argparse.Namespace) -> SshAddress:
    from convert.deploy.ssh_address import SshAddress

    return SshAddress(args.host, args.port)
