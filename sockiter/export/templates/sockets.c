{% if uses.shown_late %}

static unsigned int nr_reads;
{% endif %}
{% if uses.tail %}

enum end { HEAD, TAIL };
{% endif %}

struct sock {
	const char *name;
	int fd;
	__u64 id; /* {{ 'the inode, by which /proc names it' if walk == 'proc' else 'SO_COOKIE' }} */
{% if uses.bucket_of_socket %}
	int bucket;
{% endif %}
{% if uses.home %}
	int home; /* the bucket of the port to which it is bound */
{% endif %}
{% if uses.bound %}
	bool is_bound; /* by number: the port is its own for good */
{% endif %}
{% if uses.listening %}
	int address; /* by its number */
{% endif %}
{% if uses.both_tables %}
	bool is_established;
{% endif %}
{% if uses.established %}
	unsigned short port; /* of its peer */
{% endif %}
{% if uses.request %}
	__u32 answer; /* the sequence number of its SYN-ACK */
{% endif %}
{% if uses.entries %}
	enum { WHOLE{{ ', REQUEST' if uses.request }}{{ ', TIME_WAIT' if uses.close }} } life;
	unsigned short local_port;
{% endif %}
	bool is_present;
{% if uses.unwanted %}
	bool is_unwanted; /* the program filters it out */
{% endif %}
	bool is_owed; /* in the table from open on */
	bool is_skipped;
	bool is_stale;
	unsigned int delivered;
{% if uses.stops %}
	unsigned int nr_shown; /* at stops, and not delivered yet */
{% endif %}
{% if uses.shown_late %}
	unsigned int gone_after; /* this many reads */
{% endif %}
};

{% for socket in sockets %}
static struct sock {{ socket.variable }} = { .name = {{ socket.name | c_string }}{{ ', .is_unwanted = true' if socket.unwanted }} };
{% endfor %}
static struct sock *const socks[] = { {{ sockets | map(attribute='variable') | map('prefixed', '&') | join(', ') | folded(1) }} };

#define NR_SOCKS (sizeof(socks) / sizeof(socks[0]))

static struct sock *find_sock(__u64 id)
{
	for (size_t i = 0; i < NR_SOCKS; i++)
		if (socks[i]->id == id)
			return socks[i];
	skip_test("the walk delivers a socket that is not one of this case");
}

{% if uses.remember %}
/* A new socket has entered the table. */
static void entered(struct sock *s)
{
{% if walk == 'proc' %}
	struct stat status;

	if (fstat(s->fd, &status))
		call_failed("fstat");
	s->id = status.st_ino;
{% else %}
	socklen_t size = sizeof(s->id);

	if (getsockopt(s->fd, SOL_SOCKET, SO_COOKIE, &s->id, &size))
		call_failed("getsockopt(SO_COOKIE)");
{% endif %}
	s->is_present = true;
{% if uses.unwanted %}
	if (s->is_unwanted && setsockopt(s->fd, SOL_SOCKET, SO_MARK, &(int){ UNWANTED }, sizeof(int)))
		call_failed("setsockopt(SO_MARK)");
{% endif %}
}
{% endif %}
{% if uses.leaves %}

/* A socket has left the table for good, and is owed to nobody any more. */
static void left(struct sock *s)
{
	s->is_present = false;
	s->is_owed = false;
{% if uses.shown_late %}
	s->gone_after = nr_reads;
{% endif %}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}
{% endif %}
{% if uses.remove and not uses.remove_entry %}

/* close(2): the socket leaves the table. */
static void remove_sock(struct sock *s)
{
{% if uses.destroying %}
	if (!s->is_present)
		return; /* the program has destroyed it */
{% endif %}
	left(s);
}
{% endif %}
