"""The generated parts of the site: sections of the packages' READMEs, the command reference, and the figures.

A page includes a section with `<!-- include device/README.md: Metrics -->`. The text stays where the tests of its subject read
it, and links from it to files of the repository become the files' names, for these files are not part of the site.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "docs"))

from command_reference import reference  # noqa: E402
from mkdocs.exceptions import PluginError  # noqa: E402
from mkdocs.structure.files import File  # noqa: E402
from proof_figures import figures  # noqa: E402

PICTURES = {
    "device/timeline.png": "img/timeline.png",
    "device/live.png": "img/live.png",
}  # in the repository: on the site
PAGES = {"CONTRIBUTING.md#glossary": "glossary.md", "models/README.md": "compare.md#measured"}  # likewise, of links
_INCLUDE = re.compile(r"^<!-- include (\S+): (.+) -->$", re.M)
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
    if page.file.src_uri == "commands.md":
        markdown = markdown.replace("<!-- commands -->", reference())
    return _INCLUDE.sub(lambda found: section(ROOT / found[1], found[2]), markdown)


def section(file: Path, heading: str) -> str:
    """The text below `## heading` of a file, up to the next heading of that level, with links that the site can follow."""
    _, found, rest = file.read_text(encoding="utf-8").partition(f"\n## {heading}\n")
    if not found:
        raise PluginError(f"{file} has no section “{heading}”, which a page includes")
    text = re.sub(r"^<!--.*-->\n", "", rest.partition("\n## ")[0], flags=re.M)
    return _LINK.sub(lambda link: _site_link(file, *link.groups()), text)


def _site_link(file: Path, mark: str, text: str, target: str) -> str:
    if target.startswith(("http", "#")):
        return f"{mark}[{text}]({target})"
    name, hash_mark, anchor = target.partition("#")
    path = (file.parent / name).resolve().relative_to(ROOT).as_posix()
    if mark:
        return f"![{text}]({PICTURES[path]})"
    if page := PAGES.get(f"{path}{hash_mark}{anchor}") or PAGES.get(path):
        return f"[{text}]({page})"
    return f"`{path}`" if text in (path, name, Path(path).name) else f"{text} (`{path}`)"
