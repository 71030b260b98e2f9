
/* What comes of a read: the walk goes on, it has ended, or the read has failed. */
enum outcome { MORE, END, FAILED };

static bool has_ended, is_stuck{{ ', is_joined' if uses.again }};
static unsigned int nr_errors;

/* The walk shows a socket{{ ' in this read' if uses.shown_late }}. */
static void shown(struct sock *s{{ ', unsigned int nth_read' if uses.shown_late }})
{
	if (!s->is_present{{ ' && s->gone_after < nth_read' if uses.shown_late }})
		s->is_stale = true;
}

/* A read returns the record of a socket. */
static void delivered(struct sock *s)
{
	s->delivered++;
	printf(" %s", s->name);
}

/* A read returns nothing, and no error: whatever was in the table all the time has had its turn. */
static void at_end(void)
{
	if (has_ended)
		return;
	has_ended = true;
	for (size_t i = 0; i < NR_SOCKS; i++)
		socks[i]->is_skipped = socks[i]->is_owed && !socks[i]->delivered;
}

static enum outcome failed(void)
{
	printf("# read: %s\n", strerror(errno));
	nr_errors++;
	return FAILED;
}

static int judge(void)
{
	bool is_defect = is_stuck;

	for (size_t i = 0; i < NR_SOCKS; i++) {
		struct sock *s = socks[i];

		if (s->is_skipped)
			printf("# skip %s: in the table from open to the end, and never delivered\n", s->name);
		if (s->delivered > 1{{ ' && !is_joined' if uses.again }})
			printf("# repeat %s: delivered %u times\n", s->name, s->delivered);
		if (s->is_stale)
			printf("# stale %s: shown after it had left the table\n", s->name);
		is_defect |= s->is_skipped || {{ '(s->delivered > 1 && !is_joined)' if uses.again else 's->delivered > 1' }} || s->is_stale;
	}
	if (is_stuck)
		printf("# stuck: the walk does not end\n");
	if (nr_errors)
		printf("# refused: %u reads failed\n", nr_errors);
	if (!is_defect && !has_ended) {
		printf("# incomplete\n");
		skip_test("no read reached the end, so no socket can be called skipped");
	}
	printf("%s 1 " NAME "\n", is_defect ? "not ok" : "ok");
	return is_defect;
}
