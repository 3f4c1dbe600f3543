"""Decoded splits on disk: one safetensors file each, written atomically, verified when read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import warnings
from pathlib import Path

import safetensors
import safetensors.torch

from holdfast.data.image_data import ImageData
from holdfast.errors import HoldfastError, HoldfastWarning

FORMAT = "3"


def _digest(data: ImageData) -> str:
    """SHA-256 of all that a file holds."""
    told = [data.name, data.split, data.source, data.classes, data.notes, data.left_out]
    return hashlib.sha256(f"{data.checksum()} {json.dumps(told)}".encode()).hexdigest()


def read_cache(path: Path, fingerprint: str | None) -> ImageData | None:
    """The split stored in ``path``, or None when it is absent, stale or corrupt.

    Args:
        path: cache file.
        fingerprint: of the source as it is now; None accepts any (there is no source to compare with).

    A corrupt file is reported by a ``HoldfastWarning``; absence and staleness are silent.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, framework="pt") as stored:
            facts = stored.metadata() or {}
            if facts["format"] != FORMAT or fingerprint not in (None, facts["fingerprint"]):
                return None
            data = ImageData(
                name=facts["name"],
                split=facts["split"],
                images=stored.get_tensor("images"),
                labels=stored.get_tensor("labels"),
                source=facts["source"],
                **{name: tuple(json.loads(facts[name])) for name in ("classes", "notes", "left_out")},
            )
        if _digest(data) != facts["sha256"]:
            raise HoldfastError("its checksum does not match")
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError, RecursionError, OSError) as error:
        warnings.warn(
            f"cache file '{path}' is corrupt ({error}); rebuilding it from its source.",
            HoldfastWarning,
            stacklevel=3,
        )
        return None
    return data


def write_cache(path: Path, data: ImageData, fingerprint: str) -> None:
    """Store a split; readers see the old file or the whole new one.

    A full disk or a read-only folder is reported by a ``HoldfastWarning``: the work goes on uncached.
    """
    content = safetensors.torch.save(
        {"images": data.images, "labels": data.labels},
        metadata={
            "format": FORMAT,
            **{name: getattr(data, name) for name in ("name", "split", "source")},
            **{name: json.dumps(getattr(data, name)) for name in ("classes", "notes", "left_out")},
            "fingerprint": fingerprint,
            "sha256": _digest(data),
        },
    )
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        warnings.warn(
            f"cannot cache {data.name!r} ({data.split}) in '{path.parent}' ({error.strerror or error}); "
            "going on without: free some space or choose another folder with --cache-dir.",
            HoldfastWarning,
            stacklevel=3,
        )
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
