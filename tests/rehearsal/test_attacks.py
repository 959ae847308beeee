"""
The forged requests that the rehearsal sends.
"""

from service.sources import SOURCES
from tests.rehearsal.attacks import forgeries


def test_forgeries_are_of_all_sources() -> None:
    """Those too whose set-up of an address is forged; none of them ends the rehearsal."""
    slugs = [slug for slug, _ in forgeries(300)]
    assert set(SOURCES) == set(slugs)
