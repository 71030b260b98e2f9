
/*
 * The kernel chooses this port at the next choice. A port that a socket asks for by number is its own for good, and so is
 * its place in the table.
 */
static void choose_port(int fd, unsigned short port)
{
	__u32 range = (__u32)port << 16 | port;
	char text[32];

	if (!setsockopt(fd, IPPROTO_IP, IP_LOCAL_PORT_RANGE, &range, sizeof(range)))
		return;
	if (errno != ENOPROTOOPT)
		call_failed("setsockopt(IP_LOCAL_PORT_RANGE)");
	/* Before Linux 6.3: the range of the whole namespace. */
	snprintf(text, sizeof(text), "%u %u", port, port);
	if (!set("/proc/sys/net/ipv4/ip_local_port_range", text))
		call_failed("ip_local_port_range");
}
