{% set sockaddr = 'sockaddr_in6' if v6 else 'sockaddr_in' %}
{% set signature_listening = 'struct sock *s' ~ (', enum end end' if uses.tail else '') ~ ', int bucket' %}
{% set head = 'HEAD, ' if uses.tail else '' %}

static int new_socket(void)
{
	int fd = socket(FAMILY, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		call_failed("socket");
	return fd;
}

static __u64 cookie_of(int fd)
{
	__u64 cookie;
	socklen_t size = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size))
		call_failed("getsockopt(SO_COOKIE)");
	return cookie;
}

/*
 * Listening sockets. Each has an address of its own, which is not local (IP{{ 'V6' if v6 }}_FREEBIND), so that several get into
 * one bucket.{% if uses.tail %} Of IPv6 sockets, those with SO_REUSEPORT go to the tail of the bucket, and all others to its head.{% endif %}

 */
static void listen_at(int fd, {{ 'enum end end, ' if uses.tail }}int number, unsigned short port)
{
	struct {{ sockaddr }} address = { .{{ 'sin6' if v6 else 'sin' }}_family = FAMILY{{ (', .' ~ ('sin6' if v6 else 'sin') ~ '_port = htons(port)') if not uses.auto_port }} };
	char text[40];

{% if v6 %}
	snprintf(text, sizeof(text), "fd00::%x:%x", number / 250 + 1, number % 250 + 1);
	inet_pton(AF_INET6, text, &address.sin6_addr);
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &(int){ 1 }, sizeof(int)))
		call_failed("setsockopt(IPV6_FREEBIND)");
{% else %}
	snprintf(text, sizeof(text), "127.1.%d.%d", number / 250, number % 250 + 1);
	inet_pton(AF_INET, text, &address.sin_addr);
	if (setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &(int){ 1 }, sizeof(int)))
		call_failed("setsockopt(IP_FREEBIND)");
{% endif %}
{% if uses.tail %}
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){ end == TAIL }, sizeof(int)))
		call_failed("setsockopt(SO_REUSEPORT)");
{% endif %}
{% if uses.auto_port %}
	choose_port(fd, port);
{% endif %}
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
		call_failed("bind and listen");
}

static __u32 hash_of[NR_ADDRESSES]; /* the bucket of each address with LISTENING_PORT */

static void learn_addresses(void)
{
	__u64 ids[NR_ADDRESSES];
	int fds[NR_ADDRESSES];
	size_t n;

	for (int i = 0; i < NR_ADDRESSES; i++) {
		fds[i] = new_socket();
		listen_at(fds[i], {{ head }}i, LISTENING_PORT);
		ids[i] = cookie_of(fds[i]);
	}
	n = look();
	for (size_t k = 0; k < n; k++)
		for (int i = 0; i < NR_ADDRESSES; i++)
			if (seen[k].cookie == ids[i])
				hash_of[i] = seen[k].bucket;
	for (int i = 0; i < NR_ADDRESSES; i++)
		close(fds[i]);
}

/* The bucket is an exclusive or of the address's hash and the port. */
static unsigned short port_for(int number, int bucket)
{
	return LISTENING_PORT ^ hash_of[number] ^ bucket;
}
{% if uses.listening %}

/* The socket enters a bucket: at its own address, or at another one, if no port of that leads there. */
static void put_listening({{ signature_listening }})
{
	static int nr_given = 1;

	if (!s->address)
		s->address = nr_given++;
	while (port_for(s->address, bucket) < 1024 || port_for(s->address, bucket) == NOWHERE_PORT) {
		if (nr_given == NR_ADDRESSES)
			skip_test("too few addresses lead to a bucket");
		s->address = nr_given++;
	}
	listen_at(s->fd, {{ 'end, ' if uses.tail }}s->address, port_for(s->address, bucket));
{% if uses.bucket_of_socket %}
	s->bucket = bucket;
{% endif %}
{% if uses.both_tables %}
	s->is_established = false;
{% endif %}
}
{% endif %}
{% if uses.add_listening %}

/* A new socket listens. */
static void add_listening({{ signature_listening }})
{
	s->fd = new_socket();
	put_listening(s, {{ 'end, ' if uses.tail }}bucket);
	entered(s);
}
{% endif %}
{% if uses.established %}

