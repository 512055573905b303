"""The chapter that the demo can tell without any data, and the words of the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from python_model import history, methodology
from python_model.volatility import Terms
from scripts import chapter_volatility
from scripts.chapter_volatility import points_an_hour
from scripts.range_on_chain import Course
from scripts.replay_chapters import fall_words
from scripts.report import Picture, Sheet, page

HOUSE = methodology.load("house")
PNG = b"\x89PNG\r\n"


def test_the_chapter_of_the_demo_needs_no_data():
    week = history.read_week()
    seen = np.linspace(0.16, 0.40, 169)
    course = Course(replace(week.series, name="ETH"), np.arange(169), seen, seen + 1e-13, 6, 61_456.0)
    chapter = chapter_volatility.chapter("A title", HOUSE, course)
    sheets = [part for part in chapter.parts if isinstance(part, Sheet)]
    (picture,) = (part for part in chapter.parts if isinstance(part, Picture))
    assert picture.png.startswith(PNG)
    hours, rises, chained = sheets
    assert len(hours.rows) == 15 and hours.rows[0][0] == "9 Mar 2020 02:00"
    ranges = [row[5] for row in hours.rows]
    assert ranges[0] == "16.3%" and ranges[-1] == "40.0%"
    assert rises.rows[0][2:6] == ("20.5%", "40.0%", "19.5 points", "13 Mar 2020 07:00")
    assert chained.rows == [("ETH", "9 Mar 2020 – 16 Mar 2020", "175", "6", "16.0%", "40.0%", "3.4", "1e-13", "61,456")]
    for sheet in sheets:
        assert all(len(row) == len(sheet.columns) == len(sheet.align) for row in sheet.rows)
    text = page("t", "l", [], [chapter])
    assert "<h2" in text and "fell by 48% in 24 hours" in text


def test_rates_in_words():
    terms = Terms()
    assert [points_an_hour(x) for x in (terms.rise, terms.fall, float("inf"))] == [
        "1 point an hour",
        "0.25 points an hour",
        "at once",
    ]


def test_what_is_said_of_the_fall_is_what_happens():
    # The half-life of the default forgets 0.19 points an hour of 40%; one of a day 0.58.
    assert "0.193 points an hour at most" in fall_words(Terms()) and "felt only after" in fall_words(Terms())
    assert "holds the range above its target" in fall_words(Terms(halflife=86_400.0))
