"""The program of an iterator as lines of C: instructions with comments, and jumps by label."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from sockiter.export.forms import Form

MACROS = {
    "INSN": "INSN(c, d, s, o, i) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }",
    "MOV": "MOV(dst, src) INSN(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)",
    "MOV_IMM": "MOV_IMM(dst, imm) INSN(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)",
    "ADD": "ADD(dst, src) INSN(BPF_ALU64 | BPF_ADD | BPF_X, dst, src, 0, 0)",
    "ADD_IMM": "ADD_IMM(dst, imm) INSN(BPF_ALU64 | BPF_ADD | BPF_K, dst, 0, 0, imm)",
    "SHIFT_IMM": "SHIFT_IMM(dst, imm) INSN(BPF_ALU64 | BPF_LSH | BPF_K, dst, 0, 0, imm)",
    "LOAD": "LOAD(size, dst, src, off) INSN(BPF_LDX | BPF_MEM | (size), dst, src, off, 0)",
    "STORE": "STORE(size, dst, off, src) INSN(BPF_STX | BPF_MEM | (size), dst, src, off, 0)",
    "STORE_IMM": "STORE_IMM(size, dst, off, imm) INSN(BPF_ST | BPF_MEM | (size), dst, 0, off, imm)",
    "JUMP": "JUMP(off) INSN(BPF_JMP | BPF_JA, 0, 0, off, 0)",
    "JUMP_IF": "JUMP_IF(op, dst, imm, off) INSN(BPF_JMP | (op) | BPF_K, dst, 0, off, imm)",
    "JUMP_IF_REG": "JUMP_IF_REG(op, dst, src, off) INSN(BPF_JMP | (op) | BPF_X, dst, src, off, 0)",
    "MAY_GOTO": "MAY_GOTO(off) INSN(0xe5, 0, 0, off, 0) /* BPF_JMP | BPF_JCOND: when a loop has taken too long */",
    "CALL": "CALL(helper) INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper)",
    "CALL_KERNEL": "CALL_KERNEL(id) INSN(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, id)",
    "VALUE_OF": (
        "VALUE_OF(dst, map) INSN(BPF_LD | BPF_DW | BPF_IMM, dst, BPF_PSEUDO_MAP_VALUE, 0, map), INSN(0, 0, 0, 0, 0)"
    ),
    "EXIT": "EXIT() INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)",
}
"""The instructions as macros, in the order of their definitions."""

_WIDE = "VALUE_OF"


@dataclass(slots=True)
class Program:
    """A program as lines of C. `values`: the declarations that it needs; `macros`: the definitions of its instructions."""

    lines: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    macros: list[str] = field(default_factory=list)


class _Listing:
    # Instructions, each with the comment above it. `{label}` in an instruction is the distance to that label.

    def __init__(self) -> None:
        self._lines: list[tuple[str, str]] = []
        self._labels: dict[str, int] = {}
        self._size = 0
        self._at: list[int] = []

    def add(self, *instructions: str, comment: str = "") -> None:
        for instruction in instructions:
            self._lines.append((instruction, comment))
            self._at.append(self._size)
            self._size += 2 if instruction.startswith(_WIDE) else 1
            comment = ""

    def label(self, name: str) -> None:
        self._labels[name] = self._size

    def read(self, size: int, base: str, offset: str, to: str, *, comment: str = "") -> None:
        self.add(
            "MOV(BPF_REG_1, BPF_REG_10)",
            f"ADD_IMM(BPF_REG_1, {to})",
            f"MOV_IMM(BPF_REG_2, {size})",
            f"MOV(BPF_REG_3, {base})",
            f"ADD_IMM(BPF_REG_3, {offset})",
            "CALL(BPF_FUNC_probe_read_kernel)",
            comment=comment,
        )

    def lines(self) -> list[str]:
        printed = []
        for (instruction, comment), at in zip(self._lines, self._at, strict=True):
            if comment:
                printed.append(f"/* {comment} */")
            for label in re.findall(r"\{(\w+)\}", instruction):
                instruction = instruction.replace(f"{{{label}}}", str(self._labels[label] - at - 1))
            printed.append(f"{instruction},")
        return printed


def program_of(form: Form, uses: frozenset[str]) -> Program:
    """The program that writes a record of every socket, and whatever else a case uses."""
    to = _Listing()
    values: list[str] = []
    if "shared" in uses:
        values.append("int map = make_shared();")
    if uses & {"doomed", "destroying"}:
        values.append('int sock_destroy = btf_function("bpf_sock_destroy");')
    record = -16 if "has_bucket" in uses else -8
    to.add(
        "LOAD(BPF_DW, BPF_REG_6, BPF_REG_1, 8)",
        "JUMP_IF(BPF_JEQ, BPF_REG_6, 0, {end})",
        "LOAD(BPF_DW, BPF_REG_7, BPF_REG_1, 0)",
        "LOAD(BPF_DW, BPF_REG_7, BPF_REG_7, 0)",
        comment="r6: the socket, NULL in the last call; r7: ctx->meta->seq",
    )
    if "has_bucket" in uses:
        _add_bucket(to, form, values)
    to.add(
        "MOV(BPF_REG_1, BPF_REG_6)",
        "CALL(BPF_FUNC_get_socket_cookie)",
        f"STORE(BPF_DW, BPF_REG_10, {record}, BPF_REG_0)",
        comment="the record, on the stack: its cookie",
    )
    if "shared" in uses:
        to.add("VALUE_OF(BPF_REG_9, map)", comment="r9: what is shared with user space")
    if "stops" in uses:
        _add_stop(to, record)
    if "doomed" in uses:
        to.add(
            "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, doomed))",
            f"LOAD(BPF_DW, BPF_REG_2, BPF_REG_10, {record})",
            "JUMP_IF_REG(BPF_JNE, BPF_REG_1, BPF_REG_2, {spared})",
            "STORE_IMM(BPF_DW, BPF_REG_9, offsetof(struct shared, doomed), 0)",
            "MOV(BPF_REG_1, BPF_REG_6)",
            "CALL_KERNEL(sock_destroy)",
            "JUMP({end})",
            comment="if this is the socket to destroy, bpf_sock_destroy(sk)",
        )
        to.label("spared")
    if "unwanted" in uses:
        _leave_out_unwanted(to, uses, values)
    if "silent" in uses:
        to.add(
            "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, mode))",
            "JUMP_IF(BPF_JSET, BPF_REG_1, SILENT, {store})",
            comment="a silent walk writes nothing",
        )
    to.add(
        "MOV(BPF_REG_1, BPF_REG_7)",
        "MOV(BPF_REG_2, BPF_REG_10)",
        f"ADD_IMM(BPF_REG_2, {record})",
        "MOV_IMM(BPF_REG_3, sizeof(struct record))",
        "CALL(BPF_FUNC_seq_write)",
        comment="bpf_seq_write(seq, &record, sizeof(record))",
    )
    if "log" in uses:
        _add_log(to, record, uses)
    to.label("end")
    to.add("MOV_IMM(BPF_REG_0, 0)", "EXIT()", comment="return 0")
    lines = to.lines()
    return Program(lines, values, _macros(lines))


def _add_bucket(to: _Listing, form: Form, values: list[str]) -> None:
    if form.kind == "udp":
        to.add(
            "LOAD(BPF_W, BPF_REG_8, BPF_REG_1, 24)",
            "STORE(BPF_DW, BPF_REG_10, -8, BPF_REG_8)",
            comment="the record, on the stack: ctx->bucket",
        )
    elif form.kind == "unix":
        values.append('int hash = btf_offset("sock_common", "skc_hash");')
        to.add(
            "LOAD(BPF_W, BPF_REG_8, BPF_REG_6, hash)",
            "STORE(BPF_DW, BPF_REG_10, -8, BPF_REG_8)",
            comment="the record, on the stack: sk->sk_hash",
        )
    else:
        values += [
            'int private = btf_offset("seq_file", "private");',
            'int bucket = btf_offset("tcp_iter_state", "bucket");',
            'int state = btf_offset("tcp_iter_state", "state");',
        ]
        to.add(
            "LOAD(BPF_DW, BPF_REG_8, BPF_REG_7, private)", comment="the record, on the stack: bucket and table of the walk"
        )
        to.read(4, "BPF_REG_8", "bucket", "-8")
        to.read(4, "BPF_REG_8", "state", "-4")


def _add_stop(to: _Listing, record: int) -> None:
    to.add(
        "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, state))",
        "JUMP_IF(BPF_JNE, BPF_REG_1, ARMED, {unstopped})",
        "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, nr_shows))",
        "ADD_IMM(BPF_REG_1, 1)",
        "STORE(BPF_DW, BPF_REG_9, offsetof(struct shared, nr_shows), BPF_REG_1)",
        f"LOAD(BPF_DW, BPF_REG_1, BPF_REG_10, {record})",
        "STORE(BPF_DW, BPF_REG_9, offsetof(struct shared, about), BPF_REG_1)",
        "STORE_IMM(BPF_DW, BPF_REG_9, offsetof(struct shared, state), ASKED)",
        comment="a stop: wait until user space has made its changes",
    )
    to.label("wait")
    to.add(
        "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, state))",
        "JUMP_IF(BPF_JNE, BPF_REG_1, ASKED, {unstopped})",
        "MAY_GOTO({too_long})",
        "JUMP({wait})",
    )
    to.label("too_long")
    to.add("STORE_IMM(BPF_DW, BPF_REG_9, offsetof(struct shared, timed_out), 1)")
    to.label("unstopped")


def _leave_out_unwanted(to: _Listing, uses: frozenset[str], values: list[str]) -> None:
    values.append('int mark = btf_offset("sock", "sk_mark");')
    if uses & {"request", "close"}:
        values.append('int sock_state = btf_offset("sock_common", "skc_state");')
        values += ['int request_mark = btf_offset("inet_request_sock", "ir_mark");'] if "request" in uses else []
        values += ['int time_wait_mark = btf_offset("inet_timewait_sock", "tw_mark");'] if "close" in uses else []
        to.add("STORE_IMM(BPF_DW, BPF_REG_10, -24, 0)", comment="where the mark is depends on sk->sk_state")
        to.read(1, "BPF_REG_6", "sock_state", "-24")
        to.add("LOAD(BPF_DW, BPF_REG_1, BPF_REG_10, -24)", "MOV(BPF_REG_3, BPF_REG_6)")
        for use, state, offset in (("request", 12, "request_mark"), ("close", 6, "time_wait_mark")):
            if use in uses:
                name = "TCP_NEW_SYN_RECV" if use == "request" else "TCP_TIME_WAIT"
                to.add(f"ADD_IMM(BPF_REG_3, {offset})", f"JUMP_IF(BPF_JEQ, BPF_REG_1, {state}, {{mark}})", comment=name)
                to.add("MOV(BPF_REG_3, BPF_REG_6)")
        to.add("ADD_IMM(BPF_REG_3, mark)")
        to.label("mark")
        to.add(
            "MOV(BPF_REG_1, BPF_REG_10)",
            "ADD_IMM(BPF_REG_1, -24)",
            "MOV_IMM(BPF_REG_2, 4)",
            "CALL(BPF_FUNC_probe_read_kernel)",
        )
    else:
        to.read(4, "BPF_REG_6", "mark", "-24", comment="sk->sk_mark")
    to.add(
        "LOAD(BPF_W, BPF_REG_1, BPF_REG_10, -24)",
        "JUMP_IF(BPF_JEQ, BPF_REG_1, UNWANTED, {end})",
        comment="no record of a socket with the mark",
    )


def _add_log(to: _Listing, record: int, uses: frozenset[str]) -> None:
    to.add("JUMP_IF(BPF_JNE, BPF_REG_0, 0, {end})", comment="it did not fit")
    to.label("store")
    to.add(
        "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, nr_stored))",
        "MOV(BPF_REG_2, BPF_REG_1)",
        "ADD_IMM(BPF_REG_2, 1)",
        "STORE(BPF_DW, BPF_REG_9, offsetof(struct shared, nr_stored), BPF_REG_2)",
        "JUMP_IF(BPF_JGE, BPF_REG_1, LOG, {end})",
        f"SHIFT_IMM(BPF_REG_1, {4 if record == -16 else 3})",
        "ADD(BPF_REG_1, BPF_REG_9)",
        comment="stored[nr_stored++] = record",
    )
    for word in range(0, -record, 8):
        to.add(f"LOAD(BPF_DW, BPF_REG_2, BPF_REG_10, {record + word})")
        to.add(f"STORE(BPF_DW, BPF_REG_1, offsetof(struct shared, stored){f' + {word}' if word else ''}, BPF_REG_2)")
    if "destroying" in uses:
        to.add(
            "LOAD(BPF_DW, BPF_REG_1, BPF_REG_9, offsetof(struct shared, mode))",
            "JUMP_IF(BPF_JSET, BPF_REG_1, DESTROYING, {destroy})",
            "JUMP({end})",
            comment="a destroying walk: bpf_sock_destroy(sk)",
        )
        to.label("destroy")
        to.add("MOV(BPF_REG_1, BPF_REG_6)", "CALL_KERNEL(sock_destroy)")


def _macros(lines: Iterable[str]) -> list[str]:
    used = {word for line in lines for word in re.findall(r"\b([A-Z_]+)\(", line)} | {"INSN"}
    return [f"#define {definition}" for name, definition in MACROS.items() if name in used]
