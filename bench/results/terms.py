"""The vocabulary of result records: status of a number, state of confirmation, reasons and flags."""

from __future__ import annotations

from enum import StrEnum

FIT_PROMPT_SOURCE = "slide"
"""Prompt source of training, of records that do not state it."""


class Status(StrEnum):
    """How a planned number ended."""

    OK = "ok"
    ERROR = "error"
    """An exception was raised: the reason names it."""
    SKIPPED = "skipped"
    """Data or weights are missing, or there is nothing to measure."""
    NOT_COMPARABLE = "not-comparable"
    """Withdrawn, or of another protocol than the numbers around it."""


class State(StrEnum):
    """How far a record is confirmed."""

    REPORTED = "reported"
    MEASURED = "measured"
    REPRODUCED = "reproduced"
    VERIFIED = "verified"


class FitOrigin(StrEnum):
    """Where the weights behind a number come from: `fit["origin"]` of a record."""

    NONE = "none"
    """No training of a generator has a part in the number."""
    SHIPPED = "shipped"
    GIVEN = "given"
    """Read from a file of weights that the user named."""
    TRAINED = "trained"


class Reason(StrEnum):
    """First words of the reasons why there is no number, or no interval."""

    MISSING = "missing"
    GATED = "gated"
    DAMAGED = "damaged"
    CORRUPT = "corrupt"
    UNDERPOWERED = "underpowered"
    SOURCES_UNKNOWN = "sources-unknown"
    INVALID = "invalid"
    INVALIDATED = "invalidated"

    def begins(self, reason: str) -> bool:
        """Whether a record's reason is of this kind."""
        return reason == self or reason.startswith(f"{self}:")


ABSENT = (Reason.MISSING, Reason.GATED, Reason.DAMAGED)
"""Reasons that more data or weights would remove."""


class Flag(StrEnum):
    """What a record's `flags` may hold."""

    ENCODER_CONFLICT = "encoder-conflict"
    """The generator or the data was conditioned or shaped by this encoder."""
    EMBEDDED = "embedded"
    """Procedural data."""
    SOURCES_UNKNOWN = "sources-unknown"
    """Nothing tells which images are of one slide, so that there is no interval."""
    UNDERPOWERED = "underpowered"
    """Too few slides or patches for a number or its interval."""
    NOT_COMPARABLE = "not-comparable"
    """Of a reported number: of other tissues or data sets than ours."""
