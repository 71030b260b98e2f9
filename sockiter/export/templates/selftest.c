// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
{% for line in about %}
 *{{ ' ' ~ line if line }}
{% endfor %}
 */
#include <test_progs.h>
#include "network_helpers.h"
#include "sock_iter_batch.skel.h"

#define READS_MAX 100 /* until a walk counts as endless */
{% if kind == 'udp' %}
#define FIRST_PORT 32768
{% else %}
#define PORT 40000
{% endif %}
{% if several %}
#define NR_BUCKETS {{ buckets }}
{% endif %}

/* What the program of sock_iter_batch.c writes for each socket. */
struct seen_sock {
	int idx;
	__u64 cookie;
} __packed;

enum { {{ variables | join(', ') | folded(1) }}, NR_SOCKS };

static struct {
	const char *name;
	int fd;
	__u64 cookie;
	bool is_owed; /* in the table from open to the end */
	int delivered;
} socks[NR_SOCKS] = {
{% for socket in sockets %}
	[{{ socket.variable }}] = { .name = {{ socket.name | c_string }}, .fd = -1 },
{% endfor %}
};

static bool has_ended;
{% if several %}
static int port_of[NR_BUCKETS];
{% endif %}

static bool get_cookie(int fd, __u64 *cookie)
{
	socklen_t len = sizeof(*cookie);

	return ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &len), "getsockopt(SO_COOKIE)");
}

{% if kind == 'udp' %}
/* A socket of this port, at the head of its bucket, or, with SO_REUSEPORT, at the tail. */
static int bind_socket(int port, bool at_tail)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(port) };
	int fd = socket(AF_INET6, SOCK_DGRAM, 0), one = 1, reuseport = at_tail;

	if (!ASSERT_OK_FD(fd, "socket"))
		return -1;
	if (!ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), "SO_REUSEADDR") ||
	    !ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuseport, sizeof(reuseport)), "SO_REUSEPORT") ||
	    !ASSERT_OK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), "bind")) {
		close(fd);
		return -1;
	}
	return fd;
}
{% else %}
/* A socket that listens on the same port as all others, {{ 'at the tail of the bucket' if v6 else 'at the head of the bucket' }}. */
static int bind_socket(void)
{
{% if v6 %}
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons(PORT) };
{% else %}
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(PORT) };
{% endif %}
	int fd = socket({{ family }}, SOCK_STREAM, 0), one = 1;

	if (!ASSERT_OK_FD(fd, "socket"))
		return -1;
	if (!ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), "SO_REUSEPORT") ||
	    !ASSERT_OK(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), "bind") ||
	    !ASSERT_OK(listen(fd, 1), "listen")) {
		close(fd);
		return -1;
	}
	return fd;
}
{% endif %}

static bool add_sock(int nr{{ ', int bucket' if several }}{{ ', bool at_tail' if kind == 'udp' }})
{
{% if kind == 'udp' %}
	socks[nr].fd = bind_socket({{ 'port_of[bucket]' if several else 'FIRST_PORT' }}, at_tail);
{% else %}
	socks[nr].fd = bind_socket();
{% endif %}
	return socks[nr].fd >= 0 && get_cookie(socks[nr].fd, &socks[nr].cookie);
}
{% if uses.remove %}

static void remove_sock(int nr)
{
	close(socks[nr].fd);
	socks[nr].fd = -1;
	socks[nr].is_owed = false;
}
{% endif %}
{% if uses.reinsert %}

/* The socket leaves its bucket, and enters it again. */
static bool reinsert_sock(int nr)
{
	return ASSERT_OK(shutdown(socks[nr].fd, SHUT_RD), "shutdown") && ASSERT_OK(listen(socks[nr].fd, 1), "listen");
}
{% endif %}
{% if several %}

