"""Writes the cffi module of libbpf, libc and the scheduler's ABI: `python -m temper.engine.bindings ABI_HEADER OUTPUT`.

Run at build time by `make build`, never by the product. The result is pure Python (cffi's out-of-line ABI
mode): the node needs no compiler and parses no C at start.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cffi

# Declared as in bpf/libbpf.h, bpf/bpf.h and bpf/btf.h of libbpf 1.4; only what the engine calls.
LIBBPF = """
struct bpf_object; struct bpf_map; struct bpf_program; struct bpf_link; struct btf; struct ring_buffer;

uint32_t libbpf_major_version(void);
uint32_t libbpf_minor_version(void);
int libbpf_num_possible_cpus(void);

struct bpf_object *bpf_object__open_file(const char *path, const void *opts);
int bpf_object__load(struct bpf_object *obj);
struct btf *bpf_object__btf(const struct bpf_object *obj);

struct bpf_map *bpf_object__find_map_by_name(const struct bpf_object *obj, const char *name);
int bpf_map__fd(const struct bpf_map *map);
void *bpf_map__initial_value(const struct bpf_map *map, size_t *psize);
struct bpf_link *bpf_map__attach_struct_ops(const struct bpf_map *map);
int bpf_link__destroy(struct bpf_link *link);

struct bpf_program *bpf_object__find_program_by_name(const struct bpf_object *obj, const char *name);
int bpf_program__fd(const struct bpf_program *prog);
int bpf_program__set_autoload(struct bpf_program *prog, bool autoload);

struct bpf_test_run_opts {
    size_t sz;
    const void *data_in;
    void *data_out;
    uint32_t data_size_in;
    uint32_t data_size_out;
    const void *ctx_in;
    void *ctx_out;
    uint32_t ctx_size_in;
    uint32_t ctx_size_out;
    uint32_t retval;
    int repeat;
    uint32_t duration;
    uint32_t flags;
    uint32_t cpu;
    uint32_t batch_size;
};
int bpf_prog_test_run_opts(int prog_fd, struct bpf_test_run_opts *opts);
int bpf_map_lookup_elem(int fd, const void *key, void *value);
int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags);
int bpf_map_delete_elem(int fd, const void *key);

typedef int (*ring_buffer_sample_fn)(void *ctx, void *data, size_t size);
struct ring_buffer *ring_buffer__new(int map_fd, ring_buffer_sample_fn sample_cb, void *ctx, const void *opts);
int ring_buffer__epoll_fd(const struct ring_buffer *rb);
int ring_buffer__consume(struct ring_buffer *rb);

struct btf_type { uint32_t name_off; uint32_t info; uint32_t size; };
struct btf_member { uint32_t name_off; uint32_t type; uint32_t offset; };
struct btf_param { uint32_t name_off; uint32_t type; };
struct btf *btf__load_vmlinux_btf(void);
void btf__free(struct btf *btf);
int32_t btf__find_by_name_kind(const struct btf *btf, const char *type_name, uint32_t kind);
const struct btf_type *btf__type_by_id(const struct btf *btf, uint32_t id);
const char *btf__name_by_offset(const struct btf *btf, uint32_t offset);
"""

LIBC = """
int prctl(int option, unsigned long arg2, unsigned long arg3, unsigned long arg4, unsigned long arg5);
int mlockall(int flags);
"""


def abi(header: str) -> str:
    """The ABI header without its preprocessor lines, which cffi doesn't read."""
    return "\n".join(line for line in header.splitlines() if not line.startswith("#"))


def emit(abi_header: Path, output: Path) -> None:
    """Write the module to `output`, whose stem becomes its name."""
    ffi = cffi.FFI()
    ffi.cdef(LIBC + LIBBPF + abi(abi_header.read_text()))
    ffi.set_source(output.stem, None)
    output.parent.mkdir(parents=True, exist_ok=True)
    ffi.emit_python_code(str(output))


if __name__ == "__main__":
    emit(Path(sys.argv[1]), Path(sys.argv[2]))
