"""`python -m tools.cluster up`: a cluster for people, until Ctrl-C."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from kat.processes import PartFailed
from tools.cluster import build
from tools.cluster.control_plane import ControlPlane
from tools.cluster.errors import ClusterError
from tools.cluster.images import recipes
from tools.cluster.node.real_node import real_cluster

_CONSOLE = Console(highlight=False, soft_wrap=True)


@click.group()
def main() -> None:
    """A real Kubernetes control plane on this machine."""


@main.command()
@click.option(
    "--nodes", default=2, show_default=True, help="Nodes of 8 H100 each that kwok plays, beside one of 8 H200."
)
@click.option(
    "--node",
    type=click.Choice(["fake", "real"]),
    default="fake",
    show_default=True,
    help="`real` adds one that runs pods, with images of the predictor, metering and the operator. Needs root.",
)
def up(nodes: int, node: str) -> None:
    """Start the control plane, KServe's controller and nodes; stop them at Ctrl-C.

    kubectl and Helm are built, too, where PATH has none.
    """
    # As Ctrl-C does: leave the `with` below, which stops everything.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        missing = [name for name in build.FOR_PEOPLE if shutil.which(name) is None]
        tools = build.binaries(*missing, say=_CONSOLE.print)
        with _cluster(node) as cluster:
            # Labelled as NVIDIA's GPU feature discovery does, which examples/autothinkservice.yaml selects by.
            cluster.add_nodes(nodes, kind="h100", labels={"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"})
            cluster.add_nodes(1, kind="h200", labels={"nvidia.com/gpu.product": "NVIDIA-H200"})
            _CONSOLE.print(
                f"""
  export KUBECONFIG={cluster.kubeconfig}{_path(tools)}
  kubectl get nodes
  kubectl get inferenceservices -A

logs are in {cluster.folder / "logs"}; Ctrl-C stops and removes all of it"""
            )
            signal.pause()
    except KeyboardInterrupt:
        _CONSOLE.print("stopped")
    except (ClusterError, PartFailed) as error:
        raise click.ClickException(str(error)) from error


def _path(tools: Mapping[str, Path]) -> str:
    """The line that puts them within reach; nothing where there are none."""
    if not tools:
        return ""
    folders = ":".join(str(path.parent) for path in tools.values())
    return f"\n  export PATH={folders}:$PATH"


@contextmanager
def _cluster(node: str) -> Iterator[ControlPlane]:
    if node == "fake":
        with ControlPlane.start(say=_CONSOLE.print) as cluster:
            yield cluster
        return
    # Made before anything runs: minutes where nothing is cached.
    images = [make(say=_CONSOLE.print) for make in (recipes.predictor, recipes.metering, recipes.operator)]
    with real_cluster(say=_CONSOLE.print) as real:
        real.load(*images)
        selector = ", ".join(f"{key}: {value}" for key, value in real.NODE_SELECTOR.items())
        _CONSOLE.print(f"images on {real.node} (nodeSelector {selector}): {', '.join(image.name for image in images)}")
        yield real.control_plane


@main.command("build")
@click.argument("names", nargs=-1, type=click.Choice(sorted(build.SOURCES)))
def build_binaries(names: tuple[str, ...]) -> None:
    """Build the named binaries, all of them without a name, and print where they are."""
    try:
        for name, path in build.binaries(*(names or build.SOURCES), say=_CONSOLE.print).items():
            _CONSOLE.print(f"{name}\t{path}")
    except ClusterError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
