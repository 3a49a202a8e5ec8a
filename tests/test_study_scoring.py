"""Scores of a perceptual study: against NumPy, and who is left out and why."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from cyclegan_jax.errors import UserError
from cyclegan_jax.study import protocol as study_plan
from cyclegan_jax.study import scoring as study_scoring
from cyclegan_jax.study.protocol import FAKE, REAL, SPOILT, Pair, Protocol

ROOT = pathlib.Path(__file__).parent.parent
PROTOCOL = Protocol(trials=12, practice=3, attention=2, max_pairs=20, sessions=4)


def make_key(methods=1, protocol=PROTOCOL):
    black = np.zeros((4, 4, 3), np.uint8)
    count = protocol.count_pairs(1000)
    kinds = [SPOILT if protocol.is_attention(i) else FAKE for i in range(count)]
    pairs = [Pair(black, black, kind, ("r", "f")) for kind in kinds]
    key, _ = study_plan.plan([pairs] * methods, protocol)
    about = [{"workdir": f"runs/{name}"} for name in "xyz"[:methods]]
    return key | {"direction": "AtoB", "methods": about}


def answers(key, number, fooled, failed=0, finished="2026-01-01T00:00:00Z"):
    """What the page saves for one who is fooled in the first trials only."""
    trials = []
    fooled = {FAKE: fooled, SPOILT: failed}
    for left, right in key["sessions"][number % len(key["sessions"])]["scored"]:
        kinds = [key["pictures"][name]["kind"] for name in (left, right)]
        kind = next(kind for kind in kinds if kind != REAL)
        wanted = kind if fooled[kind] > 0 else REAL
        fooled[kind] -= 1
        chosen = ("left", "right")[kinds.index(wanted)]
        trial = {"left": left, "right": right, "chosen": chosen, "shown_ms": 1000.0}
        trials.append(trial | {"answer_ms": 300})
    head = {"study": key["study"], "participant": number, "finished": finished}
    return head | {"trials": trials}


def save(folder, *results):
    files = []
    for index, result in enumerate(results):
        files.append(folder / f"{index}.json")
        text = result if isinstance(result, str) else json.dumps(result)
        files[-1].write_text(text)
    return files


def test_scores_are_those_of_numpy(tmp_path):
    key = make_key()
    fooled = [3, 0, 7, 12, 5]
    files = save(tmp_path, *(answers(key, n, count) for n, count in enumerate(fooled)))
    result = study_scoring.score(files, key)
    rates = np.array(fooled) / 12
    percent = [one["labelled_real"] for one in result["participants"]]
    np.testing.assert_allclose(percent, 100 * rates)
    (method,) = result["methods"]
    assert method["labelled_real"] == pytest.approx(100 * np.mean(rates))
    assert (method["participants"], method["trials"]) == (5, 60)
    assert method["shown_ms"] == {"median": 1000, "max": 1000}
    assert result["dropped"] == []
    rng = np.random.default_rng(0)
    again = rng.choice(rates, (100_000, 5)).mean(axis=1)
    assert method["deviation"] == pytest.approx(100 * again.std(), rel=0.01)
    trials = np.arange(12) < 3
    again = rng.choice(trials, (100_000, 12)).mean(axis=1)
    deviation = result["participants"][0]["deviation"]
    assert deviation == pytest.approx(100 * again.std(), rel=0.01)
    assert "runs/x, AtoB: 45.0 % +- 15.0 % labelled real" in study_scoring.describe(
        result
    )


def test_methods_are_scored_apart(tmp_path):
    key = make_key(methods=2)
    fooled = [2, 9, 4, 11]  # Even participants see the first method.
    files = save(tmp_path, *(answers(key, n, count) for n, count in enumerate(fooled)))
    first, second = study_scoring.score(files, key)["methods"]
    assert (first["method"], second["method"]) == ("runs/x", "runs/y")
    assert first["labelled_real"] == pytest.approx(25)
    assert second["labelled_real"] == pytest.approx(100 * 10 / 12)


def test_who_is_left_out(tmp_path):
    key = make_key()
    good = answers(key, 0, 6)
    edited = answers(key, 1, 6)
    edited["trials"] = edited["trials"][1:]
    odd = answers(key, 1, 6)
    odd["trials"][0]["chosen"] = "both"
    late = answers(key, 0, 0, finished="2026-01-02T00:00:00Z")
    files = save(
        tmp_path,
        *(late, good, answers(key, 2, 0, failed=1), edited, odd),
        answers(make_key(), 3, 0),
        *("no json", "[]", json.dumps({"study": key["study"], "participant": "3"})),
        answers(key, 2, 0, finished="2026-01-03T00:00:00Z"),
    )
    result = study_scoring.score(files, key)
    assert [one["labelled_real"] for one in result["participants"]] == [50]
    assert result["methods"][0]["deviation"] is None
    reasons = {pathlib.Path(e["file"]).stem: e["reason"] for e in result["dropped"]}
    assert "participant 0 has answered before" in reasons.pop("0")
    assert (
        reasons.pop("2") == "failed 1 attention trials (0 allowed: --allowed_failures)"
    )
    assert reasons.pop("3") == reasons.pop("4")
    assert reasons.pop("5") == "it belongs to another study"
    assert {reasons.pop(name) for name in "678"} == {"it holds no answers"}
    # Who failed has no second try.
    assert "participant 2 has answered before" in reasons.pop("9")
    assert not reasons
    lenient = study_scoring.score(files, key, allowed_failures=1)
    assert [one["participant"] for one in lenient["participants"]] == [0, 2]
    with pytest.raises(UserError, match="no participant is left") as caught:
        study_scoring.score(files[2:3], key)
    assert "failed 1 attention trials" in str(caught.value)


def test_sessions_are_drawn_from_the_seed():
    key, again = make_key(), make_key()
    assert key["pictures"].keys().isdisjoint(again["pictures"])  # Names are not.

    def shape(key):
        """The plan, with numbers in the order of making instead of names."""
        numbers = {name: i for i, name in enumerate(key["pictures"])}
        return [
            [[numbers[name] for name in pair] for pair in session["scored"]]
            for session in key["sessions"]
        ]

    assert shape(key) == shape(again)
    rng = np.random.default_rng([0, 2])  # As documented.
    chosen = 5 + rng.choice(20, 12, replace=False)
    rng.permutation(3), rng.random(3)  # The practice trials'.
    pairs = np.concatenate([chosen, [3, 4]])[rng.permutation(14)]
    assert [min(pair) // 2 for pair in shape(key)[2]] == pairs.tolist()
    assert [pair[0] % 2 == 0 for pair in shape(key)[2]] == (
        rng.random(14) < 0.5
    ).tolist()


def test_the_page_knows_nothing_of_scored_trials():
    key = make_key(methods=2)
    page = study_plan.page_data(key)
    assert set(page) == {"study", "show_ms", "pause_ms", "checks", "sessions"}
    for session in page["sessions"]:
        assert set(session) == {"practice", "scored"}
        names = {name for pair in session["scored"] for name in pair}
        assert len(names) == 2 * 14
        assert not {study_plan.fnv1a(name) for name in names} & set(page["checks"])
        for pair in session["practice"]:
            kinds = [key["pictures"][name]["kind"] == REAL for name in pair]
            known = [study_plan.fnv1a(name) in page["checks"] for name in pair]
            assert kinds == known


def test_fnv1a():
    """Published test vectors."""
    assert study_plan.fnv1a("") == 0x811C9DC5
    assert study_plan.fnv1a("a") == 0xE40C292C
    assert study_plan.fnv1a("foobar") == 0xBF9CF968


@pytest.mark.parametrize(
    ("settings", "available", "message"),
    [
        ({"trials": 0}, 100, "trials is 0; it must be 1 or more"),
        ({"pause_ms": -1}, 100, "pause_ms is -1"),
        ({"max_pairs": 39}, 100, "max_pairs is 39, fewer than the 40 trials"),
        ({}, 54, "there are 54 test pictures, too few for 10 practice, 5 attention"),
    ],
)
def test_impossible_protocols(settings, available, message):
    with pytest.raises(UserError, match=message):
        Protocol(**settings).count_pairs(available)


def command(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "cyclegan_jax.study", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_score_command(tmp_path):
    key = make_key()
    (tmp_path / "key.json").write_text(json.dumps(key))
    files = save(
        tmp_path, answers(key, 0, 6), answers(key, 1, 3), answers(key, 2, 0, 1)
    )
    scores = tmp_path / "scores.json"
    done = command("score", f"--key={tmp_path}/key.json", f"--output={scores}", *files)
    assert done.returncode == 0, done.stderr
    assert "37.5 % +- 8.8 % labelled real (2 participants, 24 trials" in done.stdout
    assert "2.json: failed 1 attention trials" in done.stdout
    assert json.loads(scores.read_text())["methods"][0]["labelled_real"] == 37.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "missing: command"),
        (["show"], "invalid choice: 'show'"),
        (["make"], "missing: --workdir"),
        (["make", "x", "--workdir=nowhere"], "unexpected argument 'x'"),
        (["make", "--workdir=nowhere"], "nowhere holds no run"),
        (["make", "--workdir=nowhere", "--output=docs"], "docs is not empty"),
        (["make", "--workdir=nowhere", "--trials=0"], "trials is 0"),
        (["make", "--workdir=nowhere", "--key=x"], "unexpected argument '--key=x'"),
        (["score"], "name the files"),
        (["score", "x.json"], "there is no study-key.json"),
        (["score", "x.json", "--trials=3"], "unexpected argument '--trials=3'"),
        (["score", "--key=README.md", "x.json"], "README.md cannot be read"),
        (["score", "--key=docs", "x.json"], "docs cannot be read"),
    ],
)
def test_mistakes(arguments, message):
    done = command(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("error: ")
