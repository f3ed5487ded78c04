"""Tables of text: what is written is what programs read."""

from __future__ import annotations

import csv
import io

import pandas
from hypothesis import given
from hypothesis import strategies as st

from insula.io.cells import cell_text, table_text


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_csv_and_pandas_read_the_cells_that_were_written(pairs: list[tuple[str, str]]) -> None:
    text = table_text(("a", "b"), [{"a": f"x{a}", "b": f"y{b}", "unused": 1} for a, b in pairs])
    wanted = [{"a": cell_text(f"x{a}"), "b": cell_text(f"y{b}")} for a, b in pairs]
    assert list(csv.DictReader(io.StringIO(text), delimiter="\t")) == wanted
    table = pandas.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False)
    assert table.to_dict("records") == wanted


def test_what_is_missing_is_empty_and_lines_and_quotes_are_tamed() -> None:
    assert table_text(("a", "b"), [{"a": None}]) == "a\tb\n\t\n"
    assert cell_text(' one\n"two"\t3 ') == "one 'two' 3"
    assert cell_text(cell_text('a  "b"')) == cell_text('a  "b"')
