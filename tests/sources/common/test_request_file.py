"""
Request files: what is read, and how the error of a wrong one names the fault.
"""

import json

import pytest

from service.errors import MalformedPayload
from service.sources.common.request_file import read_request

BASE_URL = "https://hooks.example.test/"


def test_form_is_encoded_with_repeats_and_its_type_is_set() -> None:
    """
    `body_form` becomes a form; a list is a repeated name; other names in the file are ignored.
    """
    text = json.dumps(
        {
            "method": "post",
            "path": "/webhooks/twilio",
            "query": {"buildr_call_id": "110", "x": ["1", "2"]},
            "headers": {"X-One": "1", "x-two": ["a", "b"]},
            "body_form": {"To": "+1 é", "Empty": "", "Twice": ["a", "b"], "Number": 7},
            "title": "ignored",
        }
    )
    request = read_request(text, base_url=BASE_URL)
    assert request.method == "POST"
    assert request.url == "https://hooks.example.test/webhooks/twilio?buildr_call_id=110&x=1&x=2"
    assert request.headers == {
        "x-one": ("1",),
        "x-two": ("a", "b"),
        "content-type": ("application/x-www-form-urlencoded",),
    }
    assert request.body == b"To=%2B1+%C3%A9&Empty=&Twice=a&Twice=b&Number=7"


def test_json_keeps_its_text() -> None:
    """`body_json` becomes compact JSON in UTF-8."""
    request = read_request(
        '{"path": "/x?a=1", "query": {"b": "2"}, "body_json": {"a": 1, "b": "é"}}',
        base_url=BASE_URL,
    )
    assert request.body == '{"a":1,"b":"é"}'.encode()
    assert request.url == "https://hooks.example.test/x?a=1&b=2"
    assert request.content_type == "application/json"


def test_raw_body_is_taken_as_it_is() -> None:
    """`body` is sent unchanged, and its type is set in the file."""
    request = read_request(
        '{"body": "a=1&b", "headers": {"Content-Type": "text/plain; charset=utf-8"}}',
        base_url=BASE_URL,
    )
    assert (b"a=1&b", "text/plain") == (request.body, request.content_type)


def test_what_is_left_out_has_a_default() -> None:
    """An empty file is a POST without body to the default path."""
    request = read_request(b"{}", base_url=BASE_URL, default_path="/webhooks/twilio")
    assert ("POST", "https://hooks.example.test/webhooks/twilio", b"", {}) == (
        request.method,
        request.url,
        request.body,
        request.headers,
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not JSON"),
        ("[]", "one JSON object"),
        ('{"path": 1}', "path must be a text"),
        ('{"path": "https://x.test/y"}', "path must start with /"),
        ('{"path": "/a b"}', "without host, blanks"),
        ('{"path": "/a#rc=5"}', "#"),
        ('{"path": "/é"}', "as in a URL"),
        ('{"method": ["POST"]}', "method must be a text"),
        ('{"query": "a=1"}', "query must be an object"),
        ('{"query": {"a": {"b": 1}}}', "query.a must be"),
        ('{"headers": ["a"]}', "headers must be an object"),
        ('{"headers": {"a": true}}', "headers.a must be"),
        ('{"body": {"a": 1}}', "body_json"),
        ('{"body_form": "a=1"}', "body_form must be an object"),
        ('{"body": "a", "body_json": {}}', "one body"),
        ('{"body": "a", "body": "b"}', "twice"),
        ('{"body": "\\ud83d"}', "UTF-8"),
        ('{"body": "\udcff"}', "UTF-8"),
    ],
)
def test_fault_is_named(text: str, fault: str) -> None:
    """A file of the wrong shape is refused with the part that is wrong."""
    with pytest.raises(MalformedPayload, match=fault):
        read_request(text, base_url=BASE_URL)
