
/* The case cannot be carried out here: KTAP's SKIP, and kselftest's exit status for it. */
__attribute__((noreturn)) static void skip_test(const char *reason)
{
	printf("ok 1 " NAME " # SKIP %s\n", reason);
	exit(4);
}

/* A system call failed, with errno. */
__attribute__((noreturn)) static void call_failed(const char *call)
{
	char reason[300];

	snprintf(reason, sizeof(reason), "%s: %s%s", call, strerror(errno),
		 errno == EPERM || errno == EACCES ? "; run it as root" : "");
	skip_test(reason);
}
