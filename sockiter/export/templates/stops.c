
/* A change inside a read, just before the nth socket is shown. */
struct change {
	unsigned int nth;
	struct sock *sock;
	enum { ENTERS, STAYS, MOVES, LEAVES, IS_SUCCEEDED } kind;
	void (*make)(void);
};

static const struct change *changes;
static size_t nr_changes, next_change;
static struct sock *turn; /* the socket that was about to be shown at the last stop */
static bool has_unseen_turn;
static int processors[2];

/* A stopped read keeps its processor: the program cannot sleep. */
static void find_processors(void)
{
	cpu_set_t allowed;
	int n = 0;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		call_failed("sched_getaffinity");
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &allowed))
			processors[n++] = i;
	if (n < 2)
		skip_test("a stopped read takes two processors");
}

static void stay_on(int processor)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(processor, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		call_failed("sched_setaffinity");
}

static void begin_changes(const struct change *first, size_t n)
{
	changes = first;
	nr_changes = n;
	next_change = 0;
	has_unseen_turn = false;
	shared->nr_shows = 0;
}

static void check_turns(void)
{
	if (has_unseen_turn && next_change < nr_changes)
		skip_test("this kernel does not report the turn of a socket that has left inside the read");
}

/* Whether a change is made by the program: the kernel holds the lock of the socket whose turn it is. */
static bool is_made_by_program(const struct change *change)
{
	if (change->kind == ENTERS || change->kind == STAYS || change->sock->id != shared->about)
		return false;
{% if uses.doomed %}
	if (change->kind == LEAVES{{ ' && change->sock->life == WHOLE' if uses.entries }}{{ ' && !change->sock->is_bound' if uses.bound }}) {
		/* bpf_sock_destroy, and no record. */
		shared->doomed = change->sock->id;
		change->sock->is_present = change->sock->is_owed = false;
		return true;
	}
{% endif %}
	skip_test("this kernel holds the lock of a socket while it is shown");
}

/* The read is stopped. All changes of this point are made before it goes on. */
static void at_stop(void)
{
	check_turns();
	if (turn) {
		shown(turn);
		turn->nr_shown++;
	}
	for (; next_change < nr_changes && changes[next_change].nth == shared->nr_shows; next_change++) {
		const struct change *change = &changes[next_change];

		if (is_made_by_program(change))
			continue;
		has_unseen_turn |= change->kind == LEAVES || change->kind == IS_SUCCEEDED;
		change->make();
	}
	turn = find_sock(shared->about);
	if (!turn->is_present{{ ' || turn->is_unwanted' if uses.unwanted }})
		turn = NULL;
}

/* What no point of the read has reached happens at its end. */
static void end_changes(void)
{
	check_turns();
	for (; next_change < nr_changes; next_change++)
		changes[next_change].make();
}

struct reading {
	void *records;
	size_t size;
	ssize_t n;
	int error;
	bool is_done;
};

static void *read_in_thread(void *data)
{
	struct reading *reading = data;

	stay_on(processors[1]);
	reading->n = read(walk, reading->records, reading->size);
	reading->error = errno;
	__atomic_store_n(&reading->is_done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* One read(2) in a second thread, with stops as long as there are changes to make. */
static ssize_t read_with_stops(void *records, size_t size)
{
	struct reading reading = { .records = records, .size = size };
	pthread_t reader;

	stay_on(processors[0]);
	turn = NULL;
	__atomic_store_n(&shared->state, ARMED, __ATOMIC_RELEASE);
	if (pthread_create(&reader, NULL, read_in_thread, &reading))
		call_failed("pthread_create");
	while (!__atomic_load_n(&reading.is_done, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&shared->state, __ATOMIC_ACQUIRE) != ASKED) {
			sched_yield();
			continue;
		}
		at_stop();
		__atomic_store_n(&shared->state, next_change < nr_changes ? ARMED : IDLE, __ATOMIC_RELEASE);
	}
	pthread_join(reader, NULL);
	__atomic_store_n(&shared->state, IDLE, __ATOMIC_RELEASE);
	if (shared->timed_out)
		skip_test("a stopped read timed out: this machine is too busy");
	errno = reading.error;
	return reading.n;
}
