/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * gmem.h - guest memory.
 *
 * A guest-physical address is an integer; guest memory is reached by these calls only, each with a
 * length that is checked. The memory is anonymous and reserved lazily: nothing is touched that
 * nobody has written.
 */
#ifndef VMM_GMEM_H
#define VMM_GMEM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "error.h"

#define GMEM_MAX_SLOTS	3

struct gmem_slot {
	uint64_t gpa;
	uint64_t len;
	uint64_t offset;	/* from base */
};

struct gmem {
	uint8_t *base;
	uint64_t size;
	uint64_t low_end;	/* end of the memory below 4 GiB */
	uint64_t high_end;	/* end of the memory above 4 GiB; 4 GiB if there is none */
	unsigned int nr_slots;
	struct gmem_slot slots[GMEM_MAX_SLOTS];
};

/** Where @size bytes lie in the q35's address space: fills in everything but base. Pure. */
void gmem_layout(struct gmem *g, uint64_t size);

/** Reserve @size bytes (a multiple of 4096). 0, or -1 with *err set. */
int gmem_create(struct gmem *g, uint64_t size, struct vmm_err *err);
void gmem_destroy(struct gmem *g);

/**
 * The host address of guest memory [gpa, gpa + len), or NULL if it is not all memory of one slot.
 */
void *gmem_at(const struct gmem *g, uint64_t gpa, uint64_t len);

/** Copy in or out. 0, or -EFAULT and nothing copied. */
int gmem_write(const struct gmem *g, uint64_t gpa, const void *buf, uint64_t len);
int gmem_read(const struct gmem *g, uint64_t gpa, void *buf, uint64_t len);

/**
 * Read @len bytes at @offset of a file straight into guest memory. 0, -EFAULT, -ENODATA (file too
 * short), -errno.
 */
int gmem_load(const struct gmem *g, uint64_t gpa, int fd, off_t offset, uint64_t len);

#endif
