"""Tables: for a terminal, as Markdown, as HTML."""

import re
from html import escape

# Cells up to this many characters are not broken into lines.
SHORT_CELL = 40


def verdict(ok):
    return {True: "pass", False: "FAIL", None: ""}[ok]


class Table:
    """Rows of text; written as Markdown or HTML."""

    def __init__(self, title, *head):
        self.title, self.head, self.rows = title, head, []

    def add(self, *row):
        self.rows.append([str(cell) for cell in row])

    def markdown(self):
        rows = [self.head, ["---"] * len(self.head), *self.rows]
        cells = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
        return (f"**{self.title}**\n\n" if self.title else "") + cells + "\n"

    def text(self):
        """For a terminal."""
        rows = [self.head, *self.rows]
        widths = [max(len(row[at]) for row in rows) for at in range(len(self.head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        return "\n".join(([self.title] if self.title else []) + lines) + "\n"

    def html(self):
        def cell(text, tag="td"):
            kinds = [text] if text in ("pass", "FAIL") else ["n"] if re.fullmatch(r"[0-9.,]+( ms|/s)?", text) else []
            kinds += ["short"] if len(text) <= SHORT_CELL else []
            return f"<{tag} class='{' '.join(kinds)}'>{escape(text)}</{tag}>"

        rows = ["".join(cell(one, "th") for one in self.head), *("".join(map(cell, row)) for row in self.rows)]
        title = f"<h4>{escape(self.title)}</h4>" if self.title else ""
        return title + "<table>" + "".join(f"<tr>{row}</tr>" for row in rows) + "</table>"
