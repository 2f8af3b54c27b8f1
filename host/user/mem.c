/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * mem.c - memory for everything inside the library: size classes over mmap, so that the client's
 * heap is never touched (its allocator may be locked by the very thread a signal interrupted, and
 * may use vector registers).
 *
 * Every object has a 16-byte header with its class. Small objects come from chunks and go back to
 * their class's list; chunks are never given back. Large ones are mappings of their own.
 */
#include <linux/mman.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fail.h"

#define HEADER		16
#define MAGIC_LIVE	0x4c495645u
#define MAGIC_FREE	0x46524545u
#define CHUNK		(256 * 1024UL)
#define CLASS_SHIFT	5			/* smallest class: 32 bytes with header */
#define NR_CLASSES	40			/* four steps per doubling: up to 32 << 9 = 16 KiB and steps */
#define CLASS_BIG	0xffffffffu

struct header {
	u32 class;
	u32 magic;
	u64 size;		/* of the object with header; big: of the mapping */
};
static_assert(sizeof(struct header) == HEADER, "objects stay 16-byte aligned");

struct free_object {
	struct header h;
	struct free_object *next;
};

static struct {
	struct host_spinlock lock;
	struct free_object *free[NR_CLASSES];
	u8 *chunk;
	size_t left;
} arena;

static size_t class_size(u32 class)
{
	size_t base = 1UL << (CLASS_SHIFT + class / 4);

	return (base + base / 4 * (class % 4) + 15) & ~15UL;
}

/* The smallest class that holds size bytes, or NR_CLASSES. */
static u32 class_of(size_t size)
{
	u32 class = 0;

	if (size > (1UL << CLASS_SHIFT))
		class = (63 - __builtin_clzl(size - 1) - CLASS_SHIFT) * 4;
	while (class < NR_CLASSES && class_size(class) < size)
		class++;
	return class;
}

#ifdef HOST_SANITIZE
/*
 * Sanitizer builds take the sanitizer's heap and mmap(), for their checks. Its code uses vector
 * registers, which may hold the guest's values.
 */
#include <stdlib.h>
#include <sys/mman.h>

#define XSAVE_SIZE	4096

struct vector_state {
	u8 area[XSAVE_SIZE] __aligned(64);
};

static void vectors_save(struct vector_state *v)
{
	host_memset(v->area + 512, 0, 64);
	__asm__ volatile("xsave64 (%0)" : : "r"(v->area), "a"(7), "d"(0) : "memory");
}

static void vectors_restore(struct vector_state *v)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(v->area), "a"(7), "d"(0) : "memory");
}

static void *san_zalloc(size_t size)
{
	struct vector_state v;
	void *p;

	vectors_save(&v);
	p = calloc(1, size ? size : 1);
	vectors_restore(&v);
	return p;
}

static void san_free(void *p)
{
	struct vector_state v;

	vectors_save(&v);
	free(p);
	vectors_restore(&v);
}

static void *map_pages(size_t size)
{
	struct vector_state v;
	void *p;

	vectors_save(&v);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	vectors_restore(&v);
	return p == MAP_FAILED ? NULL : p;
}

static void unmap_pages(void *p, size_t size)
{
	struct vector_state v;

	vectors_save(&v);
	munmap(p, size);
	vectors_restore(&v);
}
#else
static void *map_pages(size_t size)
{
	long p = sys6(__NR_mmap, 0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		      (u64)-1, 0);

	return sys_is_err(p) ? NULL : (void *)p;
}

static void unmap_pages(void *p, size_t size)
{
	sys2(__NR_munmap, (u64)p, size);
}
#endif

static struct free_object *carve(size_t size)
{
	struct free_object *o;

	if (arena.left < size) {
		/* the rest of the old chunk is lost: less than 16 KiB in 256 */
		u8 *chunk = map_pages(CHUNK);

		if (!chunk)
			return NULL;
		arena.chunk = chunk;
		arena.left = CHUNK;
	}
	o = (struct free_object *)arena.chunk;
	arena.chunk += size;
	arena.left -= size;
	return o;
}

static void *alloc_small(u32 class)
{
	size_t size = class_size(class);
	struct free_object *o;

	host_spin_lock(&arena.lock);
	o = arena.free[class];
	if (o)
		arena.free[class] = o->next;
	else
		o = carve(size);
	host_spin_unlock(&arena.lock);
	if (!o)
		return NULL;
	host_memset((u8 *)o + HEADER, 0, size - HEADER);
	o->h.class = class;
	o->h.magic = MAGIC_LIVE;
	o->h.size = size;
	return (u8 *)o + HEADER;
}

void *host_zalloc(size_t size)
{
	struct header *h;
	u32 class;

	if (host_fail(HOST_FAIL_alloc) || size > 1UL << 46)
		return NULL;
#ifdef HOST_SANITIZE
	return san_zalloc(size);
#endif
	class = class_of(size + HEADER);
	if (class < NR_CLASSES)
		return alloc_small(class);
	size = (size + HEADER + HV_PAGE_SIZE - 1) & HV_PAGE_MASK;
	h = map_pages(size);
	if (!h)
		return NULL;
	h->class = CLASS_BIG;
	h->magic = MAGIC_LIVE;
	h->size = size;
	return h + 1;
}

void host_free(void *p)
{
	struct free_object *o;

	if (!p)
		return;
#ifdef HOST_SANITIZE
	san_free(p);
	return;
#endif
	o = (struct free_object *)((u8 *)p - HEADER);
	if (unlikely(o->h.magic != MAGIC_LIVE)) {
		host_log("host_free: %p is not an allocated object", p);
		return;
	}
	if (o->h.class == CLASS_BIG) {
		unmap_pages(o, o->h.size);
		return;
	}
	o->h.magic = MAGIC_FREE;
	host_spin_lock(&arena.lock);
	o->next = arena.free[o->h.class];
	arena.free[o->h.class] = o;
	host_spin_unlock(&arena.lock);
}

#define HUGE_PAGES	512

void *host_pages_alloc(unsigned long n)
{
	void *p;

	if (!n || n > 1UL << 34 || host_fail(HOST_FAIL_pages))
		return NULL;
	p = map_pages(n * HV_PAGE_SIZE);
	/* tables that are looked up all over: fewer misses of the host's TLB. A wish, not a need. */
	if (p && n >= HUGE_PAGES)
		sys3(__NR_madvise, (u64)p, n * HV_PAGE_SIZE, MADV_HUGEPAGE);
	return p;
}

void host_pages_free(void *p, unsigned long n)
{
	if (p)
		unmap_pages(p, n * HV_PAGE_SIZE);
}

/*
 * A forked child starts with an empty arena: another thread of the parent may have held the lock,
 * or been in the middle of changing a list. What the parent had allocated stays mapped and is lost.
 */
void host_mem_after_fork(void)
{
	host_memset(&arena, 0, sizeof(arena));
}
