"""
Every key in Redis, in one place; the Lua scripts get the same prefix and build the same names.

All keys of an account share one prefix and live on one node (Redis Cluster does not work with arq
either).
"""

from typing import Final

from msgspec import Struct

# Has the plain paths (`/webhooks/SOURCE`), and a name in keys all the same, so that a second
# account can be added without moving anything.
DEFAULT_ACCOUNT: Final = "default"


class Keys(Struct, frozen=True):
    """The names of one account's records."""

    account: str = DEFAULT_ACCOUNT

    @property
    def prefix(self) -> str:
        """What every key of the account starts with."""
        return f"bc:{self.account}:"

    @property
    def queue(self) -> str:
        """Sorted set: arq's queue of this account."""
        # Of its own for each account: arq's keys for jobs hold no name of a queue, see `job_id` in
        # `common.lua`, but each worker reads one queue only.
        return f"{self.prefix}queue"

    def message(self, message_id: str) -> str:
        """String: the name of the message's call, a line feed, and the packed message."""
        return f"{self.prefix}m:{message_id}"

    def call(self, ref: str) -> str:
        """Hash: version `v`, packed record `rec`, packed events per message `e:<message id>`."""
        return f"{self.prefix}call:{ref}"

    def pending(self, ref: str) -> str:
        """List: ids of the call's messages that no worker has read yet."""
        return f"{self.prefix}pending:{ref}"

    def link(self, ref: str) -> str:
        """String: the link of a call, as JSON."""
        return f"{self.prefix}link:{ref}"

    def failed_entry(self, entry_id: str) -> str:
        """String: one failed call or message, as JSON."""
        return f"{self.prefix}f:{entry_id}"

    @property
    def alarms(self) -> str:
        """Channel, and no key: a message on it says that a job is due, or is soon."""
        return f"{self.prefix}alarms"

    def named(self, name: str) -> str:
        """
        One of the records that are not a call's own.

        Indexes: inbox, due, failed, unmatched, stalled, links, awaits_names, expected, woken, and
        by the first name of each page ids, ids:NAME, ids_reversed, ids_reversed:NAME.
        Delivery: lane:LANE, lane_cost, turn, keeper, limit, blocked, strikes, allowance, breaker,
        running, worker:ID, maps. The account's: sealed_token, token (of versions
        before), outcomes, counts. The sources': hours:SOURCE, upkeep,
        upkeep_lock:SOURCE, backfill, backfill_lock:SOURCE, backfill_run:SOURCE, ask:SOURCE,
        asked:REF, and `LAST_AT_KEY` of `service.store.source_activity`. By number or entry, see
        `service.store.expected_calls`: expected:ID, expected_for:E164, expected_by:REF,
        expected_rev:E164, unmatched:E164. Of a call that others moved to: moved_to:REF; of one
        whose job meets a bug: broken:REF. The phone
        book, see `service.store.phone_book`: phonebook (batch, times, cursor), phonebook:BUCKET,
        phonebook_lock, phonebook_queue. The console's: console_actions,
        console_ended:SESSION. The dial page's: dial_tokens, dial_log_ins,
        dial_session:DIGEST, dial_calls:ID. Of alerts: alerts, alerts_lease,
        alerts_receiver, alerts_spools. Of figures, see `service.store.figures`: figures,
        outcome_days, unknown_values.
        """
        return f"{self.prefix}{name}"


def name_in(stored: bytes) -> str:
    """
    A name that an index or a hash holds. Bytes that are no text are escaped: what is damaged leads
    nowhere, and must not keep what is beside it from being read.
    """
    return stored.decode(errors="backslashreplace")


def ref_of(source: str, source_call_id: str) -> str:
    """The one name of a call in keys, job ids and on the command line: `twilio:CA...`."""
    return f"{source}:{source_call_id}"


def split_ref(ref: str) -> tuple[str, str]:
    """Source and source call id of a call's name. Raises ValueError if it has no colon."""
    source, colon, source_call_id = ref.partition(":")
    if not (colon and source and source_call_id):
        raise ValueError(f"{ref!r} does not name a call; write SOURCE:CALL_ID, like twilio:CA0123")
    return source, source_call_id
