"""
What lies in Redis, made small: raw deflate with a dictionary of the words that our records and the
vendors' messages are made of.

A packed text is a byte that names its form, the checksum of the text, and the deflated text. What
begins with no such byte was never packed and is read as it is.

Deflate may hold a text as it is, in a block that is only stored. What a receiver keeps is framed
so, and made small by the worker that reads it: see docs/decisions/0070-packed-by-workers.md.
"""

import zlib
from typing import Final

from service.errors import MalformedPayload

# Names the dictionary too. Once this program is released a dictionary is never changed: better
# words are a form of their own.
FORM: Final = 1
# A text begins with none of these, be it JSON or a word.
FORMS: Final = range(9)
# The byte of the form, and four of the checksum.
HEAD_LENGTH: Final = 5
# The byte before a block of deflate that is the last one and only stored, and how long that may be.
STORED: Final = b"\x01"
MOST_STORED: Final = 0xFFFF
# A window of 8 KB and small tables: everything here is small, and setting up larger ones would take
# longer than the work itself.
WINDOW_BITS: Final = 13
MEMORY_LEVEL: Final = 6
# For a sender that waits: a third of the time, and a tenth larger. All of the tables are copied for
# each text, so that smaller ones take half the time.
FAST_LEVEL: Final = 3
FAST_MEMORY_LEVEL: Final = 4
LEVEL: Final = 6

