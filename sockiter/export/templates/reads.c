
/* Further reads, until one returns nothing and no error. */
{% if uses.read_all %}
static void read_all(void)
{
	for (int i = 0; i < READS_MAX; i++)
		if (read_once({{ most }}{{ ', false' if uses.silent }}) == END)
			return;
	is_stuck = true;
}
{% endif %}
{% if uses.read_until_error %}

static void read_until_error(void)
{
	for (int i = 0; i < READS_MAX; i++)
		if (read_once({{ most }}{{ ', false' if uses.silent }}) != MORE)
			return;
	is_stuck = true;
}
{% endif %}
{% if uses.walk_silently %}

/* The program stores what it shows, and writes nothing: no read stops before the end. */
static void walk_silently(void)
{
	for (int i = 0; i < READS_MAX; i++)
		if (read_once({{ most }}, true) == END)
			return;
	is_stuck = true;
}
{% endif %}
{% if uses.walk_silently_until_error %}

static void walk_silently_until_error(void)
{
	for (int i = 0; i < READS_MAX; i++)
		if (read_once({{ most }}, true) != MORE)
			return;
	is_stuck = true;
}
{% endif %}
{% if uses.again %}

/* A second pass: a new walk replaces the first, and the reader joins the deliveries of both by cookie. */
static void open_again(void)
{
	close(walk);
	is_joined = true;
	has_ended = false;
	for (size_t i = 0; i < NR_SOCKS; i++)
		socks[i]->is_skipped = false;
	printf("# open again\n");
	open_walk();
}
{% endif %}

/* The walk begins. What is in the table now, and stays, has to be delivered exactly once. */
static void open_first(void)
{
	for (size_t i = 0; i < NR_SOCKS; i++)
		socks[i]->is_owed = socks[i]->is_present{{ ' && !socks[i]->is_unwanted' if uses.unwanted }};
	open_walk();
}
