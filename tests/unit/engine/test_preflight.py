from temper.engine.preflight import check_isolation


def isolate(root, cpus):
    path = root / "devices/system/cpu/isolated"
    path.parent.mkdir(parents=True)
    path.write_text(f"{cpus}\n")
    return root


def test_a_machine_with_isolated_cpus_is_named_with_the_remedy(tmp_path):
    check = check_isolation(isolate(tmp_path, "3"))
    assert not check.ok
    assert "cpu 3 isolated at boot (isolcpus=)" in check.detail
    assert "boot without isolcpus=" in check.remedy


def test_an_empty_list_is_fine(tmp_path):
    assert check_isolation(isolate(tmp_path, "")).ok