# The likeliest words come last, since a word that is nearer has a shorter name. All of it must fit
# into the window.
DICTIONARY: Final = b"".join(
    (
        # CallRail
        b'{"resource_id":"CAL","answered":true,"voicemail":false,"duration":"",',
        b'"formatted_duration":"0m 0s","start_time":"2026-",',
        b'"timestamp":""created_at":"","company_id":"","company_resource_id":"COM",',
        b'"company_name":"",',
        b'"company_time_zone":"America/New_York","customer_name":""customer_phone_number":"+1",',
        b'"formatted_customer_phone_number":"",',
        b'"customer_city":"","customer_state":"","customer_country":"US",',
        b'"tracking_phone_number":"+1",',
        b'"formatted_tracking_phone_number":"","business_phone_number":"+1","tracker_id":"",',
        b'"tracker_resource_id":"TRK"recording":"https:/',
        b'/app.callrail.com/calls/","recording_player":"","recording_redirect":"",',
        b'"recording_duration":"",',
        b'"transcription":"call_type":"abandoned","lead_status":"good_lead",',
        b'"landing_page_url":"","source_name":"","first_call":true,',
        b'"agent_email":"","tags":[],"person_resource_id":"PER","keywords":null,',
        b'"referrer_domain":"","utm_source":null,"value":null,',
        b'"note":"","direction":"inbound"',
        # Plivo
        b"&ParentAuthID=&RequestUUID=&ALegUUID=&ALegRequestUUID=&DialAction=answer",
        b"&DialStatus=completed&DialALegUUID=&DialBLegUUID=",
        b"&DialBLegStatus=&DialBLegDuration=&DialBLegHangupCauseCode=&DialBLegHangupCauseName=",
        b"&Event=MachineDetection&Machine=true",
        b"&RecordUrl=https%3A%2F%2F&RecordingID=&HangupCause=NORMAL_CLEARING",
        b"&HangupCauseCode=4000&HangupCauseName=Normal+Hangup",
        b"&HangupSource=Callee&SessionStart=2026-&STIRVerification=AnswerTime=2026-",
        b"&BillDuration=60&BillRate=0.&CallStatus=completed",
        b"&CallUUID=&CallerName=&Direction=outbound&Duration=&EndTime=2026-&Event=Hangup&From=1",
        b"&StartTime=2026-&To=1&TotalCost=0.00000",
        # Records
        b'"attempts":1,"unauthorized":1,"first_failed_at":"2026-","retry_at":"2026-",',
        b'"answers":[{"at":"2026-",',
        b'"cause":"buildr_unavailable","status_code":503,"text":"","note_block":"",',
        b'"mark":{"lane":"replay","at":"2026-","is_forced":true},',
        b'"reason":"Buildr holds Connected","what":"left alone","detail":"","what":"delivered",',
        b'"what":"patched","detail":"call : ',
        b'Connected (call_outcome_id, recorded_at)","what":"unmatched","detail":"No message and ',
        b"no link names a Buildr call. Look its id ",
        b'up in Buildr and set a link: buildr-calls links set "state":"delivered",',
        b'"state":"left_alone","state":"settling",',
        b'"state":"retrying","state":"hand_edited","state":"failed","state":"stalled",',
        b'"outcome":"No Answer","rule":"outcomes.no_answer",',
        b'"outcome":"Left Voicemail","rule":"outcomes.left_voicemail","outcome":"Busy",',
        b'"rule":"default.busy","result":"invalid_number",',
        b'"missed_inbound","voicemail_received","cancelled","rejected","abandoned",',
        b'"rule":"default.no_answer",',
        b'"written":{"call_outcome_id":"78","recorded_at":"2026-"},"written_to":"",',
        b'"written_at":"2026-","state":"unmatched",',
        b'"reason":"{"ref":"standard:{"ref":"twilio:CA","state":"waiting","reason":"waits for ',
        b"its turn within Buildr's rate limit\",",
        b'"first_received_at":"2026-","last_received_at":"2026-","message_id":"m",',
        b'"unsettled_since":"2027-","buildr_call_id":"",',
        b'"result":"connected","outcome":"Connected","rule":"default.connected",',
        b'"due_at":"2026-","history":[{"at":"2026-",',
        b'"what":"received","detail":"call.created (m","what":"received","detail":"call.ringing ',
        b'(m","what":"received",',
        b'"detail":"call.answered (m","what":"received","detail":"call.answered_by (m",',
        b'"what":"received","detail":"call.ended (m",',
        b'"what":"received","detail":"initiated (m","what":"received","detail":"ringing (m",',
        b'"what":"received","detail":"in-progress (m",',
        b'"what":"received","detail":"human (m","what":"received","detail":"completed (m)"},',
        b'{"at":"2026-","what":"result",',
        b'"detail":"connected"},{"at":"2026-","what":"matched","detail":"The message itself ',
        b'names Buildr call ."},{"at":"2026-",',
        b'"what":"waits for its turn","detail":"in the lane final"}]}',
        # Events
        b'{"v":1,"events":[{"source":"standard","message_id":"m","source_call_id":"",',
        b'"leg_id":"","event_type":"updated",',
        b'"parent_leg_id":"CA","occurred_at":"2026-","sequence":0,"direction":"inbound",',
        b'"party":"agent","from_number":"+44",',
        b'"to_number":"+49","duration_s":1,"answered_by":"machine","hangup_cause":"no_answer",',
        b'"result":"no_answer",',
        b'"recording":{"recording_id":"RE","url":"https://","duration_s":0},',
        b'"voicemail":{"url":"https://","transcript":"","agent":"",',
        b'"disposition":"","tags":[""],"note":"","answered_by":"human","buildr_call_id":"",',
        b'"word":"human"}]}"event_type":"created",',
        b'"occurred_at":"2026-","buildr_call_id":"","word":"initiated"}]}"event_type":"answered",',
        b'"word":"in-progress"}]}"event_type":"answered_by"{"v":1,"events":[{"source":"twilio",',
        b'"message_id":"m","source_call_id":"CA",',
        b'"leg_id":"CA","event_type":"ended","occurred_at":"2026-","sequence":4,',
        b'"direction":"outbound","party":"customer",',
        b'"from_number":"+1","to_number":"+1","duration_s":,"hangup_cause":"completed",',
        b'"buildr_call_id":"",',
        b'"word":"completed"}]}"event_type":"ringing","word":"ringing"}]}',
        # Messages of the standard source
        b'{"source":"standard","source_call_id":"","received_at":"2026-","method":"POST",',
        b'"url":"https:///webhooks/standard",',
        b'"headers":{"content-type":["application/json"],"webhook-id":["msg_"]}}\n{"version": ',
        b'"1", "type": "call.ended", "call_id": "", ',
        b'"occurred_at": "2026-", "direction": "inbound", "from": "+1", "to": "+1", "sequence": ',
        b'3, "hangup_cause": "completed", ',
        b'"duration_s": 1, "buildr_call_id": "", "answered_by": "human", "agent": "", "note": ',
        b'"", "leg_id": "", "parent_leg_id": "", ',
        b'"party": "customer", "recording": {"url": "https://", "direction": "outbound", ',
        b'"result": "no_answer", "type": ',
        b'"call.created"}"type": "call.ringing"}"type": "call.answered"}"type": "call.answered_by"',
        # Twilio
        b"&ParentCallSid=CA&RecordingSid=RE&RecordingUrl=https%3A%2F%2Fapi.twilio.com%2F2010-04-",
        b"01%2FAccounts%2FAC%2FRecordings%2FRE",
        b"&RecordingStatus=completed&RecordingDuration=1&RecordingChannels=1",
        b"&RecordingSource=DialVerb&RecordingStartTime=",
        b"&RecordingTrack=both&DialCallStatus=no-answer&DialCallSid=CA&DialCallDuration=1",
        b"&StirVerstat=TN-Validation-Passed-A",
        b"&Direction=inbound&Direction=outbound-dial&CallStatus=no-answer&CallStatus=busy",
        b"&CallStatus=failed&CallStatus=canceled",
        b"&SipResponseCode=486&CallStatus=in-progress&CallStatus=initiated&CallStatus=ringing",
        b"&MachineDetectionDuration=",
        b"&AnsweredBy=machine_end_beep&AnsweredBy=humanSun%2C+Sat%2C+Fri%2C+Thu%2C+Wed%2C+Tue%2C",
        b"+Mon%2C++Jan+2027+Feb+Mar+Apr+May+Jun+Jul+",
        b'Aug+Sep+Oct+Dec+2026+{"source":"twilio","source_call_id":"CA","received_at":"2026-",',
        b'"method":"POST",',
        b'"url":"https:///webhooks/twilio?buildr_call_id=",',
        b'"headers":{"content-type":["application/x-www-form-urlencoded; ',
        b'charset=UTF-8"]}}\nCalled=%2B1&ToState=CA&CallerCountry=US&Direction=outbound-api',
        b"&Timestamp=Mon%2C+02+Nov+2026+10%3A00%3A00+%2B0",
        b"000&CallbackSource=call-progress-events&SipResponseCode=200&CallerState=&ToZip=",
        b"&SequenceNumber=0&CallSid=CA&To=%2B1&CallerZip=",
        b"&ToCountry=US&CalledZip=&ApiVersion=2010-04-01&CalledCity=&CallStatus=completed",
        b"&Duration=1&From=%2B1&CallDuration=1",
        b"&AccountSid=AC&CalledCountry=US&CallerCity=&ToCity=&FromCountry=US&Caller=%2B1",
        b"&FromCity=&CalledState=&FromZip=&FromState=",
    )
)

