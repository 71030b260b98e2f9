
/*
 * The kernel hashes an abstract name as a sum of 16-bit words. So a word and its complement make a name unique, and leave
 * it in the bucket that its beginning leads to.
 */
static void bind_name(int fd, __u32 beginning, __u32 number)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	__u16 words[] = { number, ~number, number >> 16, ~(number >> 16) };

	memcpy(name.sun_path + 2, &beginning, sizeof(beginning));
	memcpy(name.sun_path + 6, words, sizeof(words));
	if (bind(fd, (struct sockaddr *)&name, sizeof(name)))
		call_failed("bind of an abstract name");
}

static int new_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		call_failed("socket");
	return fd;
}

{% if uses.learn %}
static __u32 beginnings[NR_BUCKETS];

/* Which beginnings lead to different buckets: a walk shows that. The buckets are numbered in the order of the walk. */
static void learn_names(void)
{
	static int fds[NAMES];
	static __u64 ids[NAMES];
	size_t n, nr_buckets = 0;
	__u32 last = 0;

	for (__u32 i = 0; i < NAMES; i++) {
		socklen_t size = sizeof(ids[i]);

		fds[i] = new_socket();
		bind_name(fds[i], i, 0);
		if (getsockopt(fds[i], SOL_SOCKET, SO_COOKIE, &ids[i], &size))
			call_failed("getsockopt(SO_COOKIE)");
	}
	n = look();
	for (size_t i = 0; i < n; i++)
		for (__u32 k = 0; k < NAMES && nr_buckets < NR_BUCKETS; k++)
			if (seen[i].cookie == ids[k] && (!nr_buckets || seen[i].bucket != last)) {
				last = seen[i].bucket;
				beginnings[nr_buckets++] = k;
			}
	for (__u32 i = 0; i < NAMES; i++)
		close(fds[i]);
	if (nr_buckets < NR_BUCKETS)
		skip_test("too few names lead to different buckets");
}

{% endif %}
/* A new socket enters the bucket of its name, at the head. */
static void add(struct sock *s{{ ', int bucket' if uses.learn }})
{
	static __u32 nr_made;

	s->fd = new_socket();
	bind_name(s->fd, {{ 'beginnings[bucket]' if uses.learn else '0' }}, {{ 'nr_made++' }});
	entered(s);
}
