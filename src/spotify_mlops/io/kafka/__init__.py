"""The log: the Kafka topic that everything comes from."""

from .admin import Extent, ensure_topic, offsets
from .clients import client_config, ping
from .identity import Watch, append_times, identity
from .journal import Journal
from .publishing import Publisher, event_records, publish, publish_heartbeats
from .reading import read
from .topics import DEAD_LETTER_BYTES, MAX_RECORD_BYTES, Topic, dead_letter_topic, topics

__all__ = [
    "DEAD_LETTER_BYTES",
    "MAX_RECORD_BYTES",
    "Extent",
    "Journal",
    "Publisher",
    "Topic",
    "Watch",
    "append_times",
    "client_config",
    "dead_letter_topic",
    "ensure_topic",
    "event_records",
    "identity",
    "offsets",
    "ping",
    "publish",
    "publish_heartbeats",
    "read",
    "topics",
]
