// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* gmem.c - guest memory: layout, reservation, checked access. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gmem.h"

#define LOW_END_MAX	0xb0000000ull	/* all memory lies below if it fits below this ... */
#define LOW_END_SPLIT	0x80000000ull	/* ... else this much, and the rest above 4 GiB */
#define HIGH_START	0x100000000ull
#define VGA_START	0xa0000ull	/* the legacy video window is a hole; there is no VGA */
#define VGA_END		0xc0000ull
#define HUGE_PAGE	(2ull << 20)

static void slot_add(struct gmem *g, uint64_t gpa, uint64_t end, uint64_t offset)
{
	g->slots[g->nr_slots++] =
		(struct gmem_slot){ .gpa = gpa, .len = end - gpa, .offset = offset };
}

void gmem_layout(struct gmem *g, uint64_t size)
{
	*g = (struct gmem){ .size = size };
	g->low_end = size > LOW_END_MAX ? LOW_END_SPLIT : size;
	g->high_end = HIGH_START + (size - g->low_end);
	slot_add(g, 0, VGA_START, 0);
	slot_add(g, VGA_END, g->low_end, VGA_END);
	if (g->high_end > HIGH_START)
		slot_add(g, HIGH_START, g->high_end, g->low_end);
}

int gmem_create(struct gmem *g, uint64_t size, struct vmm_err *err)
{
	uint64_t host = (uint64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
	uint64_t addr, start;
	void *p;

	/* The kernel would hand out any amount; the guest would then die of it, or the host's OOM
	 * killer strike. */
	if (size / 4 > host)
		return err_set(err,
			       "-m: %llu MiB is more than four times this host's memory (%llu "
			       "MiB); give less",
			       (unsigned long long)(size >> 20), (unsigned long long)(host >> 20));
	gmem_layout(g, size);
	p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return err_set(err, "cannot reserve %llu MiB for the guest: %s; give less with -m",
			       (unsigned long long)(size >> 20), strerror(errno));
	/* Guest and host addresses agree modulo 2 MiB, so that large pages of both fit. */
	start = (uint64_t)p;
	addr = (start + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
	if (addr > start)
		munmap(p, addr - start);
	if (start + HUGE_PAGE > addr)
		munmap((void *)(addr + size), start + HUGE_PAGE - addr);
	g->base = (uint8_t *)addr;
	/* A core file with the whole guest in it helps nobody. Large pages of the host spare a software processor
	 * many misses of the host's TLB. */
	madvise(g->base, size, MADV_DONTDUMP);
	madvise(g->base, size, MADV_HUGEPAGE);
	return 0;
}

void gmem_destroy(struct gmem *g)
{
	if (g->base)
		munmap(g->base, g->size);
	g->base = NULL;
}

/* Not empty, within [0, limit), cannot wrap. */
static bool range_below(uint64_t start, uint64_t len, uint64_t limit)
{
	return len && start < limit && len <= limit - start;
}

void *gmem_at(const struct gmem *g, uint64_t gpa, uint64_t len)
{
	const struct gmem_slot *s;
	unsigned int i;

	for (i = 0; i < g->nr_slots; i++) {
		s = &g->slots[i];
		if (gpa >= s->gpa && range_below(gpa - s->gpa, len, s->len))
			return g->base + s->offset + (gpa - s->gpa);
	}
	return NULL;
}

int gmem_write(const struct gmem *g, uint64_t gpa, const void *buf, uint64_t len)
{
	void *p = gmem_at(g, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(p, buf, len);
	return 0;
}

int gmem_read(const struct gmem *g, uint64_t gpa, void *buf, uint64_t len)
{
	const void *p = gmem_at(g, gpa, len);

	if (!p)
		return -EFAULT;
	memcpy(buf, p, len);
	return 0;
}

int gmem_load(const struct gmem *g, uint64_t gpa, int fd, off_t offset, uint64_t len)
{
	uint8_t *p = gmem_at(g, gpa, len);
	ssize_t n;

	if (!p)
		return -EFAULT;
	while (len) {
		n = pread(fd, p, len, offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			return -ENODATA;
		p += n;
		offset += n;
		len -= n;
	}
	return 0;
}