/*
 * Connections. With TCP_REPAIR, a socket is connected without a handshake, and its peer does not exist. The peer's port
 * leads to the bucket, at its head.
 */
struct ports {
	unsigned short unused[NR_BUCKETS][PORTS];
	int nr[NR_BUCKETS];
};

static struct {{ sockaddr }} peer_address(unsigned short port)
{
{% if v6 %}
	struct sockaddr_in6 address = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	inet_pton(AF_INET6, "::ffff:" PEER, &address.sin6_addr);
{% else %}
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, PEER, &address.sin_addr);
{% endif %}
	return address;
}

static void set_repair(int fd, int value)
{
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &value, sizeof(value)))
		call_failed("setsockopt(TCP_REPAIR)");
}

static void connect_from(int fd, unsigned short local_port, unsigned short port)
{
	struct {{ sockaddr }} peer = peer_address(port);

	set_repair(fd, 1);
	choose_port(fd, local_port);
	if (connect(fd, (struct sockaddr *)&peer, sizeof(peer)))
		call_failed("connect");
}

/* Which ports of the peer lead to which bucket: a walk over some connections shows that. */
static void learn_ports(struct ports *ports, unsigned short local_port)
{
	int far_behind = new_socket();
	bool is_enough = false;

	/* Without a listening socket, iterators before Linux 6.16 may skip connections. Its bucket is none of those below. */
	if (port_for(0, 63) >= 1024)
		listen_at(far_behind, {{ head }}0, port_for(0, 63));
	else
		listen_at(far_behind, {{ head }}0, port_for(0, 62));
	for (unsigned short port = 1024; port < 50000 && !is_enough; port += CHUNK) {
		static __u64 ids[CHUNK];
		static int fds[CHUNK];
		size_t n;

		for (int i = 0; i < CHUNK; i++) {
			fds[i] = new_socket();
			connect_from(fds[i], local_port, port + i);
			ids[i] = cookie_of(fds[i]);
		}
		n = look();
		for (size_t k = 0; k < n; k++)
			for (int i = 0; i < CHUNK; i++) {
				__u32 bucket = seen[k].bucket;

				if (seen[k].cookie == ids[i] && bucket < NR_BUCKETS && ports->nr[bucket] < PORTS)
					ports->unused[bucket][ports->nr[bucket]++] = port + i;
			}
		for (int i = 0; i < CHUNK; i++)
			close(fds[i]);
		is_enough = true;
		for (int i = 0; i < NR_BUCKETS; i++)
			is_enough &= ports->nr[i] == PORTS;
	}
	close(far_behind);
	if (!is_enough)
		skip_test("too few ports of a peer lead to a bucket of the established sockets");
}

static struct ports {{ ['connection_ports'] | join if uses.put_established }}{{ ', ' if uses.put_established and uses.request }}{{ 'request_ports' if uses.request }};
{% endif %}
{% if uses.put_established %}

static void put_established(struct sock *s, int bucket)
{
	s->port = connection_ports.unused[bucket][--connection_ports.nr[bucket]];
	connect_from(s->fd, CONNECTION_PORT, s->port);
{% if uses.bucket_of_socket %}
	s->bucket = bucket;
{% endif %}
{% if uses.entries %}
	s->local_port = CONNECTION_PORT;
{% endif %}
{% if uses.both_tables %}
	s->is_established = true;
{% endif %}
}
{% endif %}
{% if uses.add_established %}

/* A new socket is connected. */
static void add_established(struct sock *s, int bucket)
{
	s->fd = new_socket();
	put_established(s, bucket);
	entered(s);
}
{% endif %}
{% if uses.entries %}

/* The other side of the connections: a raw socket writes its packets. */
static int raw = -1;

static void open_raw(void)
{
	raw = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (raw < 0)
		call_failed("a raw socket");
}

