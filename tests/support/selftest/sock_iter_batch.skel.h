// SPDX-License-Identifier: MIT
/*
 * The skeleton of sock_iter_batch.c, by bpf(2) instead of libbpf. Its program writes the same record for every socket of the
 * network namespace. In front of this file stands the part of a generated program that reads BTF.
 */
#pragma once
#include <linux/bpf.h>
#include <sys/syscall.h>

#define INSN(c, d, s, o, i) { .code = (c), .dst_reg = (d), .src_reg = (s), .off = (o), .imm = (i) }

struct bpf_link {
	int fd;
};

struct sock_iter_batch {
	struct { int sf, ss, ports[2]; } *rodata;
	struct { const char *iter_udp_soreuse, *iter_tcp_soreuse; } progs;
};

static inline int bpf_call(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}

static inline struct sock_iter_batch *sock_iter_batch__open(void)
{
	struct sock_iter_batch *skel = calloc(1, sizeof(*skel));

	skel->rodata = calloc(1, sizeof(*skel->rodata));
	skel->progs.iter_udp_soreuse = "bpf_iter_udp";
	skel->progs.iter_tcp_soreuse = "bpf_iter_tcp";
	load_btf();
	return skel;
}

static inline int sock_iter_batch__load(struct sock_iter_batch *skel)
{
	return !skel->rodata->sf;
}

static inline void sock_iter_batch__destroy(struct sock_iter_batch *skel)
{
	free(skel);
}

static inline struct bpf_link *bpf_program__attach_iter(const char *function, void *options)
{
	struct bpf_insn program[] = {
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 6, 1, 8, 0),
		INSN(BPF_JMP | BPF_JEQ | BPF_K, 6, 0, 14, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 7, 1, 0, 0),
		INSN(BPF_LDX | BPF_MEM | BPF_DW, 7, 7, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0, 0),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_socket_cookie),
		INSN(BPF_ST | BPF_MEM | BPF_W, 10, 0, -16, 0),
		INSN(BPF_STX | BPF_MEM | BPF_W, 10, 0, -12, 0),
		INSN(BPF_ALU64 | BPF_RSH | BPF_K, 0, 0, 0, 32),
		INSN(BPF_STX | BPF_MEM | BPF_W, 10, 0, -8, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 1, 7, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0),
		INSN(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -16),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0, 12),
		INSN(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_seq_write),
		INSN(BPF_JMP | BPF_JA, 0, 0, 0, 0),
		INSN(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0),
		INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0),
	};
	struct bpf_link *link = calloc(1, sizeof(*link));
	union bpf_attr attr;
	int fd;

	(void)options;
	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = BPF_TRACE_ITER;
	attr.attach_btf_id = btf_function(function);
	attr.insns = (unsigned long)program;
	attr.insn_cnt = ARRAY_SIZE(program);
	attr.license = (unsigned long)"Dual MIT/GPL";
	fd = bpf_call(BPF_PROG_LOAD, &attr);
	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = fd;
	attr.link_create.attach_type = BPF_TRACE_ITER;
	link->fd = bpf_call(BPF_LINK_CREATE, &attr);
	return link->fd < 0 ? NULL : link;
}

static inline int bpf_link__fd(const struct bpf_link *link)
{
	return link->fd;
}

static inline void bpf_link__destroy(struct bpf_link *link)
{
	if (link)
		close(link->fd);
	free(link);
}

static inline int bpf_iter_create(int fd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.iter_create.link_fd = fd;
	return bpf_call(BPF_ITER_CREATE, &attr);
}
