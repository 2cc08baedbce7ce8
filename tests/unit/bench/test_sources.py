from bench.sources import source, write_sources


def test_sources_are_the_same_each_time_and_each_function_calls_the_one_before(tmp_path):
    write_sources(tmp_path / "sources", 3, 4)
    listed = (tmp_path / "sources/list").read_text().splitlines()
    assert [path.rpartition("/")[2] for path in listed] == ["0.c", "1.c", "2.c"]
    text = (tmp_path / "sources/1.c").read_text()
    assert text == source(1, 4)
    assert "#include" not in text
    assert "return f1_2(s, a);" in text
