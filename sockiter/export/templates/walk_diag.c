
#define RECORDS(n) (n)
#define MOST RECORDS(MESSAGE)

/* The kernel's limit for the first message. */
#define MESSAGE 8192

static int walk = -1;
static __u64 unread[MESSAGE]; /* the sockets of the last message that the reader has not taken yet */
static size_t nr_unread, next_unread;
static bool is_last;

/* A page, less struct skb_shared_info: larger messages would hold more sockets than the first. */
static size_t message_size(void)
{
	long page = sysconf(_SC_PAGESIZE);

	return (page < MESSAGE ? page : MESSAGE) - 320;
}

/* The sockets of a message; false for an error. */
static bool parse_message(char *message, ssize_t size, __u64 *cookies, size_t *n)
{
	*n = 0;
	for (struct nlmsghdr *m = (void *)message; NLMSG_OK(m, (unsigned int)size); m = NLMSG_NEXT(m, size)) {
{% if kind == 'unix' %}
		struct unix_diag_msg *sock = NLMSG_DATA(m);
		__u32 *cookie = sock->udiag_cookie;
{% else %}
		struct inet_diag_msg *sock = NLMSG_DATA(m);
		__u32 *cookie = sock->id.idiag_cookie;
{% endif %}

		if (m->nlmsg_type == NLMSG_DONE || m->nlmsg_type == NLMSG_ERROR) {
			is_last = true;
			errno = -*(int *)NLMSG_DATA(m);
			return !errno;
		}
		cookies[(*n)++] = cookie[0] | (__u64)cookie[1] << 32;
	}
	return true;
}

/* The kernel fills a message before the reader asks for it: the sockets in it are shown from now on. */
static bool look_ahead(void)
{
	static __u64 cookies[MESSAGE];
	static char message[MESSAGE];
	bool was_last = is_last, is_fine;
	ssize_t size = recv(walk, message, message_size(), MSG_PEEK);
	size_t n;

	if (size < 0)
		return false;
	is_fine = parse_message(message, size, cookies, &n);
	for (size_t i = 0; i < n; i++)
		shown(find_sock(cookies[i]));
	is_last = was_last;
	return is_fine;
}

static void open_walk(void)
{
	struct {
		struct nlmsghdr header;
		struct {{ 'unix_diag_req' if kind == 'unix' else 'inet_diag_req_v2' }} all;
	} request = {
		.header = { sizeof(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 0, 0 },
{% if kind == 'unix' %}
		.all = { .sdiag_family = AF_UNIX, .udiag_states = ~0U, .udiag_show = 0x7f },
{% else %}
		.all = {
			.sdiag_family = FAMILY, .sdiag_protocol = {{ 'IPPROTO_TCP' if kind == 'tcp' else 'IPPROTO_UDP' }},
			.idiag_ext = 0xff, .idiag_states = (1 << 13) - 1,
		},
{% endif %}
	};

	walk = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	/* The buffer is too small for a second message, so that the kernel fills at most one in advance. */
	if (walk < 0 || setsockopt(walk, SOL_SOCKET, SO_RCVBUF, &(int){ 1 }, sizeof(int)) ||
	    send(walk, &request, sizeof(request), 0) < 0)
		call_failed("sock_diag");
	nr_unread = next_unread = 0;
	is_last = false;
	if (!look_ahead())
		call_failed("sock_diag");
}

/* The next sockets of a message, or of the next one: at most this many. */
static enum outcome read_once(size_t count)
{
	static char message[MESSAGE];
	size_t n = 0;

	if (next_unread == nr_unread && !is_last) {
		ssize_t size = recv(walk, message, message_size(), 0);

		next_unread = nr_unread = 0;
		if (size < 0 || !parse_message(message, size, unread, &nr_unread) || (!is_last && !look_ahead()))
			return failed();
	}
	printf("# read:");
	for (; n < count && next_unread < nr_unread; n++)
		delivered(find_sock(unread[next_unread++]));
	printf("%s\n", n ? "" : " nothing");
	if (n)
		return MORE;
	at_end();
	return END;
}
