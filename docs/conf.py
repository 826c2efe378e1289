"""How Sphinx makes the site: ``.venv/bin/python -m sphinx -W docs FOLDER``, or ``bash .ci/run site``.

The pages name each other as ``docs/howto/testing.rst``, so that they read well in a clone and on PyPI. On the
site such a name is a link with the title of the page (`link_pages`), and one that leads nowhere is a warning.

The site is built without a network: ``docs/inventories`` has the few names of Python, Twisted and msgspec to
which the API reference links.
"""

from __future__ import annotations

import re
import sys
from enum import Enum
from pathlib import Path
from types import FunctionType, MemberDescriptorType
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from mtmount_twisted.version import __version__  # noqa: E402

project = "mtmount_twisted"
author = "mtmount_twisted developers"
copyright = "the mtmount_twisted developers"
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.intersphinx"]
exclude_patterns = ["inventories"]
default_role = "py:obj"
nitpicky = True

html_theme = "furo"
html_title = f"mtmount_twisted {__version__}"
html_copy_source = False
toc_object_entries = False  # with each message in it, the table of contents takes half of the time

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}

TWISTED = "https://docs.twisted.org/en/stable/api/"

intersphinx_mapping = {
    "python": ("https://docs.python.org/3/", "inventories/python.txt"),
    "twisted": (TWISTED, "inventories/twisted.txt"),
    "msgspec": ("https://jcristharif.com/msgspec/", "inventories/msgspec.txt"),
}

PAGE = re.compile(r"docs/([\w/-]+)\.rst|(CONTRIBUTING|NEWS)\.rst")


def link_pages(app: Sphinx, doctree: nodes.document) -> None:
    """Make a link of each literal that names a page."""
    here = app.env.docname
    for literal in list(doctree.findall(nodes.literal)):
        named = PAGE.fullmatch(literal.astext())
        if named is None or isinstance(literal.parent, nodes.reference):
            continue
        link = addnodes.pending_xref(
            "",
            literal.deepcopy(),
            refdomain="std",
            reftype="doc",
            refdoc=here,
            reftarget=f"/{named[1] or named[2].lower()}",
            refexplicit=False,
            refwarn=True,
        )
        link.source, link.line = literal.source, literal.line
        literal.replace_self(link)


HOMES = {
    f"reference/api/{name}": f"mtmount_twisted.dialects.tma2020.{name}"
    for name in ("commands", "replies", "enums")
}
"""The module that defines the names of a page; the page's own module passes them on, with its imports."""

MESSAGES = ("reference/api/commands", "reference/api/replies", "reference/api/tma2022")
"""The pages of message classes. The text of such a class lists its fields, with types and units."""

UNDOCUMENTED = re.compile(r"[\w.]+\.(?:[CMR]|Self|_\w+)")
"""Type variables, and private classes."""

INTERFACE = re.compile(r"<InterfaceClass ([\w.]+)>")


def skip_member(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out what a module imports for its own use, and each field of a message: its class lists them."""
    page = app.env.docname
    if what == "module" and page in HOMES and isinstance(member, (type, FunctionType)):
        ours = member.__module__ == HOMES[page] or member.__module__ == "mtmount_twisted.dialects.sources"
        return None if ours and (page.endswith("enums") or not is_enumeration(member)) else True
    if what == "class" and page in MESSAGES:
        field = isinstance(member, MemberDescriptorType) or (
            isinstance(member, property) and not isinstance(member.fget, FunctionType)
        )
        made = "<locals>" in getattr(member, "__qualname__", "")  # the base class has its description
        return True if field or made or name in ("field_infos", "parameters_type") else None
    return None


def is_enumeration(member: object) -> bool:
    """Return whether something is an enumeration."""
    return isinstance(member, type) and issubclass(member, Enum)


def name_interfaces(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Write an interface of zope as its name, and no constructor of what a program does not make."""
    if what == "class" and app.env.docname == "reference/api/types":
        return "", None
    return signature and INTERFACE.sub(r"\1", signature), returns and INTERFACE.sub(r"\1", returns)


def resolve_name(
    app: Sphinx, env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Resolve a name in backticks of a docstring, which may be of another page, a parameter, or of no page.

    A type of a signature gets no such leniency: it must be on a page, or in an inventory.
    """
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    if node["reftype"] == "obj":
        entries = env.domains.python_domain.objects.items()
        found = [entry for name, entry in entries if name.endswith(f".{target}") and not entry.aliased]
        if len(found) != 1:
            return content
        page = app.builder.get_relative_uri(node["refdoc"], found[0].docname)
        return nodes.reference("", "", content, internal=True, refuri=f"{page}#{found[0].node_id}")
    interface = INTERFACE.search(target)
    if interface is not None:  # of a property, whose type is not a signature
        text = INTERFACE.sub(interface[1].rpartition(".")[2], target)
        return nodes.reference("", text, refuri=f"{TWISTED}{interface[1]}.html")
    return content if UNDOCUMENTED.fullmatch(target) else None


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect what this file adds to Sphinx."""
    app.connect("doctree-read", link_pages)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("autodoc-process-signature", name_interfaces)
    app.connect("missing-reference", resolve_name, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
