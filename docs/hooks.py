"""The generated parts of the site: sections of the packages' READMEs, the command reference, and the figures.

A page includes a section with `<!-- include device/README.md: Metrics -->`. The text stays where the tests of its subject read
it. The line below such a comment is for readers of the repository: it links to the section, and the section replaces it here.
A link to a page of the site, or to a section that a page includes, leads there. A link to another file of the repository
becomes the file's path, for that file is not part of the site.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "docs"))

from command_reference import reference  # noqa: E402
from markdown.extensions.toc import slugify  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File  # noqa: E402
from proof_figures import figures  # noqa: E402

PICTURES = {
    "device/timeline.png": "img/timeline.png",
    "device/live.png": "img/live.png",
}  # in the repository: on the site
PAGES = ROOT / "docs" / "pages"
_INCLUDE = re.compile(r"^<!-- include (\S+): (.+) -->\n.+$", re.M)  # with the line for readers of the repository
_REFERENCE = re.compile(r"^<!-- commands -->\n.+$", re.M)
_SIGNATURES = re.compile(r"^<!-- signatures -->\n.+$", re.M)
_HEADING = re.compile(r"^#+ (.+)$", re.M)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """The site's files, with the pictures of the READMEs and the figures of the proof."""
    for source, target in PICTURES.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    for name, svg in figures(ROOT / "models").items():
        files.append(File.generated(config, f"img/{name}.svg", content=svg))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A page's text with its generated parts."""
    own = PAGES / page.file.src_uri
    markdown = _SIGNATURES.sub("", _REFERENCE.sub(lambda _: reference(), markdown))
    parts = _INCLUDE.split(markdown)  # text, file, heading, text, …
    for i in range(0, len(parts), 3):
        parts[i] = _LINK.sub(
            lambda link: link[0] if not link[3].startswith("../") else _site_link(own, *link.groups()), parts[i]
        )
    sections = [section(ROOT / file, heading) for file, heading in zip(parts[1::3], parts[2::3], strict=True)]
    return "".join(text + included for text, included in zip(parts[::3], [*sections, ""], strict=True))


def section(file: Path, heading: str) -> str:
    """The text below `## heading` of a file, up to the next heading of that level, with links that the site can follow."""
    return _LINK.sub(lambda link: _site_link(file, *link.groups()), _section(file, heading))


def _section(file: Path, heading: str) -> str:
    _, found, rest = file.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    if not found:
        raise PluginError(f"{file} has no section “{heading}”, which a page includes")
    return re.sub(r"^<!--.*-->\n", "", rest.partition("\n## ")[0], flags=re.M)


@cache
def _places() -> dict[str, str]:
    """Where the site has what the repository has: `device/README.md#metrics` is on `home-assistant.md#metrics`."""
    places = {}
    for page in sorted(PAGES.glob("*.md")):
        places[page.relative_to(ROOT).as_posix()] = page.name
        text = page.read_text(encoding="utf-8")
        for found in _INCLUDE.finditer(text):
            above = _HEADING.findall(text[: found.start()])[-1]
            places[f"{found[1]}#{_slug(found[2])}"] = f"{page.name}#{_slug(above)}"
            for inner in _HEADING.findall(_section(ROOT / found[1], found[2])):
                places[f"{found[1]}#{_slug(inner)}"] = f"{page.name}#{_slug(inner)}"
    places["models/README.md"] = places["models/README.md#measured"]
    return places


def _slug(heading: str) -> str:
    return slugify(heading, "-")


def _site_link(file: Path, mark: str, text: str, target: str) -> str:
    """A link of a file as the site has it: to a picture or page of the site, or the path of a file that is not there."""
    if target.startswith("http"):
        return f"{mark}[{text}]({target})"
    name, hash_mark, anchor = target.partition("#")
    path = (file.parent / name).resolve().relative_to(ROOT).as_posix() if name else file.relative_to(ROOT).as_posix()
    if mark:
        return f"![{text}]({PICTURES[path]})"
    if place := _places().get(f"{path}{hash_mark}{anchor}"):
        return f"[{text}]({place})"
    if page := _places().get(path):
        return f"[{text}]({page.partition('#')[0] + hash_mark + anchor if path.startswith('docs/') else page})"
    return f"`{path}`" if text.strip("`") in path else f"{text} (`{path}`)"
