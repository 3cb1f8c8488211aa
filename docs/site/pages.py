"""What MkDocs doesn't do by itself for the pages of this repository: a list of contents made of what exists, and contracts
and sources as pages. mkdocs.yml names this file."""

import json
import logging
import posixpath
import re

from mkdocs.structure.files import File

# Shown as a page each, since a browser shows these files not at all or without colours. The value is the language.
SHOWN = {".h": "c", ".zig": "zig", ".proto": "protobuf", ".wit": "wit", ".rs": "rust", ".py": "python", ".ipynb": "notebook"}
LOG = logging.getLogger("mkdocs.hooks.pages")
LINK = re.compile(r"(?<=\]\()([^)#\s]+)")


def on_files(files, config):
    for file in [file for file in files if file.inclusion.is_included()]:
        language = SHOWN.get(posixpath.splitext(file.src_uri)[1])
        if language:
            text = file.content_string
            text = notebook(text) if language == "notebook" else f"# {file.name}\n\n{fenced(language, text)}"
            files.remove(file)
            files.append(File.generated(config, page(file.src_uri), content=text))
    config.nav = existing(config.nav, files)
    return files


def on_page_markdown(markdown, page, config, files):
    """Leads links to a file that has a page to that page."""

    def led(link):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(page.file.src_uri), link[1]))
        shown = files.get_file_from_path(shown_as(target))
        if shown and shown.inclusion.is_excluded():
            LOG.warning("%s links to %s, which exclude_docs leaves out", page.file.src_uri, target)
        return shown_as(link[1]) if shown and shown_as(target) != target else link[1]

    return LINK.sub(led, markdown)


def existing(entries, files):
    """The list of contents without entries whose file doesn't exist, and with each folder's pages in its place."""
    kept = []
    for entry in entries:
        [(title, target)] = entry.items() if isinstance(entry, dict) else [(None, entry)]
        if isinstance(target, list):
            if below := existing(target, files):
                kept.append({title: below})
        elif target.endswith("/"):
            pages = [file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(target)]
            # The folder's README first, then by name, which begins with a number.
            kept.append({title: sorted(pages, key=lambda path: (not path.endswith("README.md"), path))})
        elif files.get_file_from_path(shown_as(target)):
            kept.append({title: shown_as(target)} if title else target)
    return kept


def notebook(text):
    """A notebook's cells and what they printed and drew, as Markdown."""
    parts = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else fenced("python", source))
        for output in cell.get("outputs", []):
            data = output.get("data", {"text/plain": output.get("text", "")})
            if "image/png" in data:
                parts.append(f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">')
            elif "text/html" in data:
                parts.append(f'<div>{"".join(data["text/html"])}</div>')
            else:
                parts.append(fenced("text", "".join(data.get("text/plain", ""))))
    return "\n\n".join(parts)


def fenced(language, text):
    return f"````{language}\n{text.rstrip()}\n````\n"


def shown_as(path):
    return page(path) if SHOWN.get(posixpath.splitext(path)[1]) else path


def page(path):
    return f"{path}.md"
