
#define RECORDS(n) ((n) * sizeof(struct record))

static int walk = -1;
{% if uses.bytes %}
static size_t rest; /* the bytes of a record whose other bytes are still to come */
{% endif %}

static void open_walk(void)
{
	walk = open_iterator();
{% if uses.bytes %}
	rest = 0;
{% endif %}
}

{% if uses.stops %}
{% include 'stops.c' %}

{% endif %}
{% if uses.log %}
/* The sockets that the program has shown in this read{{ '; it has destroyed them' if uses.destroying }}. */
static void take_stored(void)
{
	if (shared->nr_stored > LOG)
		skip_test("one read shows more sockets than the program can store");
	for (size_t i = 0; i < shared->nr_stored; i++) {
		struct sock *s = find_sock(shared->stored[i].cookie);

		shown(s);
{% if uses.destroying %}
		if (!(shared->mode & DESTROYING) || !s->is_present)
			continue;
{% if uses.bound %}
		if (s->is_bound) {
			/* It keeps its port, and returns to the bucket of that port. */
{% if uses.home %}
			s->bucket = s->home;
{% endif %}
			continue;
		}
{% endif %}
		left(s);
{% endif %}
	}
}

{% endif %}
/* One read(2). */
static enum outcome read_once(size_t size{{ ', bool is_silent' if uses.silent }})
{
	static struct record records[BUFFER / sizeof(struct record) + 1];
	ssize_t n;
	size_t whole;

{% if uses.log %}
	shared->nr_stored = 0;
{% endif %}
{% if uses.silent %}
	if (is_silent)
		shared->mode |= SILENT;
{% endif %}
{% if uses.stops %}
	if (size > BUFFER)
		size = BUFFER;
	n = next_change < nr_changes ? read_with_stops(records, size) : read(walk, records, size);
{% else %}
	n = read(walk, {{ '(char *)records + rest' if uses.bytes else 'records' }}, size < BUFFER ? size : BUFFER);
{% endif %}
{% if uses.silent %}
	shared->mode &= ~(__u64)SILENT;
{% endif %}
{% if uses.log %}
	take_stored();
{% endif %}
{% if uses.silent %}
	if (is_silent && n <= 0) {
		/* Unless something was left from a read before, when the program does not run. */
		printf("# walk:");
		for (size_t i = 0; i < shared->nr_stored; i++)
			delivered(find_sock(shared->stored[i].cookie));
		printf("\n");
	}
{% endif %}
	if (n < 0)
		return failed();
{% if uses.silent %}
	if (is_silent && !n) {
		at_end();
		return END;
	}
{% endif %}
	printf("# read:");
{% if uses.bytes %}
	n += rest;
{% endif %}
	whole = n / sizeof(records[0]);
	for (size_t i = 0; i < whole; i++) {
		struct sock *s = find_sock(records[i].cookie);

{% if uses.stops %}
		if (s->nr_shown)
			s->nr_shown--;
		else
			shown(s);
{% elif not uses.log %}
		shown(s);
{% endif %}
		delivered(s);
	}
{% if uses.bytes %}
	rest = n % sizeof(records[0]);
	memmove(records, records + whole, rest);
{% endif %}
	printf("%s\n", n ? "" : " nothing");
	if (n)
		return MORE;
	at_end();
	return END;
}
