"""Images as a stream in the OCI image layout, which `ctr images import -` reads."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from tools.cluster.images.layer import Layer

_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_CONFIG: Final = "application/vnd.oci.image.config.v1+json"
_LAYER: Final = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image of this machine's; pods name it with imagePullPolicy Never or IfNotPresent."""

    name: str
    """As pods say it, with a tag: `kat-predictor:local`."""
    layers: Sequence[Layer]
    """From the lowest on."""
    entrypoint: Sequence[str] = ()
    command: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"
    stop_signal: str = "SIGTERM"
    """What ends the first process of a pod that is deleted."""

    @property
    def full_name(self) -> str:
        """As container runtimes store it."""
        return self.name if "/" in self.name else f"docker.io/library/{self.name}"


def write_archive(images: Sequence[Image], stream: IO[bytes]) -> None:
    """Write the images; layers that several of them share go once. `stream` is never sought in.

    Format: https://github.com/opencontainers/image-spec/blob/main/image-layout.md
    """
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        _add(tar, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        manifests = []
        written: set[str] = set()
        for image in images:
            config = _json(_config(image))
            manifest = _json(_manifest(image, config))
            for blob in (config, manifest):
                if _digest(blob) not in written:
                    _add(tar, _path(_digest(blob)), blob)
                    written.add(_digest(blob))
            for layer in image.layers:
                if layer.digest not in written:
                    with layer.archive.open("rb") as content:
                        tar.addfile(_entry(_path(layer.digest), layer.size), content)
                    written.add(layer.digest)
            annotations = {"io.containerd.image.name": image.full_name}
            manifests.append(_descriptor(_MANIFEST, manifest) | {"annotations": annotations})
        _add(tar, "index.json", _json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests}))


def _config(image: Image) -> dict[str, Any]:
    return {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": image.user,
            "Env": [f"{name}={value}" for name, value in image.environment.items()],
            "Entrypoint": list(image.entrypoint),
            "Cmd": list(image.command),
            "WorkingDir": "/",
            "StopSignal": image.stop_signal,
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in image.layers]},
    }


def _manifest(image: Image, config: bytes) -> dict[str, Any]:
    layers = [{"mediaType": _LAYER, "digest": layer.digest, "size": layer.size} for layer in image.layers]
    return {"schemaVersion": 2, "mediaType": _MANIFEST, "config": _descriptor(_CONFIG, config), "layers": layers}


def _descriptor(kind: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": kind, "digest": _digest(blob), "size": len(blob)}


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _digest(blob: bytes) -> str:
    return f"sha256:{hashlib.sha256(blob).hexdigest()}"


def _path(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    tar.addfile(_entry(path, len(content)), io.BytesIO(content))


def _entry(path: str, size: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.size = size
    return entry
