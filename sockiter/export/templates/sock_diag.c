
/* sock_diag about one TCP socket: its cookie, or its end. Returns 0 or a negative errno. */
static int ask(int type, int family, const void *local, unsigned short local_port, const void *remote,
	       unsigned short remote_port, __u64 *cookie)
{
	struct {
		struct nlmsghdr header;
		struct inet_diag_req_v2 one;
	} request = {
		.header = { sizeof(request), type, NLM_F_REQUEST | (type == SOCK_DESTROY ? NLM_F_ACK : 0), 0, 0 },
		.one = {
			.sdiag_family = family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = (1 << 13) - 1,
			.id = { .idiag_sport = htons(local_port), .idiag_dport = htons(remote_port) },
		},
	};
	struct {
		struct nlmsghdr header;
		union { struct inet_diag_msg found; int error; };
		char more[4096];
	} answer;
	size_t length = family == AF_INET6 ? 16 : 4;
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);

	memcpy(request.one.id.idiag_src, local, length);
	memcpy(request.one.id.idiag_dst, remote, length);
	memcpy(request.one.id.idiag_cookie, cookie, sizeof(*cookie));
	if (fd < 0 || send(fd, &request, sizeof(request), 0) < 0 || recv(fd, &answer, sizeof(answer), 0) < 0)
		call_failed("sock_diag");
	close(fd);
	if (answer.header.nlmsg_type == NLMSG_ERROR)
		return answer.error;
	memcpy(cookie, answer.found.id.idiag_cookie, sizeof(*cookie));
	return 0;
}
