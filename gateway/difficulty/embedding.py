"""A static embedding: every token has a vector, and a text is the mean of its tokens'.

The table (16 MB, MIT licence) is the one that the ``wordllama`` package ships. It is mapped from that
package's file, so that processes share it and only the rows that prompts touch come into memory; the
package itself is not imported, since it would copy the table to twice its size.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from gateway.errors import ConfigurationError

_PACKAGE = "wordllama"
_TABLE = Path("weights", "l2_supercat_256.safetensors")
_TOKENIZER = Path("tokenizers", "l2_supercat_tokenizer_config.json")
_TENSOR = "embedding.weight"
_FADE = 10.0
"""After so many tokens from an end, a token weighs e times less: instructions stand at an end of a prompt."""
_MOST_TOKENS = 4096
_FADING = np.exp(-np.arange(_MOST_TOKENS, dtype=np.float32) / np.float32(_FADE))
_SHORTEST = np.float32(1e-6)
_FEW = 100
_ALONE = r"0-9\n\u2590-\ufeff\U00010000-\U0010ffff"
"""Digits, ends of lines, signs and pictures, Han, kana and Hangul: this vocabulary joins them to nothing."""
_WORD = re.compile(f" +(?:[{_ALONE}]|[^ {_ALONE}]*)|[{_ALONE}]|[^ {_ALONE}]+")
"""A word, or a character that stands alone, with the spaces before it; or what stands behind such a character."""
_SPACE = "\u2581"
"""A space, in the words of the tokenizer."""
_MOST_KNOWN = 20_000
"""Words remembered, some 5 MB when full."""
_FIRST_ROWS = 1024
_MOST_ROWS = 7_000
"""Vectors remembered, some 8 MB when full."""
DIMENSIONS = 256
EMBEDDED = 3 * DIMENSIONS


class _Met:
    """Words met lately, and the vectors of their tokens: widened to single precision, side by side."""

    __slots__ = ("count", "places", "rows", "words")

    def __init__(self, words: Mapping[str, list[int]], vocabulary: int) -> None:
        self.words = dict(words)
        self.places = np.zeros(vocabulary, dtype=np.intp)
        """By token, where its vector stands in ``rows``; 0 for one that was not met."""
        self.rows = np.zeros((_FIRST_ROWS, DIMENSIONS), dtype=np.float32)
        self.count = 1

    def add(self, tokens: NDArray[np.intp], table: NDArray[np.float16]) -> None:
        """Make room for the vectors of tokens; one thread at a time."""
        new = np.unique(tokens[self.places[tokens] == 0])
        end = self.count + len(new)
        if end > len(self.rows):
            more = np.zeros((max(len(self.rows), len(new)), DIMENSIONS), dtype=np.float32)
            self.rows = np.concatenate((self.rows, more))
        self.rows[self.count : end] = table[new]
        self.places[new] = np.arange(self.count, end)  # last, so that whoever finds a place finds its vector
        self.count = end


class StaticEmbedding:
    """Texts to vectors; holds a tokenizer and the mapped table, and changes neither."""

    __slots__ = ("_adding", "_met", "_spaces", "_table", "_tokenizer")

    def __init__(self, tokenizer: Tokenizer, table: NDArray[np.float16]) -> None:
        self._tokenizer = tokenizer
        self._table = table
        # The tokenizer puts a space before what it gets; of nothing, that space alone, it makes nothing.
        space = tokenizer.token_to_id(_SPACE)
        self._spaces: dict[str, list[int]] = {} if space is None else {" ": [space]}
        self._adding = Lock()
        self._met = _Met(self._spaces, len(table))

    @classmethod
    def load(cls) -> StaticEmbedding:
        """From the files of the installed package; raises :class:`ConfigurationError` if they are not there."""
        folder = _folder()
        try:
            tokenizer = Tokenizer.from_str((folder / _TOKENIZER).read_text("utf-8"))
            table = _mapped(folder / _TABLE)
        except (OSError, ValueError, KeyError, struct.error) as fault:
            raise ConfigurationError(
                f"the embedding of the package {_PACKAGE} cannot be read ({type(fault).__name__}); install it anew"
            ) from fault
        return cls(tokenizer, table)

    def embed(self, text: str) -> NDArray[np.float32]:
        """The directions of the whole text, of its beginning and of its end; zero for no text."""
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
        met = self._met
        if len(met.words) > _MOST_KNOWN or met.count > _MOST_ROWS:
            # Several threads may be here: whoever still looks keeps the old one.
            words = met.words if len(met.words) <= _MOST_KNOWN else self._spaces
            met = self._met = _Met(words, len(self._table))
        ids = self._tokens(clean, met)[:_MOST_TOKENS]
        if not ids:
            return np.zeros(EMBEDDED, dtype=np.float32)
        zones = self._weighted(ids, met)
        lengths = np.sqrt(np.vecdot(zones, zones))
        zones /= np.maximum(lengths, _SHORTEST)[:, np.newaxis]
        return zones.reshape(-1)

    def _tokens(self, text: str, met: _Met) -> list[int]:
        """The text's tokens: those of its words, one after the other.

        No token of this vocabulary reaches over a space into the next word, nor over what stands alone, so
        that words can be looked up one by one, each with the spaces before it, numbers by their digits and
        grids by their signs. Most of a text's words were met before, and the tokenizer costs six times as
        much as remembering them.
        """
        if not text:
            return []
        words = met.words
        ids: list[int] = []
        for word in _WORD.findall(" " + text):  # the tokenizer begins every text with a space, too
            found = words.get(word)
            if found is None:
                found = words[word] = self._encoded(word)
            ids += found
        return ids

    def _encoded(self, word: str) -> list[int]:
        # What no space begins stands behind a digit here too, whose tokens, and those of its space, are cut off.
        text, begins = (word[1:], 0) if word[0] == " " else ("0" + word, 2)
        # Not `encode_batch_fast`: it hands even one text to threads of its own, and a fork then warns.
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids[begins:])

    def _weighted(self, ids: list[int], met: _Met) -> NDArray[np.float32]:
        """The sums of the tokens' vectors, weighing all alike, the first ones more, and the last ones more."""
        weights, tokens = _zone_weights(len(ids)), np.array(ids)
        if len(ids) > _FEW:
            # Grids and tables repeat a few tokens hundreds of times: each is fetched once.
            tokens, numbers = np.unique(tokens, return_inverse=True)
            weights = np.stack([np.bincount(numbers, row) for row in weights]).astype(np.float32)
        places = met.places.take(tokens)
        if np.count_nonzero(places) < len(places):
            with self._adding:
                met.add(tokens, self._table)
            places = met.places.take(tokens)
        return np.asarray(weights @ met.rows.take(places, axis=0))


@lru_cache(maxsize=128)
def _zone_weights(count: int) -> NDArray[np.float32]:
    """What each of so many tokens weighs in the whole text, at its beginning and at its end."""
    fading = _FADING[:count]
    weights = np.stack((np.ones_like(fading), fading, fading[::-1]))
    weights.setflags(write=False)
    return weights


def _folder() -> Path:
    found = find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise ConfigurationError(f"the package {_PACKAGE}, whose embedding the classifier uses, is not installed")
    return Path(found.origin).parent


def _mapped(path: Path) -> NDArray[np.float16]:
    """The table where it lies in its safetensors file: eight bytes of length, a JSON head, then the numbers."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        head = json.loads(file.read(length))[_TENSOR]
    if head["dtype"] != "F16" or head["shape"][1] != DIMENSIONS:
        raise ValueError(f"an embedding of {head['dtype']} {head['shape']} instead of F16 [n, {DIMENSIONS}]")
    mapped = np.memmap(
        path, dtype="<f2", mode="r", offset=8 + length + head["data_offsets"][0], shape=tuple(head["shape"])
    )
    return np.asarray(mapped)
