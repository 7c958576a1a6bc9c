"""What Linux says of a processor, and where there is no such word."""

import pytest

from engines.processor import has_int8_tiles, runs_in_tiles

WITH = "processor\t: 0\nflags\t\t: fpu avx512_vnni amx_bf16 amx_tile amx_int8\nbugs\t\t:\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu avx512_vnni amx_int8_more\nmodel name\t: amx_int8\n"


@pytest.mark.parametrize(("said", "expected"), [(WITH, True), (WITHOUT, False), ("", False)])
def test_the_flag_decides(tmp_path, said, expected):
    (tmp_path / "cpuinfo").write_text(said)
    assert has_int8_tiles(tmp_path / "cpuinfo") is expected


def test_where_there_is_no_such_file_there_are_none(tmp_path):
    assert has_int8_tiles(tmp_path / "cpuinfo") is False


@pytest.mark.parametrize(
    ("precision", "has_tiles", "expected"),
    [("int8", True, True), ("int8", False, False), ("fp32", True, False), ("fp16", True, False)],
)
def test_only_int8_graphs_run_in_tiles(monkeypatch, precision, has_tiles, expected):
    monkeypatch.setattr("engines.processor.has_int8_tiles", lambda: has_tiles)
    assert runs_in_tiles(precision) is expected
