
/* What the program writes for each socket. */
struct record {
	__u64 cookie;
{% if uses.has_bucket %}
	__u32 bucket;
	__u32 table; {{ '/* 0 for listening sockets, 1 for established ones */' if kind == 'tcp' }}
{% endif %}
};
{% if uses.shared %}

/* What the program and this process share. */
struct shared {
{% if uses.mode %}
	__u64 mode;
{% endif %}
{% if uses.stops %}
	__u64 state; /* IDLE; ARMED: stop at the next socket; ASKED: stopped */
	__u64 about; /* the cookie of the socket at which the read is stopped */
	__u64 nr_shows;
	__u64 timed_out;
{% endif %}
{% if uses.doomed %}
	__u64 doomed; /* the cookie of the socket that the program destroys when it meets it */
{% endif %}
{% if uses.log %}
	__u64 nr_stored;
	struct record stored[LOG]; /* the sockets that the program has shown */
{% endif %}
};

static struct shared *shared;
{% endif %}

{% for macro in macros %}
{{ macro }}
{% endfor %}

static int iterator; /* the link of the program with bpf_iter_{{ kind }} */

static int bpf(int command, union bpf_attr *attr)
{
	return syscall(__NR_bpf, command, attr, sizeof(*attr));
}
{% if uses.shared %}

static int make_shared(void)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.map_type = BPF_MAP_TYPE_ARRAY;
	attr.key_size = sizeof(__u32);
	attr.value_size = sizeof(struct shared);
	attr.max_entries = 1;
	attr.map_flags = BPF_F_MMAPABLE;
	fd = bpf(BPF_MAP_CREATE, &attr);
	if (fd < 0)
		call_failed("bpf(BPF_MAP_CREATE)");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		call_failed("mmap of a BPF map");
	return fd;
}
{% endif %}

/* The program that the kernel runs for each socket: it writes a record into the reader's buffer. */
static void load_iterator(void)
{
{% for line in values %}
	{{ line }}
{% endfor %}
	struct bpf_insn program[] = {
{% for line in program %}
		{{ line }}
{% endfor %}
	};
	static char log[1 << 16];
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_TRACING;
	attr.expected_attach_type = BPF_TRACE_ITER;
	attr.attach_btf_id = btf_function("bpf_iter_{{ kind }}");
	attr.insns = (unsigned long)program;
	attr.insn_cnt = sizeof(program) / sizeof(program[0]);
	attr.license = (unsigned long)"Dual MIT/GPL";
	fd = bpf(BPF_PROG_LOAD, &attr);
	if (fd < 0 && errno != EPERM) {
		attr.log_buf = (unsigned long)log;
		attr.log_size = sizeof(log);
		attr.log_level = 1;
		fd = bpf(BPF_PROG_LOAD, &attr);
		for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n"))
			printf("# verifier: %s\n", line);
	}
	if (fd < 0)
		call_failed("bpf(BPF_PROG_LOAD)");

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = fd;
	attr.link_create.attach_type = BPF_TRACE_ITER;
	iterator = bpf(BPF_LINK_CREATE, &attr);
	if (iterator < 0)
		call_failed("bpf(BPF_LINK_CREATE)");
	close(fd);
}

static int open_iterator(void)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.iter_create.link_fd = iterator;
	fd = bpf(BPF_ITER_CREATE, &attr);
	if (fd < 0)
		call_failed("bpf(BPF_ITER_CREATE)");
	return fd;
}
{% if uses.walk_for_doomed %}

static void walk_for_doomed(void)
{
	int fd = open_iterator();
	char records[4096];
	ssize_t n;

	while ((n = read(fd, records, sizeof(records))) > 0)
		;
	if (n < 0)
		call_failed("read of an iterator");
	close(fd);
}
{% endif %}
{% if uses.whole_walk %}

static struct record seen[1024];

/* A walk of its own over all sockets: how many were seen. */
static size_t look(void)
{
	int fd = open_iterator();
	size_t size = 0;
	ssize_t n;

	while ((n = read(fd, (char *)seen + size, sizeof(seen) - size)) > 0)
		size += n;
	if (n < 0)
		call_failed("read of an iterator");
	close(fd);
	return size / sizeof(seen[0]);
}
{% endif %}
