"""What evaluation asks of data: only what it reads, wherever that lies now."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from configs import folder
from cyclegan_jax import evaluation
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import folder as run_folder
from tests.translating import make_run

NETWORKS = {"inception": "none", "fcn": "none"}
RNG = np.random.default_rng(0)


def save(path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = RNG.integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two small generators with PyTorch's weights, whose data were in two folders."""
    config = folder.get_config("smoke")
    config.data.train_a, config.data.train_b = "/gone/summer", "/gone/winter"
    config.data.test_a, config.data.test_b = "/gone/test/summer", "/gone/test/winter"
    return make_run(tmp_path_factory.mktemp("runs"), config)


def evaluate(run, path, **options):
    evaluator = evaluation.open_evaluator(run, NETWORKS, data_path=str(path), **options)
    return evaluation.evaluate(run, evaluator=evaluator)


def test_one_domain_of_the_tests_alone(run, tmp_path):
    for i in range(2):
        save(tmp_path / "testA" / f"{i}.png")
    (tmp_path / "testA" / "Thumbs.db").write_bytes(b"x")
    exif = Image.Exif()
    exif[0x0112] = 3
    save(tmp_path / "testA" / "2.jpg", exif=exif)
    result = evaluate(run, tmp_path)
    assert result["images"] == {"A": 3, "B": 0}
    assert result["AtoB"]["cycle_l1"] > 0
    assert result["BtoA"] == {}
    assert any("testA/Thumbs.db" in note for note in result["notes"])
    assert any("1 turned upright" in note for note in result["notes"])


def test_paired_tests_of_any_set(run, tmp_path):
    for name in ("0", "1", "2"):
        save(tmp_path / "testA" / f"{name}_A.png")
    for name in ("1", "2", "3"):
        save(tmp_path / "testB" / f"{name}_B.png")
    assert "paired_l1" not in evaluate(run, tmp_path)["AtoB"]
    result = evaluate(run, tmp_path, paired_test=True)
    assert result["images"] == {"A": 2, "B": 2}
    assert any("2 without a partner" in note for note in result["notes"])
    output = run / "evaluation" / "0" / "AtoB" / "output"
    differences = [
        np.mean(
            np.abs(
                np.asarray(Image.open(output / f"{i}_A.png"), float)
                - np.asarray(Image.open(tmp_path / f"testB/{i}_B.png"), float)
            )
        )
        / 255
        for i in (1, 2)
    ]
    np.testing.assert_allclose(
        result["AtoB"]["paired_l1"], np.mean(differences), rtol=1e-5
    )


def test_moved_folders_are_named_by_one_flag(run, tmp_path):
    for name in ("summer", "winter"):
        save(tmp_path / "test" / name / "1.png")
    assert evaluate(run, tmp_path)["images"] == {"A": 1, "B": 1}
    with pytest.raises(UserError, match=r"config\.data\.test_a|testA or test/A"):
        evaluate(run, tmp_path / "test")


def test_a_run_with_the_setting_needs_no_flag(run, tmp_path):
    for domain in "AB":
        save(tmp_path / "set" / f"test{domain}" / f"1_{domain}.png")
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = run_folder.read_config(copy)
    config["data"]["paired_test"] = True
    (copy / "config.json").write_text(json.dumps(config))
    assert "paired_l1" in evaluate(copy, tmp_path / "set")["AtoB"]