/* Neighbouring ports lead to different buckets. A walk shows in which order these are. */
static bool learn_ports(struct bpf_link *link)
{
	struct seen_sock seen[NR_BUCKETS];
	int fds[NR_BUCKETS], i, j, n = 0;
	__u64 cookies[NR_BUCKETS];
	int iter_fd = bpf_iter_create(bpf_link__fd(link));

	if (!ASSERT_OK_FD(iter_fd, "bpf_iter_create"))
		return false;
	for (i = 0; i < NR_BUCKETS; i++)
		fds[i] = bind_socket(FIRST_PORT + i, false);
	for (i = 0; i < NR_BUCKETS; i++)
		if (fds[i] < 0 || !get_cookie(fds[i], &cookies[i]))
			goto done;
	if (!ASSERT_EQ(read(iter_fd, seen, sizeof(seen)), sizeof(seen), "read of a whole walk"))
		goto done;
	for (j = 0; j < NR_BUCKETS; j++)
		for (i = 0; i < NR_BUCKETS; i++)
			if (seen[j].cookie == cookies[i])
				port_of[n++] = FIRST_PORT + i;
	ASSERT_EQ(n, NR_BUCKETS, "buckets");
done:
	for (i = 0; i < NR_BUCKETS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(iter_fd);
	return n == NR_BUCKETS;
}
{% endif %}

/* One read(2). Returns false at the end of the walk. */
static bool read_socks(int iter_fd, int n)
{
	struct seen_sock seen[NR_SOCKS + 1];
	int i, j, nread;

	if (n > (int)ARRAY_SIZE(seen))
		n = ARRAY_SIZE(seen);
	nread = read(iter_fd, seen, n * sizeof(seen[0]));
	if (!ASSERT_GE(nread, 0, "read"))
		return false;
	for (i = 0; i < nread / (int)sizeof(seen[0]); i++)
		for (j = 0; j < NR_SOCKS; j++)
			if (seen[i].cookie == socks[j].cookie)
				socks[j].delivered++;
	has_ended |= !nread;
	return nread > 0;
}
{% if uses.read_all %}

static void read_all(int iter_fd)
{
	int i;

	for (i = 0; i < READS_MAX; i++)
		if (!read_socks(iter_fd, NR_SOCKS + 1))
			return;
	ASSERT_LT(i, READS_MAX, "reads until the end");
}
{% endif %}

static void run_case({{ 'struct bpf_link *link' }})
{
	int iter_fd = -1, i;

{% if several %}
	if (!learn_ports(link))
		return;
{% endif %}
{% for step in steps %}
{% for line in step.comment %}
	{{ '/*' if loop.first else ' *' }} {{ line }}{{ ' */' if loop.last }}
{% endfor %}
{% for line in step.calls %}
	{{ line }}
{% endfor %}

{% endfor %}
	ASSERT_TRUE(has_ended, "the end of the walk");
	for (i = 0; i < NR_SOCKS; i++) {
		if (socks[i].is_owed)
			ASSERT_GE(socks[i].delivered, 1, socks[i].name);
{% if not again %}
		ASSERT_LE(socks[i].delivered, 1, socks[i].name);
{% endif %}
	}
done:
	for (i = 0; i < NR_SOCKS; i++)
		if (socks[i].fd >= 0)
			close(socks[i].fd);
	if (iter_fd >= 0)
		close(iter_fd);
}

void test_{{ function }}(void)
{
	struct sock_iter_batch *skel = NULL;
	struct bpf_link *link = NULL;
	struct netns_obj *netns;

	netns = netns_new("{{ function }}", true);
	if (!ASSERT_OK_PTR(netns, "netns_new"))
		return;
	skel = sock_iter_batch__open();
	if (!ASSERT_OK_PTR(skel, "sock_iter_batch__open"))
		goto done;
	/* All ports, of sockets of one family. */
	skel->rodata->sf = {{ family }};
	if (!ASSERT_OK(sock_iter_batch__load(skel), "sock_iter_batch__load"))
		goto done;
	link = bpf_program__attach_iter(skel->progs.iter_{{ kind }}_soreuse, NULL);
	if (!ASSERT_OK_PTR(link, "bpf_program__attach_iter"))
		goto done;
	run_case(link);
done:
	bpf_link__destroy(link);
	sock_iter_batch__destroy(skel);
	netns_free(netns);
}