static void send_segment(unsigned short port, unsigned short local_port, __u32 sequence, __u32 acknowledged,
			 unsigned short flags)
{
	struct {
		struct iphdr ip;
		struct { __u16 ports[2]; __u32 numbers[2]; __u16 flags, window, check, urgent; } tcp;
	} packet = {
		.ip = {
			.version = 4, .ihl = 5, .tot_len = htons(sizeof(packet)), .ttl = 64, .protocol = IPPROTO_TCP,
			.saddr = inet_addr(PEER), .daddr = inet_addr(HERE),
		},
		.tcp = {
			.ports = { htons(port), htons(local_port) },
			.numbers = { htonl(sequence), htonl(acknowledged) },
			.flags = htons(5 << 12 | flags), .window = htons(65535),
		},
	};
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_addr = { packet.ip.daddr } };
	__u32 sum = htons(IPPROTO_TCP) + htons(sizeof(packet.tcp));
	__u16 words[(sizeof(packet.tcp) + 8) / 2];

	/* The checksum covers the addresses and the segment. */
	memcpy(words, &packet.ip.saddr, 8);
	memcpy(words + 4, &packet.tcp, sizeof(packet.tcp));
	for (size_t i = 0; i < sizeof(words) / 2; i++)
		sum += words[i];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	packet.tcp.check = ~sum;
	if (sendto(raw, &packet, sizeof(packet), 0, (struct sockaddr *)&here, sizeof(here)) < 0)
		call_failed("sendto by a raw socket");
}
{% endif %}
{% if uses.request or uses.remove_entry %}

/* The cookie of a connection{{ ', or of the listening socket of its port' }}; 0 for none. */
static __u64 cookie_of_connection(const struct sock *s)
{
	in_addr_t here = inet_addr(HERE), peer = inet_addr(PEER);
	__u64 cookie = ~0ULL; /* any */
	int error = ask(SOCK_DIAG_BY_FAMILY, AF_INET, &here, s->local_port, &peer, s->port, &cookie);

	if (error && error != -ENOENT) {
		errno = -error;
		call_failed("sock_diag");
	}
	return error ? 0 : cookie;
}
{% endif %}
{% if uses.request %}

/*
 * Requests. A socket listens only while the peer's packet is delivered, so that no walk shows that socket. The request
 * stays for a second.
 */
static int listener = -1, answers = -1;
static struct timespec first_request;

static void start_listening(void)
{
	if (listen(listener, 4096))
		call_failed("listen");
}

static void stop_listening(void)
{
	if (shutdown(listener, SHUT_RD))
		call_failed("shutdown");
}

static void open_listener(void)
{
	struct sockaddr_ll lo = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_ifindex = 1 };
	struct timeval patience = { .tv_sec = 5 };
	struct {{ sockaddr }} here = peer_address(REQUEST_PORT);

	inet_pton(FAMILY, {{ '"::ffff:" HERE, &here.sin6_addr' if v6 else 'HERE, &here.sin_addr' }});
	listener = new_socket();
	if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) ||
	    setsockopt(listener, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) ||
	    bind(listener, (struct sockaddr *)&here, sizeof(here)))
		call_failed("bind of the listening socket");
	answers = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (answers < 0 || bind(answers, (struct sockaddr *)&lo, sizeof(lo)) ||
	    setsockopt(answers, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)))
		call_failed("a packet socket");
}

/* The sequence number of the SYN-ACK to this port. */
static __u32 wait_for_answer(unsigned short port)
{
	struct { struct iphdr ip; __u16 ports[2]; __u32 numbers[2]; __u16 flags; char more[200]; } packet;

	for (;;) {
		if (recv(answers, &packet, sizeof(packet), 0) < 0)
			skip_test("the listening socket does not answer");
		if (packet.ip.protocol == IPPROTO_TCP && packet.ports[0] == htons(REQUEST_PORT) &&
		    packet.ports[1] == htons(port) && (ntohs(packet.flags) & (SYN | ACK)) == (SYN | ACK))
			return ntohl(packet.numbers[0]);
	}
}

