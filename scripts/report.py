"""What is told twice, on the console and in a report of one file: chapters of words, tables and pictures."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape

from rich import box
from rich.console import Console
from rich.markup import escape as plain
from rich.table import Table

# Characters of a line of words on the console.
TEXT_WIDTH = 116

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", Roboto, sans-serif; color: #1b2330;
  background: #f4f6f8; margin: 0; }
main { max-width: 1120px; margin: 0 auto; padding: 2rem 2rem 4rem; background: #fff; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.4rem; margin: 3rem 0 .6rem; padding-top: .8rem; border-top: 3px solid #0072b2; }
p { max-width: 46rem; margin: .5rem 0; }
.lead { font-size: 1.08rem; color: #3c4858; }
nav { margin: 1rem 0; } nav a { color: #005a8c; margin-right: 1.4rem; }
.facts { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; padding: 0; list-style: none; }
.facts li { flex: 1 1 12rem; border: 1px solid #d4dae1; border-radius: 8px; padding: .7rem 1rem; font-size: .9rem; }
.facts b { display: block; font-size: 1.45rem; color: #005a8c; }
figure { margin: 1.8rem 0; } figure img { width: 100%; height: auto; }
figcaption, .note { font-size: .9rem; color: #4a5666; max-width: 56rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .84rem; font-variant-numeric: tabular-nums; min-width: 36rem; }
caption { text-align: left; font-weight: 600; font-size: 1rem; padding: 1.4rem 0 .4rem; }
th { text-align: left; vertical-align: bottom; border-bottom: 2px solid #1b2330; padding: .25rem .55rem; }
th small, td small { display: block; font-weight: 400; color: #4a5666; }
td { border-bottom: 1px solid #e1e6eb; padding: .25rem .55rem; vertical-align: top; }
.r { text-align: right; white-space: nowrap; } tr.strong td { font-weight: 600; background: #eef4f9; }
@media print { main { padding: 0; } h2 { break-after: avoid; } figure, table { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Sheet:
    """A table. A line break in a heading stands before its unit, one in a cell before an explanation.

    `align` has `l` or `r` for each column; rows whose index is in `strong` stand out.
    """

    title: str
    columns: tuple[str, ...]
    align: str
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Picture:
    """A picture for the report: PNG, what it shows in a few words, and what to see in it."""

    png: bytes
    title: str
    caption: str


@dataclass(frozen=True)
class Chapter:
    """A heading and what stands under it, in order; a text is a paragraph."""

    title: str
    parts: Sequence[str | Sheet | Picture]


# ------------------------------------------------------------------------------------------------ figures


def usd(amount: float) -> str:
    """Whole dollars."""
    return f"{round(amount):,}"


def cents(amount: float) -> str:
    """Dollars and cents; adding nothing turns a negative zero into a plain one."""
    return f"{round(amount, 2) + 0.0:,.2f}"


def tiny(amount: float) -> str:
    """A difference between contract and model."""
    return f"{amount:.1e}"


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100 * share:.0f}%"


def saving(part: float, whole: float) -> str:
    """By how much a part is less than the whole; a dash where there is nothing to save."""
    return percent(1 - part / whole) if whole >= 1.0 else "–"


def utc(seconds: int) -> str:
    """A moment, `2 Feb 15:45`."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment.day} {moment:%b %H:%M}"


# ------------------------------------------------------------------------------------------------ on the console


def table(sheet: Sheet) -> Table:
    """A table for the console."""
    result = Table(title=plain(sheet.title), title_justify="left", title_style="bold")
    # Two spaces between columns.
    result.box, result.padding, result.pad_edge = box.SIMPLE_HEAD, (0, 1, 0, 0), False
    for heading, align in zip(sheet.columns, sheet.align, strict=True):
        right = align == "r"
        result.add_column(plain(heading), justify="right" if right else "left", no_wrap=right)
    for i, row in enumerate(sheet.rows):
        result.add_row(*(plain(cell) for cell in row), style="bold" if i in sheet.strong else None)
    return result


def tell(console: Console, chapter: Chapter) -> None:
    """Print a chapter, but for its pictures."""
    console.print()
    console.rule(f"[bold]{plain(chapter.title)}", align="left")
    for part in chapter.parts:
        if isinstance(part, str):
            console.print(plain(part), highlight=False, width=TEXT_WIDTH)
        elif isinstance(part, Sheet):
            console.print()
            console.print(table(part))
            if part.note:
                console.print(f"[dim]{plain(part.note)}", highlight=False, width=TEXT_WIDTH)


# ------------------------------------------------------------------------------------------------ in one file


def cell(text: str, tag: str, align: str) -> str:
    """A cell; what follows a line break is small."""
    first, _, rest = text.partition("\n")
    small = f"<small>{escape(rest)}</small>" if rest else ""
    return f"<{tag}{' class=r' if align == 'r' else ''}>{escape(first)}{small}</{tag}>"


def html_table(sheet: Sheet) -> str:
    """A table for the report."""
    head = "".join(cell(text, "th", align) for text, align in zip(sheet.columns, sheet.align, strict=True))
    body = ""
    for i, row in enumerate(sheet.rows):
        cells = "".join(cell(text, "td", align) for text, align in zip(row, sheet.align, strict=True))
        body += f"<tr{' class=strong' if i in sheet.strong else ''}>{cells}</tr>\n"
    note = f'<p class="note">{escape(sheet.note)}</p>' if sheet.note else ""
    return (
        f'<div class="scroll"><table><caption>{escape(sheet.title)}</caption>'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table></div>{note}\n"
    )


def html_picture(picture: Picture) -> str:
    """A picture inside the page."""
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f'<figure><img alt="{escape(picture.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption><b>{escape(picture.title)}.</b> {escape(picture.caption)}</figcaption></figure>\n"
    )


def page(title: str, lead: str, facts: Sequence[tuple[str, str]], chapters: Sequence[Chapter]) -> str:
    """The whole report: one file that needs no other.

    Parameters
    ----------
    title, lead : str
    facts : sequence of (figure, what it is), for a first look
    chapters : sequence of Chapter
    """
    links = "".join(f'<a href="#c{i}">{escape(c.title)}</a>' for i, c in enumerate(chapters))
    boxes = "".join(f"<li><b>{escape(figure)}</b>{escape(what)}</li>" for figure, what in facts)
    body = ""
    for i, chapter in enumerate(chapters):
        body += f'<h2 id="c{i}">{escape(chapter.title)}</h2>\n'
        for part in chapter.parts:
            if isinstance(part, str):
                body += f"<p>{escape(part)}</p>\n"
            else:
                body += html_table(part) if isinstance(part, Sheet) else html_picture(part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body><main><h1>{escape(title)}</h1><p class=lead>{escape(lead)}</p>"
        f"<nav>{links}</nav><ul class=facts>{boxes}</ul>\n{body}</main></body></html>\n"
    )
