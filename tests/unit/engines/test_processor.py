"""What Linux says of a processor, and where there is no such word."""

import pytest

from engines.processor import has_int8_tiles

WITH = "processor\t: 0\nflags\t\t: fpu avx512_vnni amx_bf16 amx_tile amx_int8\nbugs\t\t:\n"
WITHOUT = "processor\t: 0\nflags\t\t: fpu avx512_vnni amx_int8_more\nmodel name\t: amx_int8\n"


@pytest.mark.parametrize(("said", "expected"), [(WITH, True), (WITHOUT, False), ("", False)])
def test_the_flag_decides(tmp_path, said, expected):
    (tmp_path / "cpuinfo").write_text(said)
    assert has_int8_tiles(tmp_path / "cpuinfo") is expected


def test_where_there_is_no_such_file_there_are_none(tmp_path):
    assert has_int8_tiles(tmp_path / "cpuinfo") is False
