"""
The registry: what it says of sources that it has not loaded.
"""

from service.sources import SETTING_NAMES, SETTINGS, SOURCES


def test_the_table_names_the_settings_of_each_source() -> None:
    """In their order; each is found by its name."""
    declared = {
        slug: tuple(setting.name for setting in source.settings) for slug, source in SOURCES.items()
    }
    assert declared == SETTING_NAMES
    assert list(SETTINGS) == [setting.name for setting in SETTINGS.values()]
    assert (len(SOURCES), len(SETTINGS)) == (len(declared), sum(map(len, declared.values())))


def test_a_source_is_made_once() -> None:
    """By its slug; there is none of another name."""
    SOURCES.load_all()
    assert SOURCES["twilio"] is SOURCES["twilio"]
    assert (SOURCES.get("fax"), SETTINGS.get("fax_secret")) == (None, None)
