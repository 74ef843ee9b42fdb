"""Whole files or none: atomic writes, and readers that name the fault."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from ad40.errors import InputError, OutputError, SpecError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it on success, remove it on any failure.

    The target folder is created. An unwritable or full target raises `OutputError` and leaves nothing behind.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(path, "it is a folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error
    temporary = Path(name)
    try:
        yield temporary
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)  # mkstemp makes the file private; an output follows the user's umask
        temporary.replace(path)
    except OSError as error:
        # h5py reports a full disk as an OSError without errno, so every OSError of the writer ends here
        raise OutputError(path, error.strerror or str(error)) from error
    finally:
        temporary.unlink(missing_ok=True)


def writable_folder(path: str | Path) -> None:
    """Make sure, before hours of work, that files can be written into a folder; it is created if need be."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise OutputError(path, error.strerror or str(error)) from error


def write_json(path: str | Path, document: object) -> None:
    """Write an indented JSON document, whole or not at all. NaN and infinities are refused."""
    text = json.dumps(document, indent=1, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def _read_text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(path, "file", error.strerror or str(error), "a readable file") from error
    except UnicodeDecodeError as error:
        raise InputError(path, "encoding", f"not UTF-8 at byte {error.start}", "a UTF-8 text file") from error


def read_json(path: str | Path) -> Any:
    """Read a JSON document; `SpecError` names the line of a syntax error."""
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise SpecError(path, f"line {error.lineno}", error.msg, "valid JSON") from error


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML that refuses a key given twice: YAML itself would keep the last one without a word."""


def _mapping_without_duplicates(loader: _UniqueKeyLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_UniqueKeyLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping_without_duplicates)


def read_yaml(path: str | Path) -> Any:
    """Read a YAML document; `SpecError` names the line of a syntax error or of a key given twice."""
    try:
        return yaml.load(_read_text(path), Loader=_UniqueKeyLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark is not None else "document"
        raise SpecError(path, where, getattr(error, "problem", str(error)), "valid YAML") from error


def write_yaml(path: str | Path, document: object) -> None:
    """Write a YAML document in the order of its keys, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(yaml.safe_dump(document, sort_keys=False, width=110), encoding="utf-8")


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's bytes, read in pieces. 64 hex digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(document: object) -> str:
    """SHA-256 of the canonical JSON of a document: sorted keys, no spaces, no NaN. 64 hex digits."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
