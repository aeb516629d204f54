"""`fer-edge deploy` and its rollback. At the end the new release runs and has logged a line, or the previous one runs again.
Other instances on the target that ran before run again too.

The steps connect, inspect, pack, transfer, environment, install, bundle and doctor do not change the running service. switch
and start do; without a first log line the previous state is restored. An interrupted deploy is completed by the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from convert.deploy.needs import Needs
from convert.deploy.payload import Payload, build_payload
from convert.deploy.plan import DeployPlan, DeployResult
from convert.deploy.private_folder import private_folder
from convert.deploy.releases import HOME, NoFirstLine, Releases
from convert.deploy.ssh import SshConnection
from convert.deploy.target_check import Target, TargetPython
from convert.deploy.wheel import cache_lock
from fer_edge.errors import BundleRefused, FerEdgeError, NotRunning, Unhealthy, UsageError
from fer_edge.instance_name import DEFAULT, PATTERN

_WAIT_S = 180.0  # for the first line: a Zero 2 W starts in half a minute, and its camera may take as long
_SMALL_MB = 60  # room for a bundle and settings, where the release exists already
# Checks that must pass. Others may fail, for example the camera: the service waits for one.
_REQUIRED = ("settings", "python", "numpy", "opencv", "runtime", "bundle", "verify", "detectors", "the program")
_NOT_YET = ("service", "instance")  # checks that can only pass after the start


def deploy(plan: DeployPlan, result: DeployResult, report: Callable[[str], None], dry_run: bool = False) -> None:
    """Deploys, and records in `result` what was done.

    Raises UsageError, BundleRefused, Unhealthy (the doctor), HostUnreachable, ConnectionLost (both exit code 75), or NotRunning
    after the previous state was restored.
    """
    _refuse_other_name(plan, str(plan.options.settings), plan.options.read_settings().get("name"))
    with ExitStack() as stack:
        releases, target = _connect(plan, result, stack)
        python = target.check(plan.options.camera().startswith("csi"), _SMALL_MB)
        if target.clock_warning:
            report(target.clock_warning)
        folder = stack.enter_context(private_folder("payload"))
        with result.steps.step("pack") as step, cache_lock():
            needs = _all_needs(releases, plan, python, report)
            payload = build_payload(plan.options, needs, python, target.machine, target.glibc, folder, report)
            result.release = payload.release
            step.result = f"release {payload.release}; {needs.text}"
        if dry_run:
            result.planned = _planned_changes(plan, payload, target, releases)
            result.changed = bool(result.planned)
            return
        _install(releases, payload, target, result)
        bundle = _check_release(releases, payload, result)
        _switch_and_start(releases, plan, payload, bundle, target, result, report)


def rollback(plan: DeployPlan, result: DeployResult, leave: str = "", dry_run: bool = False) -> None:
    """Restores the state before the last deploy. With `leave`, only where that release is in use, so it may be repeated.

    Raises UsageError where there is no such state, or it is of another instance than the one that was named, and the errors of
    `deploy`.
    """
    with ExitStack() as stack:
        releases, target = _connect(plan, result, stack)
        target.check(need_mb=0)
        if not target.current and not leave:
            raise UsageError(f"nothing is deployed on {plan.address.host}; there is nothing to go back from")
        before, instance = releases.rollback_state(leave)
        result.release = before or target.current
        if leave and before == leave:
            raise UsageError(
                f"the last deploy to {plan.address.host} replaced settings or bundle and kept release {leave}; deploy the "
                "former files again, or roll back without --from"
            )
        if not before:
            return
        if plan.is_named and not leave and instance != plan.instance.name:  # a release that is left is that of all
            raise UsageError(
                f"the last deploy to {plan.address.host} was of {instance}, not of {plan.instance.name}; --name {instance} "
                "restores what was before it"
            )
        result.changed = True
        if dry_run:
            result.planned = (
                f"restore the state before the last deploy, which was of {instance}, with release {before}",
            )
            return
        releases.begin("")
        with result.steps.step("rollback") as step:
            restored, releases = releases.roll_back()
            result.release = restored.release
            step.result = f"{instance}: {target.current} → {result.release}"
        result.service = "stopped" if target.systemd else "none"
        if target.systemd:
            try:
                if not restored.stopped:
                    _wait_first_line(releases, result)
                with result.steps.step("others") as step:
                    step.result = _wait_for_others(releases)
            except NoFirstLine as error:
                raise NotRunning(f"release {result.release} was restored and does not come up: {error}") from error
        with result.steps.step("finish"):
            result.removed = releases.finish(plan.keep)


def _connect(plan: DeployPlan, result: DeployResult, stack: ExitStack) -> tuple[Releases, Target]:
    """The releases and the properties of the target."""
    with result.steps.step("connect") as step:
        connection = stack.enter_context(SshConnection(plan.address))
        step.result = plan.address.text
    with result.steps.step("inspect") as step:
        releases = Releases(connection, plan.instance)
        target = releases.inspect()
        result.previous, step.result = target.current, target.text
    return releases, target


def _all_needs(releases: Releases, plan: DeployPlan, python: TargetPython, report: Callable[[str], None]) -> Needs:
    """The extras and the network of the plan, and of the settings that stay on the target. Raises UsageError where its own
    settings there have another name."""
    own, replaced = plan.instance.settings_file, plan.options.settings is not None
    on_target = releases.read_needs(python)
    if plan.options.bundle and (
        plan.options.read_settings().get("bundle") if replaced else own in on_target.own_bundles
    ):
        file = plan.options.settings if replaced else f"{plan.instance.settings} on {plan.address.host}"
        raise UsageError(f"--bundle would have no effect: {file} has the setting `bundle`; leave out one of the two")
    if not replaced:
        _refuse_other_name(plan, f"{plan.instance.settings} on {plan.address.host}", on_target.names.get(own))
    for file in on_target.unreadable:
        if not (replaced and file == own):
            report(f"the settings in /etc/fer-edge/{file}.toml cannot be read there, so what they need is not known")
    return plan.options.needs().union(on_target.remaining(own, replaced), Needs(network=plan.network))


def _refuse_other_name(plan: DeployPlan, file: str, name: object) -> None:
    """Raises UsageError where the settings in `file` name another instance: its status and journal would be written."""
    is_name = isinstance(name, str) and PATTERN.fullmatch(name)  # the doctor refuses any other
    if is_name and name != plan.instance.name:
        also = f", and give --name {name}" if plan.instance.name == DEFAULT else ""
        raise UsageError(f'{file} has `name = "{name}"`, but this deploys {plan.instance.name}: leave it out{also}')


def _install(releases: Releases, payload: Payload, target: Target, result: DeployResult) -> None:
    steps = result.steps
    with steps.step("transfer") as step:
        if not (complete := releases.begin(payload.release)):
            target.check()
        step.result = f"{releases.transfer(payload, complete) / 1e6:.1f} MB sent"
    python = target.check(need_mb=0)
    with steps.step("environment") as step:
        made = releases.make_environment(payload, python)
        result.changed |= made
        step.result = f"{python.path}{', with apt’s packages' * payload.system_site}" if made else "exists already"
    with steps.step("install") as step:
        installed = releases.install_packages(payload)
        result.changed |= installed
        step.result = "" if installed else "exists already"


def _check_release(releases: Releases, payload: Payload, result: DeployResult) -> str:
    """The bundle's name on the target, after the new release's doctor passed there with that bundle and the new settings.

    Raises BundleRefused or Unhealthy.
    """
    with result.steps.step("bundle") as step:
        bundle = releases.install_bundle(payload)
        step.result = bundle or "none sent"
    with result.steps.step("doctor") as step:
        doctor = result.doctor = releases.run_doctor(payload)
        required = (*_REQUIRED, "picamera2") if payload.options.camera().startswith("csi") else _REQUIRED
        if faults := [finding for finding in doctor.failed if finding.check in required]:
            text = "; ".join(f"{finding.check}: {finding.what}" for finding in faults)
            kind = BundleRefused if all(finding.check in ("bundle", "verify") for finding in faults) else Unhealthy
            remedy = faults[0].fix or faults[0].do
            raise kind(f"the new release fails its checks on the target, and was not switched to: {text}; {remedy}")
        warnings = [f"{finding.check}: {finding.what}" for finding in doctor.failed if finding.check not in _NOT_YET]
        step.result = f"warnings: {'; '.join(warnings)}" if warnings else "ok"
    return bundle


def _switch_and_start(
    releases: Releases,
    plan: DeployPlan,
    payload: Payload,
    bundle: str,
    target: Target,
    result: DeployResult,
    report: Callable[[str], None],
) -> None:
    steps, switched = result.steps, False
    try:
        with steps.step("switch") as step:
            changed, switched = releases.switch(payload, bundle), True
            result.changed |= changed
            step.result = f"{result.previous or 'nothing'} → {payload.release}" if changed else "nothing to change"
        with steps.step("start") as step:
            result.service = releases.start(changed)
            result.changed |= result.service == "started"
            results = {"none": "no systemd runs there", "kept": "it runs already"}
            step.result = results.get(result.service, plan.instance.unit)
        if result.service == "none":
            variables = f"FER_EDGE_BUNDLES={HOME}/bundles FER_EDGE_DETECTORS={HOME}/detectors"
            config = f" --config {plan.instance.settings}" if plan.options.settings or target.settings else ""
            report(
                f"no systemd runs on {plan.address.host}, so no service was started; the release is installed and checked; "
                f"run it with `sudo env {variables} {HOME}/current/bin/fer-edge run{config}`"
            )
        elif result.service == "started":
            _wait_first_line(releases, result)
            with steps.step("others") as step:
                step.result = _wait_for_others(releases)
    except (UsageError, NoFirstLine) as error:
        raise _undo(releases, result, error, switched) from error
    with steps.step("finish") as step:
        result.removed = releases.finish(plan.keep)
        result.changed |= bool(result.removed)
        step.result = f"{', '.join(result.removed)} removed" if result.removed else ""


def _wait_first_line(releases: Releases, result: DeployResult) -> None:
    with result.steps.step("log") as step:
        line = result.first_line = releases.first_line(_WAIT_S)
        result.service = "waiting" if line.waiting else "started"
        step.result = f"first line: {line.kind}, {line.segment}"
        step.result += f"; it waits for its camera, {line.waiting}" if line.waiting else ""
    result.first_line_s = round(result.steps.seconds, 3)


def _wait_for_others(releases: Releases) -> str:
    """Waits until all instances that were restarted with this one run again, and names them. Raises NoFirstLine."""
    return f"{', '.join(others)} restarted" if (others := releases.wait_for_others(_WAIT_S)) else "none restarted"


def _undo(releases: Releases, result: DeployResult, error: FerEdgeError, switched: bool) -> FerEdgeError:
    """Restores the previous state; returns the error to raise, with the result of that. `switched`: the switch had ended."""
    did_not = f"release {result.release} {'did not come up' if switched else 'could not be switched to'}: {error}"
    try:
        with result.steps.step("undo") as step:
            restored = releases.undo_switch()
            step.result = f"back to {restored.release or 'nothing'}" if restored else "nothing had been changed"
    except UsageError as second_error:
        remedy = "`fer-edge deploy --rollback` restores it" if result.previous else "deploy again"
        return NotRunning(
            f"{did_not}; the state before it could not be restored completely: {second_error}; mend that on "
            f"{result.host}, and then {remedy}"
        )
    if restored is None and not switched:
        return UsageError(f"{did_not}; nothing was changed, {result.previous or 'nothing'} stays in use")
    if restored is None:
        return NotRunning(f"release {result.release}, which was in use already, does not come up: {error}")
    state = "nothing ran before it, and nothing runs now"
    if restored.release:
        state = f"release {restored.release} runs again"
        if restored.stopped:
            unit = releases.instance.unit
            state = f"release {restored.release} is in use again; {unit}, which did not run before, is stopped"
        try:
            if not restored.stopped:
                releases.first_line(_WAIT_S)
            releases.wait_for_others(_WAIT_S)
        except NoFirstLine as second_error:
            state = f"release {restored.release} was restored and does not come up either: {second_error}"
    return NotRunning(f"{did_not}; {state}")


def _planned_changes(plan: DeployPlan, payload: Payload, target: Target, releases: Releases) -> tuple[str, ...]:
    """The changes that the deploy would make, a sentence each; empty where it would change nothing."""
    options, release = plan.options, payload.release
    bundle = options.load_bundle()
    differences = releases.differences(payload, bundle.installed_name if bundle else "", plan.keep)
    sentences = {
        "unconfirmed": "complete an interrupted deploy",
        "release": f"switch from {target.current or 'nothing'} to {release}",
        "detectors": "install the detectors",
        "bundle": f"install the bundle {options.bundle} and use it",
        "settings": f"replace {plan.instance.settings} by {options.settings}",
        "unit": f"replace the unit {plan.instance.unit}",
        "service": f"start {plan.instance.unit}",
    }
    if options.settings is None:
        sentences["settings"] = f"write an empty {plan.instance.settings}"
    lines = [sentences[part] for part in differences.parts if part in sentences]
    lines += [f"delete the old release {name}" for name in differences.removed]
    existing = [line.split(" ")[0] for line in releases.status().values.get("release", ()) if " complete " in line]
    if release not in existing:
        lines.insert(0, f"send {_megabytes(payload.folder)}, make {HOME}/releases/{release} and install into it")
    if lines and target.systemd and "service" not in differences.parts:
        lines.append(f"restart {plan.instance.unit}")
    return tuple(lines)


def _megabytes(folder: Path) -> str:
    files = [file for parent in (folder, folder / "wheels") for file in parent.rglob("*") if file.is_file()]
    return f"{sum(file.stat().st_size for file in files) / 1e6:.1f} MB"
