// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * stat.c - `anykvm stat`: what the VMs of another process do, from the counters that it shows
 * (anykvm_stat.h). What is read was written by that process and may be anything: it is copied by
 * pread(), so that a file that shrinks does no harm, and checked before it is used.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <anykvm/anykvm_stat.h>

#include "commands.h"
#include "error.h"

#define MAX_BLOCKS	1024		/* of one process that are looked at */
#define MAX_COUNTERS	128		/* different names, summed up */
#define MAX_INTERVAL	3600.0

struct stat_options {
	pid_t pid;			/* 0: list the processes */
	bool json, once;
	double interval;
};

/* One look at a process. */
struct sample {
	double time;
	unsigned int nr;
	struct anykvm_stat_block *block;	/* nr of them */
};

/* A counter summed over the VMs and vCPUs of a process. */
struct sum {
	char name[40];
	uint64_t now, before;
};

struct sums {
	unsigned int nr;
	struct sum sum[MAX_COUNTERS];
};

/* ---- reading --------------------------------------------------------------------------------- */

/* The process's number as it sees itself: the last of NSpid, 0 if that is not known. */
static pid_t inner_pid(pid_t pid)
{
	char path[64], line[256], *last = NULL, *word;
	pid_t inner = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, "NSpid:", 6))
			continue;
		for (word = strtok(line + 6, " \t\n"); word; word = strtok(NULL, " \t\n"))
			last = word;
		inner = last ? atoi(last) : 0;
		break;
	}
	fclose(f);
	return inner;
}

/* Is fd a file of counters that belongs to pid? */
static bool file_is_of(int fd, pid_t pid)
{
	struct anykvm_stat_header h;

	return pread(fd, &h, sizeof(h), 0) == sizeof(h) && h.magic == ANYKVM_STAT_MAGIC &&
	       h.version == ANYKVM_STAT_VERSION &&
	       h.block_size == sizeof(struct anykvm_stat_block) && h.pid == inner_pid(pid);
}

