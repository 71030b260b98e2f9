
#define RECORDS(n) ((size_t)(n) * WIDTH)
/* More lines than the kernel's buffer of a page holds. */
#define MOST RECORDS((sysconf(_SC_PAGESIZE) - 1) / WIDTH + 1)

static int walk = -1;
static bool has_title;
{% if uses.bytes %}
static char text[1 << 17];
static size_t rest; /* the bytes of a line whose other bytes are still to come */
static size_t kept; /* the bytes that the kernel has written and not yet delivered */
static unsigned int produced_in[1 << 12]; /* of each undelivered line: the read in which the kernel wrote it */
static size_t first_produced, nr_produced;
{% endif %}

static void open_walk(void)
{
	walk = open(FILE_NAME, O_RDONLY | O_CLOEXEC);
	if (walk < 0)
		call_failed(FILE_NAME);
	has_title = false;
{% if uses.bytes %}
	rest = kept = nr_produced = nr_reads = 0;
{% endif %}
}

{% if uses.bytes %}
/*
 * Which lines the kernel wrote in this read, and how much of them it keeps. When a read ends with the last byte of what was
 * kept, the kernel writes the next line all the same (seq_read_iter in fs/seq_file.c).
 */
static void follow(size_t size, size_t n)
{
	size_t room, lines;

	nr_reads++;
	if (!n) {
		kept = nr_produced = 0;
		return;
	}
	if (size < kept) {
		kept -= size;
		return;
	}
	room = size - kept;
	lines = n < size ? (n - kept) / WIDTH : room ? (room + WIDTH - 1) / WIDTH : 1;
	for (size_t i = 0; i < lines; i++)
		produced_in[(first_produced + nr_produced++) % (1 << 12)] = nr_reads;
	kept = n < size ? 0 : lines * WIDTH - room;
}

{% endif %}
/* One read(2). */
static enum outcome read_once(size_t size)
{
{% if not uses.bytes %}
	static char text[1 << 17];
{% endif %}
	unsigned int number;
	char *line = text, *end;
	ssize_t n;

	/* The title of the columns is read just before the first socket. */
	if (!has_title && read(walk, text, WIDTH) < 0)
		call_failed("read of a title");
	has_title = true;
	if (size > sizeof(text) / 2)
		size = sizeof(text) / 2;
	n = read(walk, text{{ ' + rest' if uses.bytes }}, size);
	if (n < 0)
		return failed();
{% if uses.bytes %}
	follow(size, n);
	n += rest;
{% endif %}
	text[n] = 0;
	printf("# read:");
	while ((end = strchr(line, '\n'))) {
		struct sock *s = find_sock(parse(line, &number));

{% if uses.bytes %}
		shown(s, produced_in[first_produced++ % (1 << 12)]);
		nr_produced--;
{% else %}
		shown(s);
{% endif %}
		delivered(s);
		line = end + 1;
	}
{% if uses.bytes %}
	rest = text + n - line;
	memmove(text, line, rest);
{% endif %}
	printf("%s\n", n ? "" : " nothing");
	if (n)
		return MORE;
	at_end();
	return END;
}
