import pytest
from bench import command, lines, scenario
from bench.lines import Line
from bench.scenario import Order, Unfit


def ordered(*words):
    options = command.parse([*words, "--out", "r.jsonl"])
    return command.order(scenario.find(options.job), options)


def test_what_is_not_said_is_the_scenarios():
    assert ordered("ladder") == Order("ladder", 3, ("stock", "temper"), ("0", "1", "2", "4", "8"), {})


def test_what_is_said_is_taken_each_once_and_stock_goes_first():
    words = ["ladder", "--arms", "temper,stock", "--points", "8,0,8", "--cpus", "4", "--set", "seconds=1.5"]
    assert ordered(*words) == Order("ladder", 4, ("stock", "temper"), ("8", "0"), {"seconds": 1.5})


def test_a_setting_that_is_as_ever_is_not_in_the_record():
    assert ordered("ladder", "--set", "seconds=3").settings == {}


def test_all_points_are_a_tables_and_nothing_where_there_is_none():
    assert ordered("quota", "--points", "all").points == scenario.find("quota").all_points
    with pytest.raises(Unfit, match="point 'all'"):
        ordered("ladder", "--points", "all")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ladder", "--arms", "scx"], "no arm 'scx'; it has stock, temper"),
        (["reconfigure", "--arms", "stock"], "no arm 'stock'; it has temper"),
        (["ladder", "--points", "0,"], "names with commas"),
        (["ladder", "--points", "many"], "point 'many'"),
        (["ladder", "--cpus", "1"], "needs 2 or more"),
        (["smt", "--cpus", "8"], "says itself"),
        (["ladder", "--repeat", "0"], "1 or more"),
        (["ladder", "--set", "speed=1"], "'speed' is no setting"),
    ],
)
def test_what_does_not_fit_is_named(words, message):
    with pytest.raises(Unfit, match=message):
        ordered(*words)


def test_wrong_arguments_are_one_line_and_status_2(capsys):
    with pytest.raises(SystemExit) as told:
        command.main(["ladder", "--out", "r.jsonl", "--arms", "scx"])
    assert told.value.code == 2
    assert capsys.readouterr().err == "bench/run: ladder has no arm 'scx'; it has stock, temper\n"


def test_a_record_that_can_not_be_written_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(Unfit, match="Is a directory"):
        command.make_record(tmp_path)
    command.make_record(tmp_path / "new/r.jsonl")
    assert (tmp_path / "new/r.jsonl").read_text() == ""


def test_the_list_names_every_scenario(capsys):
    assert command.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in scenario.names())


def test_the_summary_is_of_all_files_together(tmp_path, capsys):
    for name, arm, value in (("a", "stock", 20.0), ("b", "temper", 5.0)):
        found = Line("ladder", arm, "2", "latency_p99", value, "us", 9, 1, True, "", "7.3.4", "virtual", 3)
        lines.append(tmp_path / name, [found])
    assert command.main(["summary", str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    shown = capsys.readouterr().out
    assert "ladder: kernel 7.3.4, clock virtual, 3 cpus" in shown
    assert "0.250" in shown


def test_a_file_that_is_no_record_is_named(tmp_path, capsys):
    (tmp_path / "x").write_text("nothing\n")
    assert command.main(["summary", str(tmp_path / "x")]) == 2
    assert "x:1: not a line of a record" in capsys.readouterr().err
