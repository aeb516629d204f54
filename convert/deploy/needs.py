"""What settings need of a deploy: extras of the package, and access of the service to the local networks.

All instances on a target share one release, and all except the default one share a unit. So a deploy takes into account the
settings files that stay on the target too. They may hold passwords: the target reports only which of a few names they set, and
the name of the instance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from convert.deploy.ssh import ScriptOutput
from convert.json_dataclass import JsonObject
from fer_edge import instance_name
from fer_edge.errors import UsageError
from fer_edge.text_cleaning import clean

_BUNDLE = "bundle"
# setting: the extra that it needs, and whether the service needs the local networks for it
_OF_SETTINGS = {
    "mqtt": ("mqtt", True),
    "metrics": ("metrics", True),
    "metrics_file": ("metrics", False),
    "live": ("live", True),
    _BUNDLE: ("", False),
}
_NETWORK_CAMERA = "network_camera"  # stands for a `camera` that is an address
_LARGEST_COUNT = 1000  # of settings files on a target
REPORTED_SETTINGS = tuple(_OF_SETTINGS)
DEFAULT_FILE = "fer-edge"  # without .toml: the settings of the default instance, which has a unit of its own


@dataclass(frozen=True, slots=True)
class Needs:
    """The extras to install, sorted, and whether the service needs the local networks."""

    extras: tuple[str, ...] = ()
    network: bool = False

    @staticmethod
    def of_settings(settings: JsonObject) -> Needs:
        """The needs of these settings by name."""
        names = [name for name in _OF_SETTINGS if settings.get(name)]
        return Needs.of_names([*names, *([_NETWORK_CAMERA] if "://" in str(settings.get("camera", "")) else [])])

    @staticmethod
    def of_names(names: Iterable[str]) -> Needs:
        """The needs of settings that set these names. Raises KeyError for a name without needs."""
        needs = [("", True) if name == _NETWORK_CAMERA else _OF_SETTINGS[name] for name in names]
        return Needs(tuple(sorted({extra for extra, _ in needs if extra})), any(network for _, network in needs))

    def union(self, *others: Needs) -> Needs:
        """The needs of all together."""
        every = (self, *others)
        extras = {extra for needs in every for extra in needs.extras}
        return Needs(tuple(sorted(extras)), any(needs.network for needs in every))

    @property
    def text(self) -> str:
        """“extras live, mqtt; local networks”."""
        extras = f"extras {', '.join(self.extras)}" if self.extras else "no extras"
        return f"{extras}; {'local networks' if self.network else 'no network'}"


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """The needs of the settings files on a target, by the file's name without .toml, and the files that cannot be read.
    `names`: the names of instances that files set, by the file too. `own_bundles`: the files that set a bundle."""

    needs: Mapping[str, Needs]
    unreadable: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    own_bundles: frozenset[str] = frozenset()

    @staticmethod
    def read(output: ScriptOutput) -> TargetSettings:
        """The needs in the output of `report_needs`. Raises UsageError for an output that cannot be parsed."""
        reported = output.values.get("needs", ())
        unreadable = output.values.get("unreadable", ())
        named = output.values.get("named", ())
        needs, names_set, own_bundles = {}, {}, set()
        try:
            if max(len(reported) + len(unreadable), len(named)) > _LARGEST_COUNT:
                raise ValueError(f"more than {_LARGEST_COUNT:,} files")
            for line in reported:
                file, _, names = line.partition(" ")
                needs[_checked_file(file)] = Needs.of_names(names.split(",") if names else ())
                if _BUNDLE in names.split(","):
                    own_bundles.add(file)
            for line in named:
                file, _, name = line.partition(" ")
                names_set[_checked_file(file)] = _checked_file(name)
            return TargetSettings(needs, tuple(map(_checked_file, unreadable)), names_set, frozenset(own_bundles))
        except (ValueError, KeyError) as error:
            raise UsageError(
                f"the target reports settings that cannot be read ({clean(str(error), 80)}); look at /etc/fer-edge there"
            ) from error

    def remaining(self, own: str, replaced: bool) -> Needs:
        """The needs of the files that stay when the instance with the file `own` is deployed: all extras, and the network where
        an instance of the same unit needs it. `replaced`: its own file does not stay."""
        staying = {file: needs for file, needs in self.needs.items() if not (replaced and file == own)}
        same_unit = [file for file in staying if (file == DEFAULT_FILE) == (own == DEFAULT_FILE)]
        extras = Needs().union(*staying.values()).extras
        return Needs(extras, any(staying[file].network for file in same_unit))


def _checked_file(name: str) -> str:
    if not instance_name.PATTERN.fullmatch(name):
        raise ValueError(f"“{clean(name, 40)}” in place of a file")
    return name
