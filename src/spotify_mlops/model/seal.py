"""Seals: proof that what is read back from a folder was written with this state's secret.

An HMAC-SHA-256 (RFC 2104) of a record's JSON. It tells what somebody else put or changed there
from what the owner's processes wrote; a hash alone, which anyone can compute, does not. In a
bucket there is no seal: there its permissions say who writes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

from ..config.errors import IntegrityError
from ..io.local import secret

FIELD = "seal"


def sealed(kind: str, record: dict[str, Any]) -> dict[str, Any]:
    """Return the record with its seal.

    Args:
        kind: of record, so that one kind does not pass for another.
        record: plain JSON values.

    Raises:
        UserError: the secret of the state directory cannot be read or made.
    """
    return record | {FIELD: _of(kind, record)}


def checked(kind: str, record: dict[str, Any], refusal: str) -> dict[str, Any]:
    """Return a sealed record without its seal.

    Args:
        kind: as it was sealed.
        record: as it was read.
        refusal: the message of the error: what is not right, and what to do.

    Raises:
        IntegrityError: there is no seal, or it is not this record's with this state's secret.
    """
    content = {name: value for name, value in record.items() if name != FIELD}
    if not hmac.compare_digest(str(record.get(FIELD)).encode(), _of(kind, content).encode()):
        raise IntegrityError(refusal)
    return content


def _of(kind: str, record: dict[str, Any]) -> str:
    text = json.dumps([kind, record], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hmac.new(secret.key("seal").encode(), text.encode(), hashlib.sha256).hexdigest()
