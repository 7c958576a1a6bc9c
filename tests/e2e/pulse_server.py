"""A microphone without sound hardware: a private PulseAudio server whose loudspeaker can be listened to."""

import ctypes.util
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

RATE_HZ = 16_000
_START_LIMIT_S = 60.0
_SETTLE_S = 2.2
_SINK = "vmic"
_SINK_MODULE = ["module-null-sink", f"sink_name={_SINK}", f"rate={RATE_HZ}", "channels=1", "format=s16le"]
_HEADSET = "sink_properties=device.description=Headset"


@dataclass
class VirtualMicrophone:
    """The device `pulse` of any process that runs with `env` hears what is played here.

    PortAudio freezes its list of devices at its start: capture in a fresh process.

    Attributes:
        env: the whole environment for that process.
        server: the sound server; ending it is pulling the plug.
    """

    env: dict[str, str]
    server: subprocess.Popen[bytes]
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def play(self, wav_path: str | os.PathLike[str]) -> subprocess.Popen[bytes]:
        """Start playing a file into the microphone, in real time; it ends by itself."""
        return self.start(["paplay", f"--device={_SINK}", "--latency-msec=100", str(wav_path)])

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        """Start a program in this environment; it is ended with the microphone at the latest."""
        quiet = subprocess.DEVNULL
        child = subprocess.Popen(command, env=self.env, stdin=quiet, stdout=quiet, stderr=quiet)
        self._children.append(child)
        return child

    def keep_clock_fine(self) -> None:
        """A reader that wants little latency keeps the clock of the silent loudspeaker fine-grained."""
        source = [f"--device={_SINK}.monitor", "--latency-msec=10"]
        self.start(["parec", *source, f"--rate={RATE_HZ}", "--channels=1", "--raw"])

    def unplug_source(self) -> None:
        """The microphone goes, and what plays into it ends; the sound server stays."""
        self._ask_server("unload-module", _SINK_MODULE[0])

    def replug_source(self) -> None:
        """The microphone comes back, silent."""
        self._ask_server("load-module", *_SINK_MODULE)
        self.keep_clock_fine()

    def add_other(self, wav_path: str | os.PathLike[str]) -> None:
        """Another microphone, which hears this file from now on, and which nobody has chosen yet."""
        self._ask_server("set-default-source", f"{_SINK}.monitor")
        self._ask_server("load-module", "module-null-sink", "sink_name=other", f"rate={RATE_HZ}", _HEADSET)
        self.start(["paplay", "--device=other", str(wav_path)])

    def make_other_the_default(self) -> None:
        """Whoever takes the default microphone (without PULSE_SOURCE in `env`) is to hear the other one."""
        self._ask_server("set-default-source", "other.monitor")

    def freeze(self) -> None:
        """The sound server stops answering, as a driver that is stuck."""
        self.server.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        self.server.send_signal(signal.SIGCONT)

    def unplug(self) -> None:
        """The whole server goes, as if the cable was pulled."""
        _ended(self.server)

    def end(self) -> None:
        """End everything that was started."""
        if self.server.poll() is None:
            self.thaw()
        for child in (*self._children, self.server):
            _ended(child)

    def _ask_server(self, *request: str) -> None:
        subprocess.run(["pactl", *request], env=self.env, check=True, capture_output=True, timeout=60)


def started(folder: Path) -> VirtualMicrophone:
    """Start one, 16 kHz mono, silent until something is played.

    Args:
        folder: empty, for the server's files. Its path must be short, as that of any socket.
    """
    env = _environment(folder)
    server = subprocess.Popen(
        [
            "pulseaudio",
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            f"--log-target=file:{folder}/pulse.log",
            "-L",
            "module-native-protocol-unix",
            "-L",
            " ".join(_SINK_MODULE),
        ],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    microphone = VirtualMicrophone(env, server)
    try:
        _wait_until_ready(microphone, folder)
        microphone.keep_clock_fine()
        time.sleep(_SETTLE_S)
    except BaseException:
        microphone.end()
        raise
    return microphone


def what_is_missing() -> list[str]:
    """Names of the programs and packages that are needed and not installed."""
    missing = [program for program in ("pulseaudio", "paplay", "parec", "pactl") if not shutil.which(program)]
    if ctypes.util.find_library("portaudio") is None:
        missing.append("libportaudio2")
    if not list(Path("/usr").glob("lib*/**/alsa-lib/libasound_module_pcm_pulse.so")):
        missing.append("libasound2-plugins")
    return missing


def _environment(folder: Path) -> dict[str, str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PULSE_", "ALSA_"))}
    return env | {
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "PULSE_SERVER": f"unix:{folder}/pulse/native",
        "PULSE_COOKIE": str(folder / "cookie"),
        "PULSE_SOURCE": f"{_SINK}.monitor",
    }


def _wait_until_ready(microphone: VirtualMicrophone, folder: Path) -> None:
    give_up_s = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < give_up_s and microphone.server.poll() is None:
        asked = subprocess.run(
            ["pactl", "list", "short", "sinks"],
            env=microphone.env,
            capture_output=True,
            text=True,
            check=False,
        )
        if _SINK in asked.stdout:
            return
        time.sleep(0.1)
    log = folder / "pulse.log"
    raise RuntimeError("the sound server did not start:\n" + (log.read_text() if log.exists() else "no log"))


def _ended(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is not None:
        return
    child.send_signal(signal.SIGTERM)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
