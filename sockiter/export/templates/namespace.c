
{% if uses.settings %}
static bool set(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool is_set = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);

	if (fd >= 0)
		close(fd);
	return is_set;
}

{% endif %}
{% if uses.route %}
/* A route of one network to the loopback device. */
static void add_route(const char *address, unsigned char bits, unsigned char table, unsigned char type,
		      unsigned char scope, const char *source)
{
	struct {
		struct nlmsghdr header;
		struct rtmsg route;
		struct { struct rtattr header; __u32 value; } device, address, source;
	} request = {
		.header = { sizeof(request), RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, 0, 0 },
		.route = {
			.rtm_family = AF_INET, .rtm_dst_len = bits, .rtm_table = table,
			.rtm_protocol = RTPROT_STATIC, .rtm_type = type, .rtm_scope = scope,
		},
		.device = { { RTA_LENGTH(4), RTA_OIF }, 1 },
		.address = { { RTA_LENGTH(4), RTA_DST }, inet_addr(address) },
		.source = { { RTA_LENGTH(4), RTA_PREFSRC }, source ? inet_addr(source) : 0 },
	};
	struct { struct nlmsghdr header; struct nlmsgerr error; char more[512]; } answer;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (!source)
		request.header.nlmsg_len -= sizeof(request.source);
	if (fd < 0 || send(fd, &request, request.header.nlmsg_len, 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		call_failed("rtnetlink");
	close(fd);
	if (answer.error.error) {
		errno = -answer.error.error;
		call_failed("RTM_NEWROUTE");
	}
}

{% endif %}
/* A network namespace for this process alone{{ ', with tables of its own, which are small' if uses.small_table }}. */
static void enter_namespace(void)
{
{% if uses.loopback %}
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd;

{% endif %}
	if (unshare(CLONE_NEWNET))
		call_failed("unshare(CLONE_NEWNET)");
{% if uses.small_table %}
	/* {{ small_table.since }}: the setting is for the child namespaces of this one. */
	if (set("{{ small_table.path }}", "{{ small_table.value }}") && unshare(CLONE_NEWNET))
		call_failed("unshare(CLONE_NEWNET)");
{% endif %}
{% if uses.loopback %}
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &loopback))
		call_failed("ioctl(SIOCSIFFLAGS)");
	close(fd);
{% endif %}
{% if uses.by_address %}
	/* All of 10.0.0.0/8 is local, so that a socket can be connected to any address of it. */
	add_route("10.0.0.0", 8, RT_TABLE_LOCAL, RTN_LOCAL, RT_SCOPE_HOST, NULL);
{% endif %}
{% if uses.established %}
	/* Packets to the peer's address vanish: the device returns them, and the address is not local. */
	add_route(PEER, 32, RT_TABLE_MAIN, RTN_UNICAST, RT_SCOPE_LINK, HERE);
{% endif %}
{% if uses.close %}
	/* As many connections in TIME_WAIT as anybody wants. */
	set("/proc/sys/net/ipv4/tcp_max_tw_buckets", "100000");
{% endif %}
}
