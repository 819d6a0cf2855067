"""The manual page says what the commands say."""

from osdcodec.cli import man_page


def test_the_page_is_that_of_these_commands():
    assert man_page.PAGE.read_text("utf-8") == man_page.page(), "run python -m osdcodec.cli.man_page"


def test_text_is_shown_as_it_stands():
    assert man_page.escaped(".a -b\n'c \\d") == "\\&.a \\-b\n\\&'c \\ed"
