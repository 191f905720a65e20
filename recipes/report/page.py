"""One self-contained HTML page made of sections, and a section made of blocks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

TEMPLATE = "page.html.j2"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Figures:
    """Charts that stand side by side where there is room."""

    charts: tuple["Chart", ...]
    kind: str = "figures"


@dataclass(frozen=True)
class Chart:
    """An inline SVG, made by `charts`, and what to read in it."""

    svg: Markup
    title: str
    caption: str


@dataclass(frozen=True)
class Cell:
    """A table cell; `marks` are (text, good) pieces, shown one after the other."""

    text: str = ""
    marks: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Table:
    """Rows of cells under headers; the first column holds names."""

    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str
    kind: str = "table"


@dataclass(frozen=True)
class Code:
    """Text to copy, folded away under a title."""

    title: str
    text: str
    kind: str = "code"


@dataclass(frozen=True)
class Fragment:
    """HTML with its own style, made and escaped by who hands it over, folded away under a title."""

    title: str
    html: Markup
    kind: str = "fragment"


Block = Text | Figures | Table | Code | Fragment


@dataclass(frozen=True)
class Section:
    """One subject of the page."""

    title: str
    lead: str
    blocks: tuple[Block, ...] = field(default=())


def render(title: str, sections: Iterable[Section]) -> str:
    """The page as text; everything but the charts is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(title=title, sections=list(sections))


def write_page(file: Path, title: str, sections: Iterable[Section]) -> None:
    """Write the page, and its folder if it is not there."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(render(title, sections), encoding="utf-8")
