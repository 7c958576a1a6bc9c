"""breath-live doctor with a microphone, as a person starts it."""

import json
import os
import subprocess
import sys

import pytest


@pytest.mark.soundcard
def test_a_machine_with_a_microphone_is_found_well(virtual_microphone, tiny_pack):
    virtual_microphone.keep_clock_fine()
    command = [sys.executable, "-m", "realtime.cli", "doctor", "--json", "--pack", str(tiny_pack)]
    done = subprocess.run(
        [*command, "--device", "pulse"],
        env=virtual_microphone.env | {"XDG_CONFIG_HOME": os.devnull},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 0, done.stdout
    by_subject = {finding["subject"]: finding for finding in report["findings"]}
    assert {"python", "packages", "settings", "pack", "engine", "latency", "portaudio"} <= set(by_subject)
    # Nothing plays: the capture works, and is silent to the last bit.
    assert by_subject["capture"]["verdict"] == "warning"
    assert "unmute" in by_subject["capture"]["mend"]
    assert by_subject["capture"]["measures"]["rate_hz"] == 16_000
    assert report["verdict"] == "warning"
