"""Where the figures of an evaluation go."""

import json
import math

import click
import pytest

from engines.errors import OutputError
from offline.evaluate import words_of_seen_days
from offline.evaluation_output import hand_out, warn
from offline.output import STANDARD_OUTPUT, write_json


def handed_out(json_path, report):
    done = []

    def write_report(folder):
        done.append(folder)
        return folder / "report.html"

    hand_out(
        {"auc": 0.9}, json_path, report, write_report=write_report, print_figures=lambda: click.echo("table")
    )
    return done


def test_figures_are_written_reported_and_printed(tmp_path, capsys):
    assert handed_out(tmp_path / "a.json", tmp_path / "report") == [tmp_path / "report"]
    assert json.loads((tmp_path / "a.json").read_text()) == {"auc": 0.9}
    said = capsys.readouterr()
    assert said.out == "table\n"
    assert said.err == f"report: {tmp_path / 'report' / 'report.html'}\n"


def test_standard_output_holds_the_json_alone(capsys):
    assert handed_out(STANDARD_OUTPUT, None) == []
    assert json.loads(capsys.readouterr().out) == {"auc": 0.9}


def test_figures_are_not_lost_with_a_file_that_cannot_be_written(tmp_path, capsys):
    with pytest.raises(OutputError):
        handed_out(tmp_path / "nowhere" / "a.json", None)
    assert capsys.readouterr().out == "table\n"


def test_what_json_does_not_know_is_not_written(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"auc": math.nan})
    assert list(tmp_path.iterdir()) == []


def test_days_that_were_seen_are_warned_of(capsys):
    warn(words_of_seen_days(0))
    assert capsys.readouterr().err == ""
    warn(words_of_seen_days(3))
    assert capsys.readouterr().err.startswith("warning: 3 of these days")
