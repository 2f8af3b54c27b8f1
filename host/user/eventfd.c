/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* eventfd.c - references on the client's eventfds; eventwatch.c watches them. */
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fail.h"
#include "eventfd.h"

static size_t append(char *buf, size_t at, const char *s)
{
	while (*s)
		buf[at++] = *s++;
	buf[at] = 0;
	return at;
}

static size_t append_fd(char *buf, size_t at, int fd)
{
	char digits[12];
	int n = 0;

	do {
		digits[n++] = (char)('0' + fd % 10);
		fd /= 10;
	} while (fd);
	while (n)
		buf[at++] = digits[--n];
	buf[at] = 0;
	return at;
}

const char *host_proc_find(const char *s, const char *what)
{
	for (; *s; s++) {
		size_t n = 0;

		while (what[n] && s[n] == what[n])
			n++;
		if (!what[n])
			return s + n;
	}
	return NULL;
}

bool host_proc_link(int fd, char link[PROC_LINK_SIZE])
{
	char path[48];
	long n;

	append_fd(path, append(path, 0, "/proc/self/fd/"), fd);
	n = sys3(__NR_readlink, (u64)path, (u64)link, PROC_LINK_SIZE - 1);
	link[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* -EINVAL if fd is not an eventfd, as far as /proc can tell. */
static int check_is_eventfd(int fd)
{
	char link[PROC_LINK_SIZE];

	if (!host_proc_link(fd, link))
		return 0;
	return host_proc_find(link, "anon_inode:[eventfd]") ? 0 : -EINVAL;
}

bool host_proc_fdinfo(int fd, char text[FDINFO_SIZE])
{
	char path[48];
	long f, n;

	text[0] = 0;
	append_fd(path, append(path, 0, "/proc/self/fdinfo/"), fd);
	f = sys3(__NR_open, (u64)path, 02000000, 0);
	if (f < 0)
		return false;
	n = sys3(__NR_read, (u64)f, (u64)text, FDINFO_SIZE - 1);
	sys1(__NR_close, (u64)f);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* "eventfd-id:" in fdinfo is the same for all descriptors of one eventfd. */
u64 host_eventfd_kernel_id(int fd)
{
	char text[FDINFO_SIZE];
	const char *p;
	u64 id = 0;

	if (!host_proc_fdinfo(fd, text))
		return 0;
	p = host_proc_find(text, "eventfd-id:");
	if (!p)
		return 0;
	while (*p == ' ' || *p == '\t')
		p++;
	for (; *p >= '0' && *p <= '9'; p++)
		id = id * 10 + (u64)(*p - '0');
	return id + 1;	/* ids begin at 0 */
}

int host_eventfd_get(int fd, struct host_eventfd **out)
{
	struct host_eventfd *e;
	long own;
	int ret;

	if (host_fail(HOST_FAIL_eventfd))
		return -ENOMEM;
	if (fd < 0)
		return -EBADF;
	own = sys3(__NR_fcntl, (u64)fd, F_DUPFD_CLOEXEC_CMD, 3);
	if (own < 0)
		return (int)own;
	ret = check_is_eventfd((int)own);
	if (ret)
		goto err_close;
	ret = -ENOMEM;
	e = host_zalloc(sizeof(*e));
	if (!e)
		goto err_close;
	e->fd = (int)own;
	e->client_fd = fd;
	e->id = host_eventfd_kernel_id((int)own);
	e->refs = 1;
	*out = e;
	return 0;
err_close:
	sys1(__NR_close, (u64)own);
	return ret;
}

void host_eventfd_put(struct host_eventfd *e)
{
	if (!e || host_fetch_add(&e->refs, (u32)-1) != 1)
		return;
	sys1(__NR_close, (u64)e->fd);
	host_free(e);
}

bool host_eventfd_same(const struct host_eventfd *a, const struct host_eventfd *b)
{
	long ret;

	if (a == b)
		return true;
	if (a->id && b->id)
		return a->id == b->id;
	ret = sys1(__NR_getpid, 0);
	ret = sys6(__NR_kcmp, (u64)ret, (u64)ret, 0 /* KCMP_FILE */, (u64)a->fd, (u64)b->fd, 0);
	return ret >= 0 ? ret == 0 : a->client_fd == b->client_fd;
}

void host_eventfd_signal(struct host_eventfd *e)
{
	u64 one = 1;

	sys3(__NR_write, (u64)e->fd, (u64)&one, sizeof(one));
}
