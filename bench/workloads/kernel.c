// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What the guest's kernel does for a program: system calls, processes, pages, files. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

static u64 syscalls(void)
{
	u64 sum = 0;

	for (int i = 0; i < 20000; i++)
		sum += syscall(SYS_getppid) >= 0;
	return sum;
}

static u64 clock_reads(void)
{
	struct timespec ts;
	u64 sum = 0;

	for (int i = 0; i < 20000; i++)
		sum += clock_gettime(CLOCK_MONOTONIC, &ts) == 0;
	return sum;
}

static u64 ping_pong(void)
{
	int to[2], from[2], status;
	u64 sum = 0;
	char c = 1;
	pid_t pid;

	wl_check(!pipe(to) && !pipe(from), "pipe");
	pid = fork();
	wl_check(pid >= 0, "fork");
	if (!pid) {
		close(to[1]);
		while (read(to[0], &c, 1) == 1) {
			c++;
			wl_check(write(from[1], &c, 1) == 1, "write");
		}
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	for (int i = 0; i < 1000; i++) {
		wl_check(write(to[1], &c, 1) == 1 && read(from[0], &c, 1) == 1, "pipe");
		sum += (u8)c;
	}
	close(to[1]);
	close(from[0]);
	wl_check(waitpid(pid, &status, 0) == pid && !status, "child");
	return sum;
}

static u64 forks(void)
{
	u64 sum = 0;

	for (int i = 0; i < 10; i++) {
		int status;
		pid_t pid = fork();

		wl_check(pid >= 0, "fork");
		if (!pid)
			_exit(i);
		wl_check(waitpid(pid, &status, 0) == pid, "waitpid");
		sum += WEXITSTATUS(status);
	}
	return sum;
}

static u64 fork_exec(void)
{
	u64 sum = 0;

	for (int i = 0; i < 5; i++) {
		int status;
		pid_t pid = fork();

		wl_check(pid >= 0, "fork");
		if (!pid) {
			execl("/proc/self/exe", "workload", "-x", NULL);
			_exit(99);
		}
		wl_check(waitpid(pid, &status, 0) == pid, "waitpid");
		sum += status == 0;
	}
	return sum;
}

static u64 page_faults(void)
{
	u64 sum = 0;

	for (int i = 0; i < 8; i++) {
		u8 *p = wl_alloc(1 << 20);

		madvise(p, 1 << 20, MADV_NOHUGEPAGE);
		for (int k = 0; k < 1 << 20; k += 4096) {
			sum += p[k] + 1;
			p[k] = k >> 12;
		}
		munmap(p, 1 << 20);
	}
	return sum;
}

static u8 *pages;

static void pages_setup(void)
{
	if (!pages)
		pages = wl_alloc(1 << 18);
	for (int k = 0; k < 1 << 18; k += 4096)
		pages[k] = 1;
}

static u64 protect(void)
{
	u64 sum = 0;

	for (int i = 0; i < 1000; i++) {
		u8 *p = pages + (i & 63) * 4096;

		wl_check(!mprotect(p, 4096, PROT_READ), "mprotect");
		sum += *p;
		wl_check(!mprotect(p, 4096, PROT_READ | PROT_WRITE), "mprotect");
		*p = 1;
	}
	return sum;
}

static const char path[] = "/dev/shm/workload.tmp";

static u64 file_io(void)
{
	static u8 buf[65536];
	u64 sum = 0;
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	wl_check(fd >= 0, path);
	for (int i = 0; i < 16; i++) {
		buf[0] = i;
		wl_check(write(fd, buf, sizeof(buf)) == sizeof(buf), "write");
	}
	lseek(fd, 0, SEEK_SET);
	for (int i = 0; i < 256; i++) {
		wl_check(read(fd, buf, 4096) == 4096, "read");
		sum += buf[0];
	}
	close(fd);
	unlink(path);
	return sum;
}

static u64 open_close(void)
{
	struct stat st;
	u64 sum = 0;

	for (int i = 0; i < 1000; i++) {
		int fd = open("/dev/null", O_RDONLY);

		sum += fd >= 0 && !fstat(fd, &st) && !stat("/proc/self", &st);
		close(fd);
	}
	return sum;
}

/* -- two threads hand a word to and fro through futexes ---------------------------------------- */

static atomic_uint turn;

static void hand_over(unsigned int mine, unsigned int next)
{
	unsigned int t;

	while ((t = atomic_load(&turn)) != mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, t, NULL, NULL, 0);
	atomic_store(&turn, next);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *other(void *arg)
{
	for (int i = 0; i < 1000; i++)
		hand_over(1, 0);
	return NULL;
}

static u64 futexes(void)
{
	pthread_t t;

	atomic_store(&turn, 0);
	wl_check(!pthread_create(&t, NULL, other, NULL), "pthread_create");
	for (int i = 0; i < 1000; i++)
		hand_over(0, 1);
	pthread_join(t, NULL);
	return atomic_load(&turn);
}

const struct workload wl_kernel[] = {
	{ "syscall", "kernel", syscalls },
	{ "clock", "kernel", clock_reads },
	{ "pipe", "kernel", ping_pong },
	{ "fork", "kernel", forks },
	{ "fork-exec", "kernel", fork_exec },
	{ "page-fault", "kernel", page_faults },
	{ "mprotect", "kernel", protect, pages_setup },
	{ "file", "kernel", file_io },
	{ "open", "kernel", open_close },
	{ "futex", "kernel", futexes },
	{ NULL },
};
