"""The table of settings, and what a config is checked for."""

import importlib
import math
import pathlib
import re

import pytest

from configs import default
from cyclegan_jax.core import losses, schedules
from cyclegan_jax.core.methods.registry import METHODS
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import configuration
from cyclegan_jax.runs.settings import SETTINGS

ROOT = pathlib.Path(__file__).parent.parent
CONFIGS = sorted(
    path.stem for path in (ROOT / "configs").glob("*.py") if path.stem[0] != "_"
)


@pytest.mark.parametrize("name", CONFIGS)
def test_configs_hold_the_settings_and_no_others(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    assert set(configuration.flatten(config.to_dict())) == set(SETTINGS)


def test_every_setting_is_read_somewhere():
    code = "".join(
        path.read_text()
        for path in (ROOT / "cyclegan_jax").rglob("*.py")
        if path != ROOT / "cyclegan_jax/runs/settings.py"
    )
    networks = {"generator", "discriminator"}  # Passed on as a whole.
    for name in SETTINGS:
        group, _, last = name.rpartition(".")
        if group not in networks:
            assert re.search(rf"\b{last}\b", code), name


@pytest.mark.parametrize("name", SETTINGS)
def test_defaults_and_limits(name):
    setting = SETTINGS[name]
    setting.check(name, setting.default)
    assert setting.about.strip()
    kind = type(setting.default)
    wrong = {str: 3, int: "3", bool: 1, float: "x"}[kind]
    with pytest.raises(UserError, match=re.escape(name)):
        setting.check(name, wrong)
    if setting.least > -math.inf:
        with pytest.raises(UserError, match=re.escape(name)):
            setting.check(name, kind(setting.least - 1))
    if setting.most < math.inf:
        with pytest.raises(UserError, match=re.escape(name)):
            setting.check(name, kind(setting.most + 1))
    if setting.choices:
        with pytest.raises(UserError, match=re.escape(name)):
            setting.check(name, kind(77))
    if kind is float:
        setting.check(name, 1 if setting.least <= 1 <= setting.most else 0)
        for value in (math.nan, math.inf):
            with pytest.raises(UserError, match=re.escape(name)):
                setting.check(name, value)


def test_choices_are_those_of_the_code():
    assert SETTINGS["loss.gan_mode"].choices() == tuple(losses.GAN_MODES)
    assert SETTINGS["optimizer.policy"].choices() == tuple(schedules.POLICIES)
    assert SETTINGS["method"].choices() == tuple(METHODS)


def test_what_is_absent_has_its_default():
    config = default.get_config()
    config.seed, config.data.crop_size = 7, 128
    flat = configuration.flatten(config.to_dict())
    assert configuration.nest(flat) == config.to_dict()
    kept = {"seed": 7, "data": {"crop_size": 128}}
    assert configuration.complete(kept) == config.to_dict()
    assert configuration.differences(kept, config.to_dict()) == {}
    del config.data["flip"]
    with pytest.raises(UserError, match=r"data\.flip"):
        configuration.check(config)


def test_unknown_settings():
    config = default.get_config()
    with config.unlocked():
        config.generator.depth = 3
    with pytest.raises(UserError, match=r"generator\.depth"):
        configuration.check(config)
    with pytest.raises(UserError, match="data is 3"):
        configuration.complete({"data": 3})
