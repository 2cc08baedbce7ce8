bpftool -d struct_ops register /opt/temper/src/temper/engine/_bpf/temper.bpf.o 2>&1 | grep -E "^libbpf: prog .*BEGIN|processed|verification time|^[A-Z].*|^libbpf: fail" | grep -v relo