/* The peer begins a handshake. */
static void add_request(struct sock *s, int bucket)
{
	if (!first_request.tv_sec)
		clock_gettime(CLOCK_MONOTONIC, &first_request);
	s->fd = -1;
	s->life = REQUEST;
	s->port = request_ports.unused[bucket][--request_ports.nr[bucket]];
	s->local_port = REQUEST_PORT;
{% if uses.bucket_of_socket %}
	s->bucket = bucket;
{% endif %}
{% if uses.both_tables %}
	s->is_established = true;
{% endif %}
{% if uses.unwanted %}
	/* The request has the mark of the listening socket. */
	if (setsockopt(listener, SOL_SOCKET, SO_MARK, &(int){ s->is_unwanted ? UNWANTED : 0 }, sizeof(int)))
		call_failed("setsockopt(SO_MARK)");
{% endif %}
	start_listening();
	send_segment(s->port, s->local_port, -1, 0, SYN);
	s->answer = wait_for_answer(s->port);
	s->id = cookie_of_connection(s);
	stop_listening();
	if (!s->id)
		skip_test("sock_diag does not find a request socket");
	s->is_present = true;
}

/* The kernel drops a request after a second. */
static void check_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((now.tv_sec - first_request.tv_sec) * 1000 + (now.tv_nsec - first_request.tv_nsec) / 1000000 > 900)
		skip_test("a request may have timed out: this machine is too busy");
}
{% endif %}
{% if uses.accept %}

/* The peer completes the handshake. A connection with the same cookie takes the place of the request. */
static void accept_connection(struct sock *s)
{
	start_listening();
	send_segment(s->port, s->local_port, 0, s->answer + 1, ACK);
	s->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (s->fd < 0)
		call_failed("accept");
	set_repair(s->fd, 1); /* its end is silent */
	stop_listening();
	s->life = WHOLE;
}
{% endif %}
{% if uses.close %}

/* Both sides close the connection. An entry in TIME_WAIT with the same cookie takes its place. */
static void close_connection(struct sock *s)
{
	struct { __u32 snd_wl1, snd_wnd, max_window, rcv_wnd, rcv_wup; } window = { 0, 1000, 1000, 0, 0 };
	struct pollfd poll_fd = { .fd = s->fd };
	__u32 sequence;
	socklen_t size = sizeof(sequence);

	/* Without its window, the peer would accept no FIN. */
	if (setsockopt(s->fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &(int){ TCP_SEND_QUEUE }, sizeof(int)) ||
	    getsockopt(s->fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &sequence, &size) ||
	    setsockopt(s->fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &window, sizeof(window)))
		call_failed("TCP_REPAIR");
	set_repair(s->fd, -1); /* off, without a probe of the window */
	if (setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) || shutdown(s->fd, SHUT_WR))
		call_failed("shutdown");
	send_segment(s->port, s->local_port, 0, sequence + 1, FIN | ACK);
	if (poll(&poll_fd, 1, 5000) != 1)
		skip_test("a connection goes on after its last packet");
	close(s->fd);
	s->fd = -1;
	s->life = TIME_WAIT;
}
{% endif %}
{% if uses.remove_entry %}

/* A reset from the peer ends a request, or an entry in TIME_WAIT. */
static void reset(struct sock *s)
{
	send_segment(s->port, s->local_port, {{ 's->life == TIME_WAIT' if uses.close else '0' }}, 0, RST);
	for (int i = 0; cookie_of_connection(s) == s->id; i++) {
		if (i == 5000)
			skip_test("a connection is still there 5 s after the reset from its peer");
		usleep(1000);
	}
	left(s);
}
{% endif %}
{% if uses.take %}

/* The socket leaves its bucket, so that it can enter one again. */
static void take(struct sock *s)
{
{% if uses.put_established %}
	struct sockaddr none = { .sa_family = AF_UNSPEC };

{% endif %}
{% if uses.listening %}
{% if uses.both_tables %}
	if (!s->is_established) {
		if (shutdown(s->fd, SHUT_RD))
			call_failed("shutdown");
		return;
	}
{% else %}
	if (shutdown(s->fd, SHUT_RD))
		call_failed("shutdown");
{% endif %}
{% endif %}
{% if uses.put_established %}
	if (connect(s->fd, &none, sizeof(none)))
		call_failed("connect to no address");
	set_repair(s->fd, 0);
{% endif %}
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
	take(s);
{% if uses.both_tables and uses.put_established %}
	if (s->is_established)
		put_established(s, s->bucket);
	else
		put_listening(s, {{ 'end, ' if uses.tail }}s->bucket);
{% elif uses.listening %}
	put_listening(s, {{ 'end, ' if uses.tail }}s->bucket);
{% else %}
	put_established(s, s->bucket);
{% endif %}
}
{% endif %}
{% if uses.rehash_listening %}

