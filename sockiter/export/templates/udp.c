
static int new_socket(void)
{
	int fd = socket(FAMILY, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)))
		call_failed("socket");
	return fd;
}

{% set bind_address = 'struct sockaddr_in6 any = { .sin6_family = AF_INET6' if v6 else 'struct sockaddr_in any = { .sin_family = AF_INET' %}
{% set port_field = 'sin6_port' if v6 else 'sin_port' %}
{% if uses.tail %}
/*
 * The sockets of a bucket share a port by SO_REUSEADDR. Of IPv6 sockets, those with SO_REUSEPORT go to the tail of the
 * bucket, and all others to its head.
 */
{% else %}
/* The sockets of a bucket share a port by SO_REUSEADDR. Each goes to the head of the bucket. */
{% endif %}
static void bind_port(int fd, {{ 'enum end end, ' if uses.tail }}unsigned short port{{ ', bool by_number' if uses.bound and uses.auto_port }})
{
	{{ bind_address }}{{ ', .' ~ port_field ~ ' = htons(port)' if not uses.auto_port }} };

{% if uses.tail %}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){ end == TAIL }, sizeof(int)))
		call_failed("setsockopt(SO_REUSEPORT)");
{% endif %}
{% if uses.bound and uses.auto_port %}
	if (by_number)
		any.{{ port_field }} = htons(port);
	else
		choose_port(fd, port);
{% elif uses.auto_port %}
	choose_port(fd, port);
{% endif %}
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)))
		call_failed("bind");
}

{% set by_number = ', false' if uses.bound and uses.auto_port else '' %}
{% set head = 'HEAD, ' if uses.tail else '' %}
{% if uses.disconnect %}
/* connect(2) to no address: the socket gives up its port, if the kernel chose it, and leaves its bucket. */
static void disconnect(int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (connect(fd, &none, sizeof(none)))
		call_failed("connect to no address");
}

{% endif %}
{% if uses.check_tail %}
/* Before Linux 6.6 the kernel's iterator walks another table, where every socket goes to the head. */
static void check_tail(void)
{
	static const enum end ends[] = { HEAD, TAIL, HEAD };
	static const int order[] = { 2, 0, 1 };
	__u64 ids[3];
	int fds[3];

	for (int i = 0; i < 3; i++) {
		socklen_t size = sizeof(ids[i]);

		fds[i] = new_socket();
		bind_port(fds[i], ends[i], FIRST_PORT{{ by_number }});
		if (getsockopt(fds[i], SOL_SOCKET, SO_COOKIE, &ids[i], &size))
			call_failed("getsockopt(SO_COOKIE)");
	}
	if (look() != 3)
		skip_test("a walk over three sockets does not deliver three");
	for (int i = 0; i < 3; i++) {
		if (seen[i].cookie != ids[order[i]])
			skip_test("this kernel puts no socket at the tail");
		close(fds[i]);
	}
}

{% endif %}
{% if uses.learn %}
static unsigned short port_of[NR_BUCKETS];
static __u32 number_of[NR_BUCKETS]; /* the kernel's number of each bucket */

/* Neighbouring ports lead to different buckets. A walk shows in which order these are. */
static void learn_ports(void)
{
	__u64 ids[NR_BUCKETS];
	int fds[NR_BUCKETS];
	int n = 0;
	size_t nr_seen;

	for (int i = 0; i < NR_BUCKETS; i++) {
{% if walk == 'bpf' %}
		socklen_t size = sizeof(ids[i]);

{% endif %}
		fds[i] = new_socket();
		bind_port(fds[i], {{ head }}FIRST_PORT + i{{ by_number }});
{% if walk == 'bpf' %}
		if (getsockopt(fds[i], SOL_SOCKET, SO_COOKIE, &ids[i], &size))
			call_failed("getsockopt(SO_COOKIE)");
{% else %}
		ids[i] = inode_of(fds[i]);
{% endif %}
	}
	nr_seen = look();
	for (size_t k = 0; k < nr_seen; k++)
		for (int i = 0; i < NR_BUCKETS && n < NR_BUCKETS; i++)
			if (seen[k].{{ 'cookie' if walk == 'bpf' else 'inode' }} == ids[i]) {
				port_of[n] = FIRST_PORT + i;
				number_of[n++] = seen[k].bucket;
			}
	for (int i = 0; i < NR_BUCKETS; i++) {
		close(fds[i]);
		if (n < NR_BUCKETS || (i && number_of[i] <= number_of[i - 1]))
			skip_test("the kernel's table has too few buckets");
	}
}

{% endif %}
{% set port = 'port_of[bucket]' if uses.learn else 'FIRST_PORT' %}
{% if uses.by_address %}
/* Whether the address counts as well, so that connect(2) moves a socket: in the table that iterators walk since 6.6. */
static bool is_by_address;
static struct in6_addr address_of[NR_BUCKETS][NR_BUCKETS];

static struct sockaddr_in6 nth_address(int n)
{
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	char text[40];

	snprintf(text, sizeof(text), "::ffff:10.0.%d.%d", n / 250, n % 250 + 1);
	inet_pton(AF_INET6, text, &address.sin6_addr);
	return address;
}

