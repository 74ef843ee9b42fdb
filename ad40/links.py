"""Object words on lanes: which 32-bit word of which lane carries what, as spec/links.yaml says.

A frame is the payload of one lane in one bunch crossing. Idle words that faster links send before it are no part
of it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ad40 import objects, spec

EVENT_WORDS = len(spec.event_words())  # 32-bit words of an event


@lru_cache
def _places() -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], NDArray[np.uint64]]:
    """For each 32-bit word of an event: its lane, its payload word, its object, and the shift to its half."""
    links, slots = spec.links(), spec.objects().slots
    owner = [i for i, kind in enumerate(slots) for _ in range(kind.word_bits // 32)]
    half = [32 * h for kind in slots for h in range(kind.word_bits // 32)]
    lane, index = zip(*links.positions, strict=True)
    return np.array(lane), np.array(index), np.array(owner), np.array(half, np.uint64)


def event_words(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """The 32-bit words uint32 (n, 23) of events uint64 (n, 19), lowest bits of the event bus first."""
    _, _, owner, half = _places()
    return (words[:, owner] >> half).astype(np.uint32)


def join_words(parts: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """Events uint64 (n, 19) of their 32-bit words (n, 23): the inverse of `event_words`."""
    _, _, owner, half = _places()
    words = np.zeros((len(parts), objects.N_OBJECTS), np.uint64)
    for i, (slot, shift) in enumerate(zip(owner, half, strict=True)):
        words[:, slot] |= parts[:, i].astype(np.uint64) << shift
    return words


def to_frames(words: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Frames uint32 (n, lanes, payload words) of events uint64 (n, 19). Words that carry nothing are zero."""
    links = spec.links()
    lane, index, _, _ = _places()
    frames = np.zeros((len(words), len(links.lanes), links.payload_words), np.uint32)
    frames[:, lane, index] = event_words(words)
    return frames


def from_frames(frames: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """Events uint64 (n, 19) of frames (n, lanes, payload words). Words that carry nothing are ignored."""
    lane, index, _, _ = _places()
    return join_words(frames[:, lane, index])
