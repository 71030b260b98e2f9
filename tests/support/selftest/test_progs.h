// SPDX-License-Identifier: MIT
/* So much of the kernel's test_progs.h as a generated selftest needs, so that it can be compiled and run on its own. */
#pragma once
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/types.h>

#define __packed __attribute__((packed))
#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))

static int failures;

static inline bool check(bool is_fine, const char *name)
{
	if (!is_fine) {
		failures++;
		printf("# FAIL:%s\n", name);
	}
	return is_fine;
}

#define ASSERT_OK(r, name) check((r) == 0, name)
#define ASSERT_OK_FD(fd, name) check((fd) >= 0, name)
#define ASSERT_OK_PTR(p, name) check((p) != NULL, name)
#define ASSERT_TRUE(c, name) check(c, name)
#define ASSERT_EQ(a, b, name) check((long long)(a) == (long long)(b), name)
#define ASSERT_GE(a, b, name) check((long long)(a) >= (long long)(b), name)
#define ASSERT_LE(a, b, name) check((long long)(a) <= (long long)(b), name)
#define ASSERT_LT(a, b, name) check((long long)(a) < (long long)(b), name)

struct netns_obj {
	int unused;
};

static inline struct netns_obj *netns_new(const char *name, bool open)
{
	struct ifreq loopback = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	static struct netns_obj netns;
	int fd;

	if (!name || !open || unshare(CLONE_NEWNET))
		return NULL;
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	if (ioctl(fd, SIOCSIFFLAGS, &loopback))
		return NULL;
	close(fd);
	return &netns;
}

static inline void netns_free(struct netns_obj *netns)
{
	(void)netns;
}
