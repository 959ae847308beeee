"""
A URL whose query was signed in another order than that in which it was requested.

Twilio signs a callback's URL as it was configured, and may request it with the parameters sorted:
https://github.com/twilio/twilio-php/issues/790, https://github.com/twilio/twilio-node/issues/1079.

URL and form are signed without a border between them. A request in another order therefore counts
only where the form begins with the field that Twilio sends first, and no parameter contains its
name: then nobody can move the border, and all accepted forms of a message are one message.
"""

import itertools
from collections.abc import Iterator
from typing import Final

# The first of all fields in the order of the signature; every request has it.
FIRST_FIELD: Final = "AccountSid"
# 24 orders.
MOST_PARAMETERS: Final = 4
# Characters of a form; Twilio's are shorter. Bounds what a forged request costs.
LONGEST_FORM: Final = 4096


def other_orders(url: str, form_text: str) -> Iterator[str]:
    """
    The URL with its query parameters in every other order, at most 23; none where `form_text`,
    which is signed behind it, does not show for certain where the URL ends.
    """
    address, separator, query = url.partition("?")
    is_certain = form_text.startswith(FIRST_FIELD) and FIRST_FIELD not in url and "#" not in url
    if not is_certain or len(form_text) > LONGEST_FORM:
        return
    parameters = query.split("&")
    if len(parameters) > MOST_PARAMETERS:
        return
    orders = ("&".join(order) for order in itertools.permutations(parameters))
    for other_query in dict.fromkeys(orders):
        if other_query != query:
            yield f"{address}{separator}{other_query}"


def in_one_order(signed_text: str) -> str:
    """
    A signed text of which every order of the parameters is the same text, wherever the border
    between URL and form was drawn.
    """
    head, first_field, fields = signed_text.partition(FIRST_FIELD)
    address, separator, query = head.partition("?")
    parameters = query.split("&")
    if not first_field or not 1 < len(parameters) <= MOST_PARAMETERS:
        return signed_text
    return f"{address}{separator}{'&'.join(sorted(parameters))}{first_field}{fields}"