/* The buckets of sockets of this port that are connected to different addresses. */
static void try_addresses(unsigned short port, int first, __u32 *buckets)
{
	static __u64 ids[ADDRESSES];
	static int fds[ADDRESSES];
	size_t n;

	for (int i = 0; i < ADDRESSES; i++) {
		struct sockaddr_in6 address = nth_address(first + i);
		socklen_t size = sizeof(ids[i]);

		fds[i] = new_socket();
		bind_port(fds[i], {{ head }}port{{ by_number }});
		if (connect(fds[i], (struct sockaddr *)&address, sizeof(address)))
			call_failed("connect");
		if (getsockopt(fds[i], SOL_SOCKET, SO_COOKIE, &ids[i], &size))
			call_failed("getsockopt(SO_COOKIE)");
	}
	n = look();
	for (size_t k = 0; k < n; k++)
		for (int i = 0; i < ADDRESSES; i++)
			if (seen[k].cookie == ids[i])
				buckets[i] = seen[k].bucket;
	for (int i = 0; i < ADDRESSES; i++)
		close(fds[i]);
}

/* An address that leads a socket from the bucket of its port to another bucket. */
static void learn_address(int from, int to)
{
	__u32 buckets[ADDRESSES] = { 0 };

	for (int first = 0; first < 8 * ADDRESSES; first += ADDRESSES) {
		try_addresses(port_of[from], first, buckets);
		for (int i = 0; i < ADDRESSES; i++) {
			is_by_address |= buckets[i] != buckets[0];
			if (buckets[i] == number_of[to]) {
				address_of[from][to] = nth_address(first + i).sin6_addr;
				return;
			}
		}
		if (!is_by_address)
			return;
	}
	skip_test("no address leads from one bucket to the other");
}

{% endif %}
{% set signature = 'struct sock *s' ~ (', enum end end' if uses.tail else '') ~ (', int bucket' if uses.learn else '') %}
{% set end = 'end, ' if uses.tail else '' %}
{% if uses.add_plain %}
/* A new socket enters the table. */
static void add({{ signature }})
{
	s->fd = new_socket();
	bind_port(s->fd, {{ end }}{{ port }}{{ by_number }});
{% if uses.bucket_of_socket %}
	s->bucket = bucket;
{% endif %}
{% if uses.home %}
	s->home = bucket;
{% endif %}
	entered(s);
}
{% endif %}
{% if uses.bound %}

/* The same, bound by number. */
static void add_bound({{ signature }})
{
	s->fd = new_socket();
	bind_port(s->fd, {{ end }}{{ port }}{{ ', true' if uses.auto_port }});
	s->is_bound = true;
{% if uses.bucket_of_socket %}
	s->bucket = bucket;
{% endif %}
{% if uses.home %}
	s->home = bucket;
{% endif %}
	entered(s);
}
{% endif %}
{% if uses.reinsert %}

/* The socket leaves its bucket, and enters it again. */
static void reinsert(struct sock *s{{ ', enum end end' if uses.tail }})
{
{% if uses.destroying %}
	if (!s->is_present)
		return; /* the program has destroyed it */
{% endif %}
	disconnect(s->fd);
	bind_port(s->fd, {{ end }}{{ 'port_of[s->bucket]' if uses.learn else 'FIRST_PORT' }}{{ by_number }});
{% if uses.home %}
	s->home = s->bucket;
{% endif %}
}
{% endif %}
{% if uses.rehash %}

/* The socket moves to the head of another bucket. */
static void rehash(struct sock *s, int bucket)
{
{% if uses.by_address %}
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(9) };

{% endif %}
	if (s->bucket == bucket{{ ' || !s->is_present' if uses.destroying }})
		return;
{% if uses.by_address %}
{% if uses.bound %}
	if (s->is_bound) {
		/* Disconnected, it keeps its port, and returns to the bucket of that port. */
		if (s->bucket != s->home)
			disconnect(s->fd);
	} else
{% endif %}
	if (!is_by_address || bucket == s->home) {
		/* By another port. */
		disconnect(s->fd);
		bind_port(s->fd, {{ head }}port_of[bucket]{{ by_number }});
		s->home = bucket;
	} else if (s->bucket != s->home) {
		/* Only a socket on the wildcard address can move. */
		disconnect(s->fd);
		bind_port(s->fd, {{ head }}port_of[s->home]{{ by_number }});
	}
	if (bucket != s->home) {
{% if uses.bound %}
		if (!is_by_address)
			skip_test("on this kernel a socket that is bound by number cannot move");
{% endif %}
		/* By the address that it gets when it is connected. */
		address.sin6_addr = address_of[s->home][bucket];
		if (connect(s->fd, (struct sockaddr *)&address, sizeof(address)))
			call_failed("connect");
	}
{% else %}
	disconnect(s->fd);
	bind_port(s->fd, {{ head }}port_of[bucket]{{ by_number }});
{% endif %}
	s->bucket = bucket;
}
{% endif %}
{% if uses.destroy %}

/* Another program destroys the socket: the BPF program does, in a walk of its own. */
static void destroy(struct sock *s)
{
{% if uses.destroying %}
	if (!s->is_present)
		return; /* the program has destroyed it */
{% endif %}
	shared->doomed = s->id;
{% if walk != 'bpf' %}
	{
		socklen_t size = sizeof(shared->doomed);

		if (getsockopt(s->fd, SOL_SOCKET, SO_COOKIE, &shared->doomed, &size))
			call_failed("getsockopt(SO_COOKIE)");
	}
{% endif %}
	walk_for_doomed();
	if (shared->doomed)
		skip_test("bpf_sock_destroy: a walk for this purpose does not meet the socket");
{% if uses.bound %}
	if (s->is_bound) {
		/* It keeps its port, and returns to the bucket of that port. */
{% if uses.home %}
		s->bucket = s->home;
{% endif %}
		return;
	}
{% endif %}
	left(s);
}
{% endif %}
