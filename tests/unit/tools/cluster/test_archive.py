"""Images are written as the OCI image layout has them."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tools.cluster.images.archive import Image, write_archive
from tools.cluster.images.layer import Layer, cached


def layer_of(cache: Path, name: str, content: str) -> Layer:
    def make(tree: Path) -> None:
        (tree / "file").write_text(content)

    return cached(cache, name, "key", make)


def written(*images: Image) -> dict[str, bytes]:
    """Content by path."""
    stream = io.BytesIO()
    write_archive(images, stream)
    stream.seek(0)
    with tarfile.open(fileobj=stream) as tar:
        names = tar.getnames()
        assert len(names) == len(set(names)), "written twice"
        return {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr] # regular files all


def blob(files: dict[str, bytes], descriptor: dict[str, Any]) -> bytes:
    content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
    assert len(content) == descriptor["size"]
    return content


def manifest_of(files: dict[str, bytes], name: str) -> dict[str, Any]:
    index = json.loads(files["index.json"])
    (found,) = [one for one in index["manifests"] if one["annotations"]["io.containerd.image.name"] == name]
    manifest: dict[str, Any] = json.loads(blob(files, found))
    return manifest


@pytest.fixture
def image(tmp_path: Path) -> Image:
    layers = [layer_of(tmp_path, "lower", "a"), layer_of(tmp_path, "upper", "b")]
    return Image(
        name="kat-test:local", layers=layers, entrypoint=["kat"], environment={"PATH": "/opt/kat/bin"}, user="1000:1000"
    )


def test_a_short_name_is_written_as_runtimes_look_for_it(image: Image) -> None:
    assert manifest_of(written(image), "docker.io/library/kat-test:local")


def test_every_blob_is_named_by_its_hash(image: Image) -> None:
    for path, content in written(image).items():
        if path.startswith("blobs/"):
            assert path == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"


def test_layers_go_from_the_lowest_on(image: Image) -> None:
    files = written(image)

    contents = []
    for descriptor in manifest_of(files, image.full_name)["layers"]:
        with tarfile.open(fileobj=io.BytesIO(blob(files, descriptor))) as tar:
            contents.append(tar.extractfile("./file").read())  # type: ignore[union-attr] # a regular file

    assert contents == [b"a", b"b"]


def test_the_configuration_says_what_runs_and_as_whom(image: Image) -> None:
    files = written(image)

    config = json.loads(blob(files, manifest_of(files, image.full_name)["config"]))

    assert config["config"]["Entrypoint"] == ["kat"]
    assert config["config"]["User"] == "1000:1000"
    assert config["config"]["Env"] == ["PATH=/opt/kat/bin"]
    assert config["rootfs"]["diff_ids"] == [layer.digest for layer in image.layers]


def test_a_layer_that_two_images_share_is_written_once(image: Image) -> None:
    other = Image(name="kat-other:local", layers=image.layers[:1], command=["sleep", "infinity"])

    files = written(image, other)

    assert manifest_of(files, other.full_name)["layers"] == manifest_of(files, image.full_name)["layers"][:1]
