
#define FILE_NAME "/proc/self/net/{{ kind }}"
{% if walk == 'proc' %}
#define WIDTH {{ width }} /* of a line */
{% endif %}

/* The inode of the socket in a line, and the number at its beginning. */
static __u64 parse(const char *line, unsigned int *number)
{
	unsigned long long inode = 0;

	if (sscanf(line, " %u: %*s %*s %*s %*s %*s %*s %*s %*s %llu", number, &inode) != 2)
		skip_test("a line of " FILE_NAME " has an unknown form");
	return inode;
}
{% if uses.looks_in_proc %}

static struct { __u64 inode; unsigned int bucket; } seen[1024];

/* A walk of its own over all sockets: how many were seen. */
static size_t look(void)
{
	FILE *file = fopen(FILE_NAME, "re");
	char line[256];
	size_t n = 0;

	if (!file)
		call_failed(FILE_NAME);
	while (fgets(line, sizeof(line), file))
		if (!strstr(line, "sl ") && n < sizeof(seen) / sizeof(seen[0])) {
			seen[n].inode = parse(line, &seen[n].bucket);
			n++;
		}
	fclose(file);
	return n;
}

static __u64 inode_of(int fd)
{
	struct stat status;

	if (fstat(fd, &status))
		call_failed("fstat");
	return status.st_ino;
}
{% endif %}
