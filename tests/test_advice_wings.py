"""As `test_advice`, for studies, plans, the app, and runs in buckets."""

import re

import jax
import pytest
from etils import epath
from PIL import Image

from configs import streets
from cyclegan_jax import files, torch_files
from cyclegan_jax.app import service
from cyclegan_jax.plan import __main__ as planning
from cyclegan_jax.plan import cards, chips, cost, program, targets
from cyclegan_jax.runs import choosing, lease, storage
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.runs.run import Run
from cyclegan_jax.study import making, scoring
from cyclegan_jax.study.protocol import Protocol
from cyclegan_jax.torch_weights.runs import import_weights
from cyclegan_jax.training import init_from, loop
from tests import buckets
from tests.oracle import cases
from tests.test_advice import advised, refused, save, smoke
from tests.test_study_scoring import answers, make_key
from tests.test_study_scoring import save as save_answers
from tests.translating import make_run

SMALL = {"trials": 2, "practice": 1, "attention": 1, "max_pairs": 2, "sessions": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of imported weights, on four streets."""
    config = streets.get_config("smoke")
    config.data.streets_test, config.data.max_images = 4, 0
    return make_run(tmp_path_factory.mktemp("runs"), config)


def test_numbers_of_a_study(run, tmp_path):
    sentence = refused(Protocol, trials=7, max_pairs=5)
    assert Protocol(trials=7, max_pairs=int(advised(sentence, "--max_pairs")))
    large = Protocol(**SMALL | {"trials": 3, "max_pairs": 3})
    sentence = refused(making.make, [run], tmp_path / "study", large, match="4 test")
    assert "--trials" in sentence
    assert making.make([run], tmp_path / "study", Protocol(**SMALL))


def test_folders_of_studies(run, tmp_path):
    protocol = Protocol(**SMALL)
    page, key = making.make([run], tmp_path / "study", protocol)
    refused(making.make, [run], page.parent, protocol, match="another --output")
    page.parent.rename(tmp_path / "away")
    refused(making.make, [run], page.parent, protocol, match="another --output")
    assert making.make([run], tmp_path / "other", protocol)
    refused(scoring.read_key, tmp_path / "key.json", match="--key")
    assert scoring.read_key(key)


def test_a_study_of_runs_whose_data_moved(tmp_path):
    """Two runs of one data set, of which one has other pictures by now."""
    runs = []
    for place in ("here", "there"):
        for split in ("testA", "testB"):
            for i in range(4):
                save(tmp_path / place / split / f"{place}{i}.png", 32, 32)
        config = smoke(**{"data.dataset": "folder", "data.crop_size": 32})
        config.data.path = str(tmp_path / place)
        runs.append(make_run(tmp_path / f"of_{place}", config))
    protocol = Protocol(**SMALL)
    output = tmp_path / "study"
    refused(making.make, runs, output, protocol, match="--data_path")
    path = str(tmp_path / "there")
    assert making.make(runs, output, protocol, data_path=path)


def test_participants_who_fail(tmp_path):
    key = make_key()
    given = save_answers(tmp_path, answers(key, 2, 0, failed=1))
    sentence = refused(scoring.score, given, key, match="--allowed_failures")
    allowed = int(re.search(r"failed (\d+)", sentence)[1])
    assert scoring.score(given, key, allowed_failures=allowed)["participants"]


def test_plans():
    sentence = refused(planning._parse_batches, "0,x", match="per_device_batch")
    numbers = re.search(r"such as ([\d,]+)", sentence)[1]
    assert planning._parse_batches(numbers) == [1, 2, 4]
    sentence = refused(targets.parse, "tpu", match="unknown topology")
    for name in ("cpu", "gpu"):
        assert name in sentence
        assert targets.parse(name) is None
    config = smoke(same_bits=True)
    sentence = refused(program.lower, config, jax.devices(), 1)
    config.same_bits = advised(sentence, "--config.same_bits") == "True"
    config.data.preprocess = "scale_width"
    sentence = refused(program.lower, config, jax.devices(), 1, match="crop_size")
    config.data.preprocess = advised(sentence, "data.preprocess")
    config.data.crop_size = 32
    assert program.lower(config, jax.devices(), 1)


def test_where_a_plan_remembers(tmp_path):
    (tmp_path / "file").write_text("")
    lowered = jax.jit(lambda x: x + 1).lower(1.0)
    refused(cost.cached, lowered, "cpu", 1, tmp_path / "file" / "x", match="--cache")
    assert cost.cached(lowered, "cpu", 1, tmp_path / "x").memory > 0


def test_devices_that_are_not_here():
    sentence = refused(targets.local_devices, "gpu", match="no such device here")
    for name in re.findall(r"--topology=([\w:]+)", sentence)[1:]:
        assert (cards.Cards.parse(name) or chips.Slice.parse(name)).count == 1


def test_the_app(run, tmp_path, monkeypatch):
    save(tmp_path / "a.png", 24, 40)
    photo = str(tmp_path / "a.png")
    served = service.Service([str(run)])
    sentence = refused(served.translate, photo, "zebra")
    name = re.search(r"only (\w+)", sentence)[1]
    sentence = refused(served.translate, photo, name, step=7)
    step = int(re.search(r"but of (\d+)", sentence)[1])
    served.directions[name] = ["AtoB"]
    sentence = refused(served.translate, photo, name, "BtoA")
    direction = re.search(r"but (\w+)", sentence)[1]
    monkeypatch.setattr(service, "MAX_PIXELS", 900)
    refused(served.translate, photo, name, direction, step=step, match="shrink")
    with Image.open(photo) as image:
        image.resize((20, 12)).save(photo)
    assert served.translate(photo, name, direction, step=step).after.shape == (
        12,
        20,
        3,
    )


@pytest.fixture(scope="module")
def remote(tmp_path_factory):
    """A folder in a bucket."""
    with buckets.used(tmp_path_factory.mktemp("gcs")):
        yield files.as_path(f"gs://{buckets.NAME}/runs")


@pytest.mark.slow
def test_a_run_in_a_bucket(remote, tmp_path):
    remote /= "run"
    assert loop.train(smoke(), remote) == 0
    sentence = refused(run_folder.check, remote, smoke(pool_size=3).to_dict())
    config = smoke(pool_size=3, init_from=advised(sentence, "--config.init_from"))
    assert init_from.load_initial(Experiment.of(config)).step == 1
    longer = smoke(**{"optimizer.constant_epochs": 2, "max_steps": 2})
    refused(loop.train, longer, remote, match="--allow_changes")
    assert loop.train(longer, remote, allow_changes=True) == 0
    sentence = refused(choosing.choose_step, remote, "7")
    steps = re.search(r"but of ([\d, ]+)", sentence)[1].split(", ")
    assert [Run.load(remote, int(step)).step for step in steps] == [1, 2]
    refused(Run.load, remote / "nothing", match="holds no run.*train.py wrote to")


def test_imported_networks_in_a_bucket(remote, tmp_path):
    state = cases.subtree(cases.load_case("resnet_instance"), "state")
    torch_files.write(tmp_path / "g.pth", state)
    config, workdir = streets.get_config("smoke"), remote / "imported"
    given = {"g_ab": tmp_path / "g.pth", "g_ba": tmp_path / "g.pth"}
    import_weights(given, workdir, config)
    refused(import_weights, given, workdir, config, match="another --workdir")
    config = Run.load(workdir).config
    sentence = refused(run_folder.check, workdir, config.to_dict())
    config.init_from = advised(sentence, "--config.init_from")
    assert init_from.load_initial(Experiment.of(config)).step == 0


def test_a_bucket_that_another_process_uses(remote, monkeypatch):
    monkeypatch.setattr(lease, "REFRESH", 0.2)
    monkeypatch.setattr(lease, "PATIENCE", 0.0)
    remote, other = remote / "locked", lease.this_process() | {"host": "elsewhere"}
    with run_folder.lock(remote):
        monkeypatch.setattr(lease, "this_process", lambda: other | {"pid": 1})
        refused(run_folder.lock(remote).__enter__, match="another --workdir")
        with run_folder.lock(remote.parent / "other"):
            pass


def test_other_stores(tmp_path):
    refused(files.as_path, "http://a/run", match="use a local path, or gs://")
    sentence = refused(storage.locate, epath.Path("s3://bucket/run"), match="mounted")
    assert "gs://" in sentence
    assert storage.locate(tmp_path / "mounted") == tmp_path / "mounted"
