"""Wire between the daemon and a worker process: frames over pipes.

Rule: nothing that comes from a worker is ever executed or unpickled, and no frame is longer than a bound; the worker runs anybody's code.
"""

import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from daemon.core.model import VOLUME, Slice, TargetWeights, epoch_ms, from_epoch_ms

Header = Mapping[str, Any]

# An answer about 1000 symbols with ten signals each is half a megabyte.
ANSWER_MAX: Final = 16_000_000
# Symbol-bars in one frame of history: 50 bytes each.
HISTORY_CHUNK: Final = 100_000

_SIZES: Final = struct.Struct("<II")
PREFIX: Final = _SIZES.size


class WireError(Exception):
    """What came is no frame."""


def frame(header: Header, body: bytes = b"") -> bytes:
    """A JSON header and raw bytes, each with its length before both."""
    text = json.dumps(header).encode()
    return _SIZES.pack(len(text), len(body)) + text + body


def sizes(prefix: bytes) -> tuple[int, int]:
    """Lengths of header and body, as the prefix of a frame says."""
    header, body = _SIZES.unpack(prefix)
    return header, body


def parsed(text: bytes) -> Header:
    """The header of a frame.

    Raises:
        WireError: it is no JSON object.
    """
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise WireError("what the worker sent is not JSON") from None
    if not isinstance(header, dict):
        raise WireError("what the worker sent is not an answer")
    return header


def pack(slices: Sequence[Slice]) -> tuple[list[int], bytes]:
    """Close times (ms) and the arrays of slices of the same symbols."""
    panels = np.stack([each.panel for each in slices])
    synthetic = np.stack([each.synthetic for each in slices])
    ages = np.stack([each.age for each in slices])
    suspects = np.stack([np.zeros_like(each.synthetic) if each.suspect is None else each.suspect for each in slices])
    arrays = (panels, synthetic, suspects, ages)
    return [epoch_ms(each.closes_at) for each in slices], b"".join(array.tobytes() for array in arrays)


def unpack(closes: Sequence[int], body: bytes, symbols: tuple[str, ...]) -> list[Slice]:
    """The inverse of `pack`, bit for bit. Each slice has arrays of its own, which hold nothing of the next."""
    times, width = len(closes), len(symbols)
    cells = times * width
    prices = cells * (VOLUME + 1) * 8
    panels = np.frombuffer(body, np.float64, cells * (VOLUME + 1)).reshape(times, VOLUME + 1, width)
    synthetic = np.frombuffer(body, np.bool_, cells, prices).reshape(times, width)
    suspects = np.frombuffer(body, np.bool_, cells, prices + cells).reshape(times, width)
    ages = np.frombuffer(body, np.int64, cells, prices + 2 * cells).reshape(times, width)
    slices = []
    for time, close in enumerate(closes):
        arrays = (panels[time].copy(), synthetic[time].copy(), ages[time].copy(), suspects[time].copy())
        for array in arrays:
            array.setflags(write=False)
        slices.append(Slice(from_epoch_ms(close), symbols, *arrays))
    return slices


def chunks(slices: Sequence[Slice]) -> list[Sequence[Slice]]:
    """A history in pieces that fit into frames."""
    if not slices:
        return []
    size = max(1, HISTORY_CHUNK // len(slices[0].symbols))
    return [slices[start : start + size] for start in range(0, len(slices), size)]


def targets_to(targets: TargetWeights | None) -> Header | None:
    """Targets as JSON."""
    if targets is None:
        return None
    signals = {symbol: dict(values) for symbol, values in targets.signals.items()}
    return {
        "weights": dict(targets.weights),
        "keep": sorted(targets.keep),
        "signals": signals,
        "note": targets.note,
        "groups": targets.groups,
    }


def targets_from(value: Any) -> TargetWeights | None:
    """The inverse of `targets_to`. What it gives may still name any symbol.

    Raises:
        ValueError: this is not what `targets_to` gives.
    """
    if value is None:
        return None
    try:
        weights = {str(symbol): float(weight) for symbol, weight in value["weights"].items()}
        signals = {str(s): {str(name): float(number) for name, number in values.items()} for s, values in value["signals"].items()}
        groups = tuple(tuple(map(str, group)) for group in value["groups"])
        return TargetWeights(weights, frozenset(map(str, value["keep"])), signals, str(value["note"]), groups)
    except (AttributeError, KeyError, TypeError):
        raise ValueError("the worker's answer is not targets") from None