/* The socket moves to the head of a bucket, and listens there. */
static void rehash_listening(struct sock *s, int bucket)
{
	{% set is_there = '(!s->is_established && s->bucket == bucket)' if uses.both_tables and uses.destroying else '!s->is_established && s->bucket == bucket' if uses.both_tables else 's->bucket == bucket' %}
	if ({{ is_there }}{{ ' || !s->is_present' if uses.destroying }})
		return;
	take(s);
	put_listening(s, {{ head }}bucket);
}
{% endif %}
{% if uses.rehash_established %}

/* The socket moves to the head of a bucket, by another connection. */
static void rehash_established(struct sock *s, int bucket)
{
{% if uses.both_tables %}
	struct {{ sockaddr }} any = { .{{ 'sin6' if v6 else 'sin' }}_family = FAMILY };

{% endif %}
	{% set is_there = '(s->is_established && s->bucket == bucket)' if uses.both_tables and uses.destroying else 's->is_established && s->bucket == bucket' if uses.both_tables else 's->bucket == bucket' %}
	if ({{ is_there }}{{ ' || !s->is_present' if uses.destroying }})
		return;
	take(s);
{% if uses.both_tables %}
	if (!s->is_established) {
		/* It would keep its address, which it gives up only for the wildcard address. */
		choose_port(s->fd, NOWHERE_PORT);
{% if uses.tail %}
		if (setsockopt(s->fd, SOL_SOCKET, SO_REUSEPORT, &(int){ 1 }, sizeof(int)))
			call_failed("setsockopt(SO_REUSEPORT)");
{% endif %}
		if (bind(s->fd, (struct sockaddr *)&any, sizeof(any)) || listen(s->fd, 1) || shutdown(s->fd, SHUT_RD))
			call_failed("bind to the wildcard address");
{% if v6 %}
		/* Its address was an IPv6 one, and the peer's is not. */
		if (setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int)))
			call_failed("setsockopt(IPV6_V6ONLY)");
{% endif %}
	}
{% endif %}
	put_established(s, bucket);
}
{% endif %}
{% if uses.destroy %}

/* Another program destroys the socket: SOCK_DESTROY, as `ss -K` does. */
static void destroy(struct sock *s)
{
	__u64 cookie = s->id;
	int error;

{% if uses.destroying %}
	if (!s->is_present)
		return; /* the program has destroyed it */
{% endif %}
{% if walk == 'proc' %}
	cookie = cookie_of(s->fd);
{% endif %}
{% if uses.established %}
	if ({{ 's->is_established' if uses.both_tables else 'true' }}) {
		in_addr_t here = inet_addr(HERE), peer = inet_addr(PEER);

		error = ask(SOCK_DESTROY, AF_INET, &here, {{ 's->local_port' if uses.entries else 'CONNECTION_PORT' }}, &peer, s->port, &cookie);
	}{{ ' else {' if uses.listening }}
{% endif %}
{% if uses.listening %}
{% if not uses.established %}
	{
{% endif %}
		struct {{ sockaddr }} address, any = { 0 };
		socklen_t size = sizeof(address);

		getsockname(s->fd, (struct sockaddr *)&address, &size);
		error = ask(SOCK_DESTROY, FAMILY, &address.{{ 'sin6_addr' if v6 else 'sin_addr' }}, ntohs(address.{{ 'sin6_port' if v6 else 'sin_port' }}),
			    &any.{{ 'sin6_addr' if v6 else 'sin_addr' }}, 0, &cookie);
	}
{% endif %}
{% if uses.remove_entry %}
	if (error && s->fd < 0) {
		/* Old kernels refuse it for a connection in TIME_WAIT. */
		reset(s);
		return;
	}
{% endif %}
	if (error) {
		errno = -error;
		call_failed("SOCK_DESTROY");
	}
	left(s);
}
{% endif %}
{% if uses.remove_entry and uses.remove %}

static void remove_sock(struct sock *s)
{
{% if uses.destroying %}
	if (!s->is_present)
		return; /* the program has destroyed it */
{% endif %}
	if (s->life == WHOLE)
		left(s);
	else
		reset(s);
}
{% endif %}
