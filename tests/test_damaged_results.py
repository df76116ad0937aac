"""Results that were damaged since, or are not finished: told, never read as if nothing were amiss."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import everywindow as ew
from everywindow.errors import InputError
from streams import classifier, saved


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ew.Streamed]:
    image = saved(tmp_path, (40, 40))

    def streamed(**options: Any) -> ew.Streamed:
        return ew.stream(classifier(), image, tmp_path / "map.zarr", stride=2, tile=9, progress=False, **options)

    streamed()
    return streamed


def chunks(folder: Path) -> list[Path]:
    return sorted(file for file in (folder / "map.zarr" / "0" / "c").rglob("*") if file.is_file())


def test_scores_that_are_gone_are_told_and_computed_again(run: Callable[..., ew.Streamed], tmp_path: Path) -> None:
    before = [file.read_bytes() for file in chunks(tmp_path)]
    chunks(tmp_path)[1].unlink()
    with pytest.raises(InputError, match=r"scores of 1 of its 4 tiles are no longer there; give --resume"):
        run()
    assert run(resume=True).resumed == 3
    assert [file.read_bytes() for file in chunks(tmp_path)] == before
    assert run().unchanged


@pytest.mark.parametrize("at", [0.5, 0.99])
def test_a_flipped_bit_is_no_other_score(run: Callable[..., ew.Streamed], tmp_path: Path, at: float) -> None:
    chunk = chunks(tmp_path)[1]
    content = bytearray(chunk.read_bytes())
    content[int(at * len(content))] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(InputError, match="holds damaged scores"):
        ew.ScoreMap.load(tmp_path / "map.zarr")
    with pytest.raises(InputError, match="holds damaged scores"):
        ew.export(tmp_path / "map.zarr", tmp_path / "map.tif")


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda record: record.pop(name)


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no identities": without("identities"),
    "no stride": without("stride"),
    "no settings": lambda record: record.update(settings={"x": 1}),
    "no tile": lambda record: record.update(tile=None),
    "no model": lambda record: record["identities"].update(model=None),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_record_of_the_run_is_told(run: Callable[..., ew.Streamed], tmp_path: Path, name: str) -> None:
    file = tmp_path / "map.zarr" / "run.json"
    record = json.loads(file.read_text())
    DAMAGE[name](record)
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"run\.json: damaged"):
        run(resume=True)


def test_a_record_that_is_no_text_is_told(run: Callable[..., ew.Streamed], tmp_path: Path) -> None:
    (tmp_path / "map.zarr" / "run.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"run\.json: damaged"):
        run(resume=True)


@pytest.mark.parametrize("change", [{"tile": 99}, {"tile": "a"}, {"tile": -1}, {"windows": "x"}, {"state": "foo"}])
def test_a_damaged_record_of_the_tiles_is_told(
    run: Callable[..., ew.Streamed], tmp_path: Path, change: dict[str, Any]
) -> None:
    file = tmp_path / "map.zarr" / "tiles.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:2], json.dumps(json.loads(lines[2]) | change)]) + "\n")
    with pytest.raises(InputError, match=r"tiles\.jsonl: damaged"):
        run(resume=True)


def test_a_map_that_is_not_finished_says_so(run: Callable[..., ew.Streamed], tmp_path: Path) -> None:
    result = tmp_path / "map.zarr"
    file = result / "tiles.jsonl"
    lines = file.read_text().splitlines()
    file.write_text("\n".join(lines[:2]) + "\n")
    with pytest.warns(UserWarning, match=r"its run is not finished \(2 tiles are done\); what is missing is NaN"):
        ew.ScoreMap.load(result)
    with pytest.warns(UserWarning, match="its run is not finished"):
        ew.export(result, tmp_path / "map.tif")
    failed = json.loads(lines[1]) | {"state": "failed", "reason": "why"}
    file.write_text("\n".join([lines[0], json.dumps(failed), *lines[2:]]) + "\n")
    with pytest.warns(UserWarning, match="1 of its 4 tiles failed; their scores are NaN"):
        ew.ScoreMap.load(result)


def test_an_image_that_is_written_to_meanwhile_gives_no_finished_map(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = saved(tmp_path, (40, 40))
    from everywindow.run import pipeline

    read = pipeline._read

    def meanwhile(opened: Any, number: int) -> Any:
        if number == 2:
            content = image.read_bytes()
            image.write_bytes(content[:-8] + bytes(8))
        return read(opened, number)

    monkeypatch.setattr(pipeline, "_read", meanwhile)
    with pytest.raises(InputError, match="was written to while it was scanned"):
        ew.stream(classifier(), image, tmp_path / "map.zarr", stride=2, tile=9, progress=False)
    monkeypatch.undo()
    with pytest.raises(InputError, match="is of another run"):
        ew.stream(classifier(), image, tmp_path / "map.zarr", stride=2, tile=9, progress=False, resume=True)
