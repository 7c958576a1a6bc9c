import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.errors import LabelsError
from realtime.events import Phase
from realtime.labels import PhaseInterval, are_labels, audacity_from_labels, csv_from_labels, read_labels

INHALE_THEN_EXHALE = (
    PhaseInterval(1600, 16_000, Phase.INHALE),
    PhaseInterval(16_000, 40_001, Phase.EXHALE),
)


@pytest.fixture
def labels_file(tmp_path):
    def write(text, name="truth.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@st.composite
def timelines(draw):
    lengths = draw(st.lists(st.tuples(st.integers(0, 10**6), st.integers(1, 10**7)), max_size=20))
    at, phases = 0, []
    for gap, length in lengths:
        phase = draw(st.sampled_from([Phase.INHALE, Phase.EXHALE]))
        phases.append(PhaseInterval(at + gap, at + gap + length, phase))
        at += gap + length
    return tuple(phases)


@given(timelines())
def test_both_formats_read_back_to_the_sample(tmp_path_factory, phases):
    folder = tmp_path_factory.mktemp("labels")
    (folder / "a.csv").write_text(csv_from_labels(phases))
    (folder / "a.txt").write_text(audacity_from_labels(phases))
    assert read_labels(folder / "a.csv") == phases
    assert read_labels(folder / "a.txt") == phases


def test_csv_is_seconds_with_a_header():
    assert csv_from_labels(INHALE_THEN_EXHALE).splitlines() == [
        "start_s,end_s,phase",
        "0.100000,1.000000,inhale",
        "1.000000,2.500062,exhale",
    ]


def test_nobody_breathing_is_a_header_or_an_empty_text(labels_file):
    assert read_labels(labels_file("start_s,end_s,phase\n")) == ()
    assert read_labels(labels_file("", "truth.txt")) == ()


def test_short_names_capitals_spaces_and_audacitys_frequency_lines_are_read(labels_file):
    audacity = "0.1\t1.0\tI\n\\\t200.0\t900.0\n1.0\t2.5000625\tExhale\n"
    assert read_labels(labels_file(audacity, "truth.txt")) == INHALE_THEN_EXHALE
    csv = "\ufeffStart_s, end_s, phase\r\n0.1, 1.0, inhale\r\n\r\n1.0, 2.5000625, e\r\n"
    assert read_labels(labels_file(csv)) == INHALE_THEN_EXHALE


@pytest.mark.parametrize(
    ("rows", "line", "words"),
    [
        ("0,1,inhale\n0.5,2,exhale", 3, "overlaps the phase above, which ends at 1.0 s"),
        ("3,4,inhale\n1,2,exhale", 3, "sort the lines"),
        ("0,1,inhale\n1,2,snore", 3, "'snore' is neither inhale"),
        ("0,1,none", 2, "'none' is neither inhale"),
        ("nan,1,inhale", 2, "'nan' is not a time within a recording"),
        ("0,inf,inhale", 2, "'inf' is not a time within a recording"),
        ("-0.5,1,inhale", 2, "'-0.5' is not a time within a recording"),
        ("zero,1,inhale", 2, "'zero' is not a time in seconds"),
        ("1,1,inhale", 2, "not after its start"),
        ("2,1,inhale", 2, "not after its start"),
        ("\n\n0,1", 4, "has 2 cells"),
        ("0,1,inhale,loud", 2, "has 4 cells"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(labels_file, rows, line, words):
    path = labels_file("start_s,end_s,phase\n" + rows + "\n")
    with pytest.raises(LabelsError) as error:
        read_labels(path)
    assert f"{path}, line {line}: " in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", "start,end,phase\n0,1,inhale\n", "0,1,inhale\n"])
def test_a_csv_needs_its_header(labels_file, text):
    with pytest.raises(LabelsError, match="start_s,end_s,phase"):
        read_labels(labels_file(text))


def test_a_file_that_is_not_there_or_not_text_is_a_labels_error(tmp_path):
    with pytest.raises(LabelsError, match="cannot read the labels"):
        read_labels(tmp_path / "none.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(LabelsError, match="UTF-8"):
        read_labels(tmp_path / "binary.csv")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"start_s,end_s,phase\r\n0,1,i\r\n", True),
        (b"0.5\t1.0\tinhale\n", True),
        (b"\xef\xbb\xbf0.5\t1.0\t\xe9xhale\n", True),
        # An Ogg whose serial number happens to hold two tabs.
        (b"OggS\x00\x02\x00\x00\x09\x12\x09\x00\x01vorbis\n", False),
        (b"slept badly\n", False),
    ],
)
def test_labels_are_told_from_other_files_by_their_first_line(tmp_path, content, expected):
    (tmp_path / "file").write_bytes(content)
    assert are_labels(tmp_path / "file") is expected
    assert not are_labels(tmp_path / "none")
