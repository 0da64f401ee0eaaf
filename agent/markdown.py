"""Untrusted Markdown shown safely: as HTML, or written again as Markdown that does nothing.

Emphasis, lists, quotes, code and tables stay; links, pictures, raw HTML and reference
definitions become the plain characters they were typed as. Knows citations by number only, and
nothing of answers or passages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from .citations import CITATION
from .plain_text import clean, clean_line

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.renderer import RendererHTML
    from markdown_it.rules_inline import StateInline
    from markdown_it.token import Token
    from markdown_it.tree import SyntaxTreeNode
    from markdown_it.utils import OptionsDict

__all__ = ["escape", "is_active", "to_html", "to_inert"]

_OFF = ["link", "image", "autolink", "html_inline", "html_block", "reference"]
_ACTIVE = {"link_open", "image", "html_inline", "html_block"}
_HEADINGS_DOWN = 2  # a page's title and a question stand above an answer's own headings


def to_html(text: str, count: int, anchor: str = "") -> str:
    """HTML of untrusted Markdown, safe to stand in a page as it is.

    Args:
        text: from a model or a document.
        count: how many passages there are; ``[n]`` beyond that stays text.
        anchor: what the ids of the sources begin with; empty for citations without links.
    """
    html: str = _safe().render(clean(text), {"count": count, "anchor": anchor})
    return html


def to_inert(text: str, count: int) -> str:
    """The same Markdown without anything active in it.

    What is written is read back with everything allowed; should something active ever be left,
    the plain characters are written instead.
    """
    from markdown_it.tree import SyntaxTreeNode

    text = clean(text)
    tokens = _safe().parse(text, {"count": count})
    written = _blocks(SyntaxTreeNode(tokens).children)
    return escape(text) if is_active(written) else written


def escape(text: str) -> str:
    """Plain words as one line of Markdown that reads the same."""
    return _line_starts(_escape_inline(clean_line(text)))


def is_active(markdown: str) -> bool:
    """Whether any reader of CommonMark would find a link, a picture or HTML in this."""
    env: dict[str, Any] = {}
    tokens = _everything().parse(markdown, env)
    inner = (child for token in tokens for child in token.children or ())
    return bool(env.get("references")) or any(t.type in _ACTIVE for t in (*tokens, *inner))


@cache
def _safe() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 40})
    parser.enable(["table", "strikethrough"]).disable(_OFF)
    parser.inline.ruler.before("emphasis", "citation", _read_citation)
    parser.core.ruler.push("lower_headings", _lower_headings)
    parser.add_render_rule("citation", _show_citation)
    return parser


@cache
def _everything() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def _read_citation(state: StateInline, silent: bool) -> bool:
    match = CITATION.match(state.src, state.pos, state.posMax)
    if match is None or int(match[1]) > state.env["count"]:
        return False
    if not silent:
        if "anchor" in state.env:  # a raised number stands close to its word
            state.pending = state.pending.rstrip()
        state.push("citation", "", 0).content = match[1]
    state.pos = match.end()
    return True


def _lower_headings(state: Any) -> None:
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + _HEADINGS_DOWN)}"


def _show_citation(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    number = tokens[index].content
    if not env["anchor"]:
        return f"<sup>[{number}]</sup>"
    target = f"{env['anchor']}-{number}"
    return f'<a class="cite" href="#{target}" aria-label="source {number}">{number}</a>'


# Writing Markdown: one small function per kind of node; a kind that is not named passes its
# children on.


def _blocks(nodes: Sequence[SyntaxTreeNode]) -> str:
    return "\n\n".join(_BLOCKS.get(node.type, _other)(node) for node in nodes)


def _other(node: SyntaxTreeNode) -> str:
    return _blocks(node.children)


def _paragraph(node: SyntaxTreeNode) -> str:
    return _line_starts("".join(_inline(child) for child in node.children))


def _heading(node: SyntaxTreeNode) -> str:
    return f"{'#' * int(node.tag[1])} {' '.join(_paragraph(node).split())}"


def _quote(node: SyntaxTreeNode) -> str:
    return _prefixed(_blocks(node.children), "> ", "> ")


def _list(node: SyntaxTreeNode) -> str:
    first = int(node.attrs.get("start", 1)) if node.type == "ordered_list" else None
    items = []
    for number, item in enumerate(node.children):
        marker = "- " if first is None else f"{first + number}. "
        items.append(_prefixed(_item(item), marker, " " * len(marker)))
    tight = all(child.hidden for child in node.walk() if child.type == "paragraph")
    return ("\n" if tight else "\n\n").join(items)


def _item(node: SyntaxTreeNode) -> str:
    written = ""
    for child in node.children:
        close = child.type.endswith("_list") and not child.attrs  # may follow a line at once
        written += ("\n" if close else "\n\n") + _blocks([child])
    return written.lstrip("\n")


def _prefixed(text: str, first: str, rest: str) -> str:
    lines = text.split("\n")
    return "\n".join(((rest if n else first) + line).rstrip() for n, line in enumerate(lines))


def _code(node: SyntaxTreeNode) -> str:
    fence = "`" * max(3, _longest_run(node.content) + 1)
    language = re.match(r"[\w+#.-]*", node.info.strip())
    return f"{fence}{language[0] if language else ''}\n{node.content.rstrip()}\n{fence}"


def _table(node: SyntaxTreeNode) -> str:
    rows = [row for part in node.children for row in part.children]
    lines = ["| " + " | ".join(_cell(cell) for cell in row.children) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0].children))
    return "\n".join(lines)


def _cell(node: SyntaxTreeNode) -> str:
    return re.sub(r"(?<!\\)\|", r"\\|", "".join(_inline(child) for child in node.children))


_BLOCKS: Mapping[str, Callable[[SyntaxTreeNode], str]] = {
    "paragraph": _paragraph,
    "heading": _heading,
    "blockquote": _quote,
    "bullet_list": _list,
    "ordered_list": _list,
    "fence": _code,
    "code_block": _code,
    "table": _table,
    "hr": lambda node: "* * *",
}


def _inline(node: SyntaxTreeNode) -> str:
    write = _INLINE.get(node.type)
    return write(node) if write else "".join(_inline(child) for child in node.children)


def _text(node: SyntaxTreeNode) -> str:
    before = node.previous_sibling
    text = _escape_inline(node.content)
    if before is not None and before.type == "citation" and text.startswith(("(", ":")):
        return "\\" + text  # or the citation would become a link or a definition
    return text


def _around(mark: str) -> Callable[[SyntaxTreeNode], str]:
    return lambda node: mark + "".join(_inline(child) for child in node.children) + mark


def _code_span(node: SyntaxTreeNode) -> str:
    ticks = "`" * (_longest_run(node.content) + 1)
    space = " " if node.content.startswith(("`", " ")) or node.content.endswith(("`", " ")) else ""
    return f"{ticks}{space}{node.content}{space}{ticks}"


_INLINE: Mapping[str, Callable[[SyntaxTreeNode], str]] = {
    "text": _text,
    "citation": lambda node: f"[{node.content}]",
    "code_inline": _code_span,
    "strong": _around("**"),
    "em": _around("*"),
    "s": _around("~~"),
    "softbreak": lambda node: "\n",
    "hardbreak": lambda node: "\\\n",
}


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


_SPECIAL = re.compile(
    r"[\\`*\[\]{}~|]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # not inside a word
    r"|(?<=\w):(?=//)|(?<=www)\.",  # bare addresses, which some readers turn into links
    re.IGNORECASE,
)


def _escape_inline(text: str) -> str:
    text = _SPECIAL.sub(r"\\\g<0>", text)
    return re.sub(r"&(?=#?\w+;)", "&amp;", text).replace("<", "&lt;")


def _line_starts(text: str) -> str:
    text = re.sub(r"^([ \t]*)([#>+=-]|:(?=-))", r"\1\\\2", text, flags=re.MULTILINE)
    return re.sub(r"^([ \t]*[0-9]{1,9})([.)])", r"\1\\\2", text, flags=re.MULTILINE)