/* A descriptor of the counters of pid; -ENODATA: it shows none; -errno: it cannot be looked at. */
static int open_counters(pid_t pid)
{
	char path[64], link[64];
	struct dirent *d;
	DIR *dir;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((d = readdir(dir))) {
		n = readlinkat(dirfd(dir), d->d_name, link, sizeof(link) - 1);
		if (n < 0)
			continue;
		link[n] = '\0';
		if (strcmp(link, ANYKVM_STAT_LINK))
			continue;
		fd = openat(dirfd(dir), d->d_name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (file_is_of(fd, pid)) {
			closedir(dir);
			return fd;
		}
		close(fd);
	}
	closedir(dir);
	return -ENODATA;
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Letters, digits and a few marks: what may stand in a terminal and between quotes. */
static void clean_text(char *text, size_t size)
{
	static const char others[] = "-_/:.,+ ()[]@";

	text[size - 1] = '\0';
	for (; *text; text++)
		if (!((*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
		      (*text >= '0' && *text <= '9') || strchr(others, *text)))
			*text = '?';
}

static bool block_is_sane(struct anykvm_stat_block *b)
{
	uint32_t i;

	if ((b->kind != ANYKVM_STAT_VM && b->kind != ANYKVM_STAT_VCPU) || b->nr > ANYKVM_STAT_ROWS)
		return false;
	clean_text(b->id, sizeof(b->id));
	for (i = 0; i < b->nr; i++) {
		if (b->row[i].index >= ANYKVM_STAT_VALUES)
			return false;
		clean_text(b->row[i].name, sizeof(b->row[i].name));
	}
	return true;
}

/* Two looks that agree on what the block is: it was not given to another in between. */
static bool read_block(int fd, unsigned int nr, struct anykvm_stat_block *b)
{
	struct anykvm_stat_block after;
	off_t at = (off_t)(nr + 1) * (off_t)sizeof(*b);
	const ssize_t head = offsetof(struct anykvm_stat_block, value);

	return pread(fd, b, sizeof(*b), at) == sizeof(*b) && b->kind != ANYKVM_STAT_FREE &&
	       pread(fd, &after, head, at) == head && !memcmp(b, &after, head) && block_is_sane(b);
}

static bool take_sample(int fd, struct sample *s)
{
	struct anykvm_stat_header h;
	unsigned int i;

	s->nr = 0;
	s->time = now();
	if (!s->block)
		s->block = malloc(MAX_BLOCKS * sizeof(*s->block));
	if (!s->block || pread(fd, &h, sizeof(h), 0) != sizeof(h))
		return false;
	for (i = 0; i < h.nr_blocks && i < MAX_BLOCKS; i++)
		if (read_block(fd, i, &s->block[s->nr]))
			s->nr++;
	return true;
}

/* ---- summing up ------------------------------------------------------------------------------ */

static struct sum *find_sum(struct sums *sums, const char *name)
{
	unsigned int i;

	for (i = 0; i < sums->nr; i++)
		if (!strcmp(sums->sum[i].name, name))
			return &sums->sum[i];
	if (sums->nr == MAX_COUNTERS)
		return NULL;
	memset(&sums->sum[sums->nr], 0, sizeof(sums->sum[0]));
	strcpy(sums->sum[sums->nr].name, name);
	return &sums->sum[sums->nr++];
}

/* What the counter was in an earlier sample; of a VM or vCPU that is new since, 0. */
static uint64_t value_before(const struct sample *s, const struct anykvm_stat_block *b, const char *name)
{
	unsigned int i, j;

	for (i = 0; s && i < s->nr; i++) {
		const struct anykvm_stat_block *old = &s->block[i];

		if (old->kind != b->kind || strcmp(old->id, b->id))
			continue;
		for (j = 0; j < old->nr; j++)
			if (!strcmp(old->row[j].name, name))
				return old->value[old->row[j].index];
	}
	return 0;
}

static void sum_up(struct sums *sums, const struct sample *s, const struct sample *before)
{
	unsigned int i, j;

	sums->nr = 0;
	for (i = 0; i < s->nr; i++)
		for (j = 0; j < s->block[i].nr; j++) {
			const struct anykvm_stat_block *b = &s->block[i];
			struct sum *sum = find_sum(sums, b->row[j].name);

			if (!sum)
				continue;
			sum->now += b->value[b->row[j].index];
			sum->before += value_before(before, b, b->row[j].name);
		}
}

static unsigned int count_kind(const struct sample *s, enum anykvm_stat_kind kind)
{
	unsigned int i, n = 0;

	for (i = 0; i < s->nr; i++)
		n += s->block[i].kind == kind;
	return n;
}

static uint64_t total_of(const struct sample *s, const char *name)
{
	struct sums sums;
	unsigned int i;

	sum_up(&sums, s, NULL);
	for (i = 0; i < sums.nr; i++)
		if (!strcmp(sums.sum[i].name, name))
			return sums.sum[i].now;
	return 0;
}

static double rate(const struct sum *sum, double seconds)
{
	return sum->now > sum->before && seconds > 0 ? (sum->now - sum->before) / seconds : 0;
}

/* ---- printing -------------------------------------------------------------------------------- */

static void command_of(pid_t pid, char *text, size_t size)
{
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	memset(text, 0, size);
	if (f && fgets(text, (int)size, f))
		text[strcspn(text, "\n")] = '\0';
	if (f)
		fclose(f);
	clean_text(text, size);
}

static void print_json_counters(const struct anykvm_stat_block *b)
{
	unsigned int i;

	printf("\"counters\":{");
	for (i = 0; i < b->nr; i++)
		printf("%s\"%s\":%llu", i ? "," : "", b->row[i].name,
		       (unsigned long long)b->value[b->row[i].index]);
	printf("}");
}

/* The vCPUs of a VM have its id, a slash and more. */
static bool belongs_to(const struct anykvm_stat_block *vcpu, const struct anykvm_stat_block *vm)
{
	size_t len = strlen(vm->id);

	return vcpu->kind == ANYKVM_STAT_VCPU && !strncmp(vcpu->id, vm->id, len) &&
	       vcpu->id[len] == '/';
}

static void print_json_vms(const struct sample *s)
{
	unsigned int i, j, vms = 0, vcpus;

	printf("\"vms\":[");
	for (i = 0; i < s->nr; i++) {
		const struct anykvm_stat_block *vm = &s->block[i];

		if (vm->kind != ANYKVM_STAT_VM)
			continue;
		printf("%s{\"id\":\"%s\",", vms++ ? "," : "", vm->id);
		print_json_counters(vm);
		printf(",\"vcpus\":[");
		for (j = vcpus = 0; j < s->nr; j++) {
			if (!belongs_to(&s->block[j], vm))
				continue;
			printf("%s{\"id\":\"%s\",", vcpus++ ? "," : "", s->block[j].id);
			print_json_counters(&s->block[j]);
			printf("}");
		}
		printf("]}");
	}
	printf("]");
}

static void print_json(pid_t pid, const char *command, const struct sample *s, const struct sample *before)
{
	double seconds = before ? s->time - before->time : 0;
	struct sums sums;
	unsigned int i;

	sum_up(&sums, s, before);
	printf("{\"pid\":%d,\"command\":\"%s\",", pid, command);
	printf("\"counters\":{");
	for (i = 0; i < sums.nr; i++)
		printf("%s\"%s\":%llu", i ? "," : "", sums.sum[i].name,
		       (unsigned long long)sums.sum[i].now);
	printf("},");
	if (before) {
		printf("\"interval\":%.6f,\"rates\":{", seconds);
		for (i = 0; i < sums.nr; i++)
			printf("%s\"%s\":%.1f", i ? "," : "", sums.sum[i].name,
			       rate(&sums.sum[i], seconds));
		printf("},");
	}
	print_json_vms(s);
	printf("}\n");
}

/* Exits and their reasons first, each group by what counts fastest, and nothing that never counted. */
static int compare(const void *a_, const void *b_)
{
	const struct sum *a = a_, *b = b_;
	bool a_exit = !strncmp(a->name, "exit", 4), b_exit = !strncmp(b->name, "exit", 4);
	uint64_t da = a->now - a->before, db = b->now - b->before;

	if (a_exit != b_exit)
		return a_exit ? -1 : 1;
	if (da != db)
		return da > db ? -1 : 1;
	if (a->now != b->now)
		return a->now > b->now ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void print_table(pid_t pid, const char *command, const struct sample *s, const struct sample *before)
{
	double seconds = before ? s->time - before->time : 0;
	struct sums sums;
	unsigned int i;

	sum_up(&sums, s, before);
	qsort(sums.sum, sums.nr, sizeof(sums.sum[0]), compare);
	if (before && isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	printf("%s (%d): %u VMs, %u vCPUs\n", command, pid, count_kind(s, ANYKVM_STAT_VM),
	       count_kind(s, ANYKVM_STAT_VCPU));
	printf("%-24s %16s%s\n", "counter", "total", before ? "    per second" : "");
	for (i = 0; i < sums.nr; i++) {
		if (!sums.sum[i].now)
			continue;
		printf("%-24s %16llu", sums.sum[i].name, (unsigned long long)sums.sum[i].now);
		if (before)
			printf(" %13.0f", rate(&sums.sum[i], seconds));
		printf("\n");
	}
	printf("\n");
}

static void print(const struct stat_options *opt, const char *command, const struct sample *s,
		  const struct sample *before)
{
	if (opt->json)
		print_json(opt->pid, command, s, before);
	else
		print_table(opt->pid, command, s, before);
	fflush(stdout);
}

/* ---- the command ----------------------------------------------------------------------------- */

/* Wait; true: the process has ended. pidfd -1: the kernel has none, look into /proc. */
static bool ended_after(int pidfd, pid_t pid, double seconds)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	char path[64];

	if (poll(&p, 1, (int)(seconds * 1000)) == 1)
		return true;
	snprintf(path, sizeof(path), "/proc/%d", pid);
	return pidfd < 0 && access(path, F_OK);
}

static int watch(const struct stat_options *opt, int fd)
{
	struct sample sample[2] = { 0 };
	int pidfd = (int)syscall(SYS_pidfd_open, opt->pid, 0);
	unsigned int turn = 0;
	char command[32];

	command_of(opt->pid, command, sizeof(command));
	if (!take_sample(fd, &sample[0]))
		return 1;
	if (opt->once) {
		print(opt, command, &sample[0], NULL);
		return 0;
	}
	while (!ended_after(pidfd, opt->pid, opt->interval)) {
		turn = !turn;
		if (!take_sample(fd, &sample[turn]))
			return 1;
		print(opt, command, &sample[turn], &sample[!turn]);
	}
	return 0;
}

static int list(const struct stat_options *opt)
{
	DIR *proc = opendir("/proc");
	struct sample s = { 0 };
	unsigned int n = 0;
	struct dirent *d;
	char command[32];
	pid_t pid;
	int fd;

	if (opt->json)
		printf("{\"processes\":[");
	while (proc && (d = readdir(proc))) {
		pid = atoi(d->d_name);
		fd = pid > 0 ? open_counters(pid) : -1;
		if (fd < 0)
			continue;
		command_of(pid, command, sizeof(command));
		if (take_sample(fd, &s) && s.nr) {
			if (!n && !opt->json)
				printf("%8s %5s %6s %16s  %s\n", "PID", "VMs", "vCPUs", "exits",
				       "command");
			printf(opt->json ? "%s{\"pid\":%d,\"vms\":%u,\"vcpus\":%u,\"exits\":%llu,"
					   "\"command\":\"%s\"}"
					 : "%s%8d %5u %6u %16llu  %s\n",
			       opt->json && n ? "," : "", pid, count_kind(&s, ANYKVM_STAT_VM),
			       count_kind(&s, ANYKVM_STAT_VCPU),
			       (unsigned long long)total_of(&s, "exits"), command);
			n++;
		}
		close(fd);
	}
	if (proc)
		closedir(proc);
	free(s.block);
	if (opt->json)
		printf("]}\n");
	else if (!n)
		printf("no process with VMs of AnyKVM can be seen\n");
	return 0;
}

static void help(void)
{
	fputs("Usage: anykvm stat [options] [PID]\n"
	      "\n"
	      "What the VMs of a process do, live: exits by reason, interrupts, TLB fills, translated\n"
	      "blocks, summed over its vCPUs. Without PID: which processes have VMs.\n"
	      "\n"
	      "  -1, --once           totals, once\n"
	      "  -i, --interval SEC   time between two looks (default 1)\n"
	      "  --json               an object in a line for each look, with each VM and vCPU in it\n",
	      stdout);
}

static int parse(struct stat_options *opt, int argc, char **argv, struct vmm_err *err)
{
	const char *value;
	char *end;
	long pid;
	int i;

	*opt = (struct stat_options){ .interval = 1 };
	for (i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "-1") || !strcmp(argv[i], "--once")) {
			opt->once = true;
		} else if (!strcmp(argv[i], "--json")) {
			opt->json = true;
		} else if (!strcmp(argv[i], "-i") || !strcmp(argv[i], "--interval")) {
			value = i + 1 < argc ? argv[++i] : "";
			opt->interval = strtod(value, &end);
			if (end == value || *end || !(opt->interval >= 0.01 && opt->interval <= MAX_INTERVAL))
				return err_set(err, "stat: --interval needs seconds, 0.01 to 3600, "
					       "not '%s'", value);
		} else if (argv[i][0] == '-') {
			return err_set(err, "stat: unknown option '%s'; see anykvm stat --help", argv[i]);
		} else {
			errno = 0;
			pid = strtol(argv[i], &end, 10);
			if (opt->pid || errno || end == argv[i] || *end || pid <= 0 || pid > INT_MAX)
				return err_set(err, "stat: '%s' is not %s", argv[i],
					       opt->pid ? "wanted: one process at a time"
							: "a process number");
			opt->pid = (pid_t)pid;
		}
	}
	return 0;
}

int stat_main(int argc, char **argv)
{
	struct stat_options opt;
	struct vmm_err err;
	int fd, ret;

	if (argc && (!strcmp(argv[0], "--help") || !strcmp(argv[0], "-h"))) {
		help();
		return 0;
	}
	if (parse(&opt, argc, argv, &err)) {
		err_report(&err);
		return EXIT_USAGE;
	}
	if (!opt.pid)
		return list(&opt);
	fd = open_counters(opt.pid);
	if (fd == -ENOENT)
		err_set(&err, "stat: there is no process %d", opt.pid);
	else if (fd == -ENODATA)
		err_set(&err, "stat: process %d has no VMs of AnyKVM", opt.pid);
	else if (fd < 0)
		err_set(&err, "stat: process %d: %s", opt.pid, strerror(-fd));
	if (fd < 0) {
		err_report(&err);
		return 1;
	}
	ret = watch(&opt, fd);
	close(fd);
	return ret;
}
