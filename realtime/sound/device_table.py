"""The list of microphones: a table for people, tab-separated lines for programs."""

import sys
from collections.abc import Mapping, Sequence

import click

from realtime.sound.devices import InputDevice
from realtime.sound.portaudio import STANDARD_RATES_HZ

_COLUMNS = ("number", "name", "sound system", "channels", "rate_hz", "rates_hz", "default")


def print_devices(devices: Sequence[InputDevice], rates_hz: Mapping[int, Sequence[int]]) -> None:
    """Print to standard output; without devices, say so, and what to do.

    Args:
        devices: all there are.
        rates_hz: by the number of a device, the rates that it records at, Hz.
    """
    if not devices:
        click.echo(
            "This machine shows no microphone. Plug one in, or start its sound server, and look again; "
            "recordings (breath-live replay FILE) and the demo (breath-live demo) work without."
        )
        return
    if not sys.stdout.isatty():
        rows = [_row(device, " ".join(map(str, rates_hz[device.index]))) for device in devices]
        for row in (_COLUMNS, *rows):
            click.echo("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in ("number", "channels", "rate_hz") else "left")
    for device in devices:
        row = _row(device, _short(rates_hz[device.index]))
        # Text, because a name in square brackets would be taken for markup.
        table.add_row(*(Text(cell) for cell in row))
    console = Console()
    console.print(table)
    console.print("\nChoose one with --device and its number or a part of its name.", highlight=False)


def _short(rates_hz: Sequence[int]) -> str:
    """Rates, Hz, in words: a sound server takes them all, which would be five lines in a narrow terminal."""
    first = STANDARD_RATES_HZ.index(rates_hz[0]) if rates_hz and rates_hz[0] in STANDARD_RATES_HZ else 0
    if len(rates_hz) > 2 and tuple(rates_hz) == STANDARD_RATES_HZ[first : first + len(rates_hz)]:
        return f"{rates_hz[0]} to {rates_hz[-1]}"
    return " ".join(map(str, rates_hz))


def _row(device: InputDevice, rates: str) -> tuple[str, ...]:
    return (
        str(device.index),
        device.name,
        device.host_api,
        str(device.n_channels_max),
        f"{device.rate_default_hz:.0f}",
        rates or "-",
        "default" if device.is_default else "",
    )
