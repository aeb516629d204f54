"""`fer-edge deploy`: from a host to a target, whose service is up and proved at the end, or is what it was before.

connect, look, pack, ship, environment, install, bundle, doctor: nothing that serves is touched by any of them. switch and
start change what serves; without a first log line what served before is brought back. A deploy that is cut off anywhere
is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from convert.deploy.payload import Payload, build_payload
from convert.deploy.plan import DeployPlan, DeployResult
from convert.deploy.private_folder import private_folder
from convert.deploy.progress import StepLog
from convert.deploy.releases import HOME, NoFirstLine, Releases
from convert.deploy.ssh import SshConnection
from convert.deploy.target_check import Target
from fer_edge.errors import BundleRefused, FerEdgeError, NotRunning, Unhealthy, UsageError

_WAIT_S = 180.0  # for the first line: a Zero 2 W starts in half a minute, and its camera may take as long
_LITTLE_MB = 60  # room for a bundle and settings, where the release is there already
# What a release cannot do without. A camera may be plugged in later: the service waits for it.
_GATES = ("settings", "python", "numpy", "opencv", "runtime", "bundle", "verify", "detectors", "the program")
_STARTED = ("service", "instance")  # how they are before the start is no matter


def deploy(order: DeployPlan, done: DeployResult, say: Callable[[str], None], dry_run: bool = False) -> None:
    """Deploys, and keeps in `done` what came of it.

    Raises UsageError, BundleRefused, Unhealthy (the doctor), ConnectionLost, or NotRunning after what served before
    was brought back.
    """
    with ExitStack() as stack:
        on, target = _reach(order, done, stack)
        python = target.check(order.cargo.camera().startswith("csi"), _LITTLE_MB)
        if target.clock:
            say(target.clock)
        folder = stack.enter_context(private_folder("ship"))
        with done.steps.step("pack") as step:
            shipment = build_payload(order.cargo, python, target.machine, target.glibc, folder, say)
            done.release = shipment.release
            step.said = f"release {shipment.release}"
        if dry_run:
            done.plan = _plan(order, shipment, target, on)
            return
        _ship(on, shipment, target, done.steps)
        bundle = _prove(on, shipment, done)
        _serve(on, order, shipment, bundle, target, done, say)


def rollback(order: DeployPlan, done: DeployResult) -> None:
    """Brings back what served before the last deploy. Raises UsageError where there is nothing, or as `deploy` does."""
    with ExitStack() as stack:
        on, target = _reach(order, done, stack)
        target.check(need_mb=0)
        if not target.current:
            raise UsageError(f"nothing is deployed on {order.to.host}; there is nothing to go back from")
        on.take("")
        with done.steps.step("rollback") as step:
            restored, on = on.rollback()
            done.release = restored.release
            step.said = f"{target.current} → {done.release}"
        if target.systemd and not restored.stopped:
            try:
                _hear(on, done)
            except NoFirstLine as error:
                raise NotRunning(f"release {done.release} was brought back and does not come up: {error}") from error
        else:
            done.service = "stopped" if target.systemd else "none"
        with done.steps.step("finish"):
            done.removed = on.finish(order.keep)


def _reach(order: DeployPlan, done: DeployResult, stack: ExitStack) -> tuple[Releases, Target]:
    """The target, reached and looked at."""
    with done.steps.step("connect") as step:
        remote = stack.enter_context(SshConnection(order.to))
        step.said = order.to.text
    with done.steps.step("look") as step:
        on = Releases(remote, order.instance)
        target = on.look()
        done.before, step.said = target.current, target.text
    return on, target


def _ship(on: Releases, shipment: Payload, target: Target, steps: StepLog) -> None:
    with steps.step("ship") as step:
        if not (whole := on.take(shipment.release)):
            target.check()
        step.said = f"{on.ship(shipment, whole) / 1e6:.1f} MB sent"
    python = target.check(need_mb=0)
    with steps.step("environment") as step:
        made = on.environment(shipment, python)
        step.said = f"{python.path}{', with apt’s packages' * shipment.system_site}" if made else "there already"
    with steps.step("install") as step:
        step.said = "" if on.install(shipment) else "there already"


def _prove(on: Releases, shipment: Payload, done: DeployResult) -> str:
    """The bundle's name there, after the new release was held against this target with it and the new settings.

    Raises BundleRefused or Unhealthy.
    """
    with done.steps.step("bundle") as step:
        bundle = on.bundle(shipment)
        step.said = bundle or "none shipped"
    with done.steps.step("doctor") as step:
        done.doctor = on.doctor(shipment)
        failed = [one for one in done.doctor["findings"] if one["state"] == "fail"]
        gates = (*_GATES, "picamera2") if shipment.cargo.camera().startswith("csi") else _GATES
        if stops := [one for one in failed if one["check"] in gates]:
            said = "; ".join(f"{one['check']}: {one['what']}" for one in stops)
            kind = BundleRefused if all(one["check"] in ("bundle", "verify") for one in stops) else Unhealthy
            mend = stops[0]["fix"] or stops[0]["do"]
            raise kind(f"the new release is not well on the target, and was not switched to: {said}; {mend}")
        told = [f"{one['check']}: {one['what']}" for one in failed if one["check"] not in _STARTED]
        step.said = f"to know of: {'; '.join(told)}" if told else "well"
    return bundle


def _serve(
    on: Releases,
    order: DeployPlan,
    shipment: Payload,
    bundle: str,
    target: Target,
    done: DeployResult,
    say: Callable[[str], None],
) -> None:
    steps = done.steps
    network = order.network or order.cargo.network()
    try:
        with steps.step("switch") as step:
            changed = on.switch(shipment, bundle, network)
            step.said = f"{done.before or 'nothing'} → {shipment.release}" if changed else "nothing to change"
        with steps.step("start") as step:
            done.service = on.start(changed)
            step.said = {"none": "no systemd runs there", "kept": "it runs already"}.get(
                done.service, order.instance.unit
            )
        if done.service == "none":
            given = f"FER_EDGE_BUNDLES={HOME}/bundles FER_EDGE_DETECTORS={HOME}/detectors"
            config = f" --config {order.instance.settings}" if order.cargo.settings or target.settings else ""
            say(
                f"no systemd runs on {order.to.host}, so no service was started; the release is there and proved; it is run "
                f"with `sudo env {given} {HOME}/current/bin/fer-edge run{config}`"
            )
        elif done.service == "started":
            _hear(on, done)
    except (UsageError, NoFirstLine) as error:
        raise _undone(on, done, error) from error
    with steps.step("finish") as step:
        done.removed = on.finish(order.keep)
        step.said = f"{', '.join(done.removed)} removed" if done.removed else ""


def _hear(on: Releases, done: DeployResult) -> None:
    with done.steps.step("log") as step:
        done.first_line = on.first_line(_WAIT_S)
        camera = done.first_line.get("waiting", "")
        done.service = "waiting" if camera else "started"
        step.said = f"first line: {done.first_line['kind']}, {done.first_line['segment']}"
        step.said += f"; it waits for its camera, {camera}" if camera else ""
    done.first_line_s = round(done.steps.seconds, 3)


def _undone(on: Releases, done: DeployResult, error: FerEdgeError) -> NotRunning:
    with done.steps.step("undo") as step:
        before = on.undo()
        step.said = f"back to {before.release or 'nothing'}" if before else "nothing had been changed"
    if before is None:
        return NotRunning(f"release {done.release}, which was in use already, does not come up: {error}")
    again = "nothing served before it, and nothing serves now"
    if before.release and before.stopped:
        again = (
            f"release {before.release} is in use again, and {on.instance.unit}, which did not run before, is stopped"
        )
    elif before.release:
        again = f"release {before.release} serves again"
        try:
            on.first_line(_WAIT_S)
        except NoFirstLine as also:
            again = f"release {before.release} was brought back and does not start either: {also}"
    return NotRunning(f"release {done.release} did not come up: {error}; {again}")


def _plan(order: DeployPlan, shipment: Payload, target: Target, on: Releases) -> tuple[str, ...]:
    there = [line.split(" ")[0] for line in on.state().values.get("release", ()) if " whole " in line]
    new = shipment.release not in there
    lines = [
        f"make the environment {HOME}/releases/{shipment.release} and install into it"
        if new
        else "install nothing: the release is there"
    ]
    lines += [f"ship {_megabytes(shipment.folder)}"]
    lines += [f"install the bundle {order.cargo.bundle} and use it"] if order.cargo.bundle else []
    lines += [f"put {order.cargo.settings} in the place of {order.instance.settings}"] if order.cargo.settings else []
    if target.current != shipment.release:
        lines.append(f"switch from {target.current or 'nothing'} to {shipment.release}")
    lines.append(f"start {order.instance.unit}" if target.systemd else "start nothing: no systemd runs there")
    return tuple(lines)


def _megabytes(folder: Path) -> str:
    files = [file for at in (folder, folder / "wheels") for file in at.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