# Only ever copied: taking the words in anew for each text would take longer than the rest.
_FRESH: Final = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW_BITS, MEMORY_LEVEL, zdict=DICTIONARY)
_FRESH_AND_FAST: Final = zlib.compressobj(
    FAST_LEVEL, zlib.DEFLATED, -WINDOW_BITS, FAST_MEMORY_LEVEL, zdict=DICTIONARY
)


def compress(text: bytes, *, context: bytes = b"", is_fast: bool = False) -> bytes:
    """
    A text made small; the inverse of `decompress`, which has to be given the same `context`.

    `context` is what the reader knows already, such as the ids in the key: what the text repeats of
    it takes hardly any room.
    """
    fresh = _FRESH
    if is_fast:
        fresh = _FRESH_AND_FAST
    compressor = fresh.copy()
    if context:
        # Deflated for the window's sake only; the reader puts it there by itself.
        compressor.compress(context)
        compressor.flush(zlib.Z_SYNC_FLUSH)
    return b"".join(
        (
            bytes((FORM,)),
            zlib.crc32(text).to_bytes(4, "big"),
            compressor.compress(text),
            compressor.flush(),
        )
    )


def frame(text: bytes) -> bytes:
    """
    A text in the form that `decompress` reads, as it is; made small if it is longer than
    `MOST_STORED`.
    """
    length = len(text)
    if length > MOST_STORED:
        return compress(text, is_fast=True)
    return b"".join(
        (
            bytes((FORM,)),
            zlib.crc32(text).to_bytes(4, "big"),
            STORED,
            length.to_bytes(2, "little"),
            (length ^ MOST_STORED).to_bytes(2, "little"),
            text,
        )
    )


def is_framed(packed: bytes) -> bool:
    """Whether a packed text is there as it is."""
    return packed[:1] == bytes((FORM,)) and packed[HEAD_LENGTH : HEAD_LENGTH + 1] == STORED


def make_small(packed: bytes) -> bytes:
    """
    A framed text made small; whatever else is packed stays as it is. Raises `MalformedPayload`.
    """
    if not is_framed(packed):
        return packed
    return compress(decompress(packed), is_fast=True)


def decompress(packed: bytes, *, context: bytes = b"") -> bytes:
    """
    The text that was packed, or the bytes as they are if they never were.

    Raises `MalformedPayload` if they are damaged or were written by a newer version.
    """
    if not packed or packed[0] not in FORMS:
        return packed
    if packed[0] != FORM:
        raise MalformedPayload(
            f"stored data has form {packed[0]}, this program knows form {FORM}: "
            "upgrade the workers first"
        )
    # Raw deflate has no header and no checksum of its own, which saves six bytes per text. So
    # damage shows only by the checksum beside it.
    inflater = zlib.decompressobj(-WINDOW_BITS, zdict=DICTIONARY + context)
    try:
        text = inflater.decompress(packed[HEAD_LENGTH:])
    except zlib.error as err:
        raise MalformedPayload(
            "stored data is damaged and cannot be unpacked: restore Redis from a backup"
        ) from err
    if (
        # `decompress` returns what it has, without an error, if the end of the text is missing.
        not inflater.eof
        or inflater.unused_data
        or zlib.crc32(text).to_bytes(4, "big") != packed[1:HEAD_LENGTH]
    ):
        raise MalformedPayload(
            "stored data is damaged, its checksum is wrong: restore Redis from a backup"
        )
    return text
