// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * gaccess.c - the guest's linear memory as its own instructions see it, for the emulator: page walk
 * with a small cache of translations, memory through the slots, everything else to io.c.
 *
 * All functions run on the vCPU's thread inside a read section.
 */
#include "private.h"

/* Low bits of xlate_cache.tag: enum walk_access, WALK_USER, WALK_IMPLICIT, and: */
#define XLATE_AC	0x80
#define XLATE_VALID	0x100
static_assert((WALK_WRITE | WALK_EXEC | WALK_USER | WALK_IMPLICIT | WALK_NO_AD) < XLATE_AC, "tag bits are distinct");

/** Forget translations: CR0, CR3, CR4, EFER written, INVLPG, requests to flush. */
void gaccess_flush(struct vcpu *v)
{
	unsigned int i;

	for (i = 0; i < NR_XLATE; i++)
		v->priv->xlate[i].tag = 0;
}

/* ---- the page walk's view of memory ---------------------------------------------------------- */

static int walk_read(void *ctx, gpa_t gpa, bool wide, u64 *val, u64 *host)
{
	u32 narrow;

	*host = gmem_hva(ctx, gpa, NULL);
	if (!*host)
		return -EIO;
	if (wide)
		return host_mem_read(*host, val, sizeof(*val)) ? -ENXIO : 0;
	if (host_mem_read(*host, &narrow, sizeof(narrow)))
		return -ENXIO;
	*val = narrow;
	return 0;
}

bool vcpu_take_mem_error(struct vcpu *v)
{
	bool error = v->priv->io.mem_error;

	v->priv->io.mem_error = false;
	return error;
}

int vcpu_walk_update(void *ctx, gpa_t gpa, bool wide, u64 host, u64 old, u64 new)
{
	const struct memslot *slot;
	struct vcpu *v = ctx;
	int ret;

	/* A table in ROM works with the bits that it has, as in KVM. */
	if (!gmem_hva(v, gpa, &slot) || (slot->flags & KVM_MEM_READONLY))
		return 0;
	/* x86 is little-endian: the low half of a u64 begins where it does */
	ret = host_mem_cmpxchg(host, &old, &new, wide ? 8 : 4);
	if (ret)
		return ret == -EBUSY ? ret : -ENXIO;
	memslot_mark_dirty(v->vm, v, slot, gpa >> HV_PAGE_SHIFT);
	return 0;
}

static const struct walk_ops walk_ops = { .read = walk_read, .update = vcpu_walk_update };

static int mem_error(struct vcpu *v)
{
	v->priv->io.mem_error = true;
	return -EIO;
}

static int page_fault(struct emul *e, gva_t gva, u32 error)
{
	e->fault = (struct x86_fault){ .vector = EXC_PF, .has_error = true, .error = error, .cr2 = gva };
	return -EFAULT;
}

static int walk(struct vcpu *v, gva_t gva, unsigned int access, gpa_t *gpa)
{
	struct walk_result r;
	struct walk_mode m;
	int ret;

	walk_mode_from_state(&m, v->st, vcpu_maxphyaddr(v));
	host_memset(&r, 0, sizeof(r));
	ret = x86_walk(&m, gva, access, &walk_ops, v, &r);
	if (likely(!ret)) {
		*gpa = r.gpa;
		return 0;
	}
	if (ret == -ENXIO)
		return mem_error(v);
	/* Tables outside memory read as all ones: present, with reserved bits set. */
	if (ret == -EIO)
		r.error_code = PF_P | PF_RSVD | (access & WALK_WRITE ? PF_W : 0) | (access & WALK_USER ? PF_U : 0) |
			       ((access & WALK_EXEC) && (m.nxe || m.smep) ? PF_I : 0);
	return page_fault(&v->emul, gva, r.error_code);
}

int gaccess_translate(struct vcpu *v, gva_t gva, unsigned int access, struct gaccess *a)
{
	u64 tag = (gva & HV_PAGE_MASK) | access | XLATE_VALID | (v->st->rflags & X86_FLAG_AC ? XLATE_AC : 0);
	struct xlate_cache *c = &v->priv->xlate[((gva >> HV_PAGE_SHIFT) ^ access) % NR_XLATE];
	/* pairs with the release in memslots_publish() */
	u64 generation = host_load_acquire(&v->vm->memslots[v->st->smm])->generation;
	u64 off = gva & ~HV_PAGE_MASK;
	gpa_t gpa;
	int ret;

	if (likely(c->tag == tag && c->generation == generation)) {
		a->gpa = c->gpa | off;
		a->hva = c->hva ? c->hva | off : 0;
		a->slot = c->slot;
		return 0;
	}
	ret = walk(v, gva, access, &gpa);
	if (ret)
		return ret;
	a->gpa = gpa;
	a->hva = gmem_hva(v, gpa, &a->slot);
	if (access & WALK_NO_AD)
		return 0;
	c->tag = tag;
	c->generation = generation;
	c->gpa = gpa & HV_PAGE_MASK;
	c->hva = a->hva & HV_PAGE_MASK;
	c->slot = a->slot;
	return 0;
}

/* ---- data ------------------------------------------------------------------------------------ */

static unsigned int page_room(gva_t gva, unsigned int len)
{
	return min_t(u64, HV_PAGE_SIZE - (gva & ~HV_PAGE_MASK), len);
}

/* Linear addresses wrap at 4 GiB outside 64-bit mode. SDM 1 3.3.1 */
static gva_t next_page(struct vcpu *v, gva_t gva)
{
	gva = (gva & HV_PAGE_MASK) + HV_PAGE_SIZE;
	return x86_long_mode(v->st) ? gva : (u32)gva;
}

int gaccess_read(struct emul *e, gva_t gva, void *buf, unsigned int len, unsigned int access)
{
	struct vcpu *v = e->ctx;
	u8 *p = buf;

	while (len) {
		unsigned int n = page_room(gva, len);
		struct gaccess a;
		int ret;

		ret = gaccess_translate(v, gva, access, &a);
		if (ret)
			return ret;
		if (likely(a.hva)) {
			if (unlikely(host_mem_read(a.hva, p, n)))
				return mem_error(v);
		} else {
			ret = io_mmio_read(v, gva, a.gpa, p, n);
			if (ret)
				return ret;
		}
		p += n;
		len -= n;
		gva = next_page(v, gva);
	}
	return 0;
}

static bool writable_ram(const struct gaccess *a)
{
	return a->hva && !(a->slot->flags & KVM_MEM_READONLY);
}

static int write_ram(struct vcpu *v, const struct gaccess *a, const void *buf, unsigned int n)
{
	if (unlikely(host_mem_write(a->hva, buf, n)))
		return mem_error(v);
	/* after the write: see gmem_write() */
	memslot_mark_dirty(v->vm, v, a->slot, a->gpa >> HV_PAGE_SHIFT);
	if (v->vm->vendor->gmem_written)
		v->vm->vendor->gmem_written(v->vm, a->gpa, n);
	return 0;
}

int gaccess_write(struct emul *e, gva_t gva, const void *buf, unsigned int len, unsigned int access)
{
	unsigned int n[2] = { page_room(gva, len), 0 }, i;
	struct vcpu *v = e->ctx;
	struct gaccess a[2];
	const u8 *p = buf;
	int ret;

	/* Both pages first: all or nothing. */
	ret = gaccess_translate(v, gva, access | WALK_WRITE, &a[0]);
	if (ret)
		return ret;
	n[1] = len - n[0];
	if (unlikely(n[1])) {
		ret = gaccess_translate(v, next_page(v, gva), access | WALK_WRITE, &a[1]);
		if (ret)
			return ret;
	}
	/* What can be refused goes before what cannot. */
	for (i = 0; i < 2; i++)
		if (n[i] && !writable_ram(&a[i])) {
			ret = io_mmio_write(v, a[i].gpa, p + (i ? n[0] : 0), n[i]);
			if (ret)
				return ret;
		}
	for (i = 0; i < 2; i++)
		if (n[i] && writable_ram(&a[i])) {
			ret = write_ram(v, &a[i], p + (i ? n[0] : 0), n[i]);
			if (ret)
				return ret;
		}
	return 0;
}

int gaccess_fetch(struct emul *e, gva_t gva, void *buf, unsigned int len)
{
	unsigned int access = WALK_EXEC | (e->st->cpl == 3 ? WALK_USER : 0), got = 0;
	struct vcpu *v = e->ctx;
	struct gaccess a;
	int ret;

	while (got < len) {
		unsigned int n = page_room(gva, len - got);

		ret = gaccess_translate(v, gva, access, &a);
		if (ret)
			/* the fault counts only if these bytes are needed */
			return got ? (int)got : ret;
		if (!a.hva)
			return got ? (int)got : -EIO;	/* code in device memory */
		if (host_mem_read(a.hva, (u8 *)buf + got, n))
			return got ? (int)got : mem_error(v);
		got += n;
		gva = next_page(v, gva);
	}
	return got;
}

bool gaccess_is_ram(struct emul *e, gva_t gva, unsigned int len, unsigned int access)
{
	struct x86_fault saved = e->fault;
	struct gaccess a;
	bool ram;

	if (!len || page_room(gva, len) < len)
		return false;
	ram = !gaccess_translate(e->ctx, gva, access, &a) && a.hva &&
	      (!(access & WALK_WRITE) || writable_ram(&a));
	e->fault = saved;
	vcpu_take_mem_error(e->ctx);
	return ram;
}

/* ---- atomics --------------------------------------------------------------------------------- */

/* Two pages: compare and write without the bus's help. */
static int cas_slow(struct emul *e, gva_t gva, void *old, const void *new, unsigned int len, unsigned int access)
{
	u8 cur[16];
	int ret;

	ret = gaccess_read(e, gva, cur, len, access | WALK_WRITE);
	if (ret)
		return ret;
	if (host_memcmp(cur, old, len)) {
		host_memcpy(old, cur, len);
		return -EBUSY;
	}
	return gaccess_write(e, gva, new, len, access);
}

int gaccess_cmpxchg(struct emul *e, gva_t gva, void *old, const void *new, unsigned int len, unsigned int access)
{
	bool slow = len == 16 && (gva & 15), ram;
	struct gaccess a, second;
	struct vcpu *v = e->ctx;
	int ret;

	if (len > 16 || (len & (len - 1)))
		return -EINVAL;
	ret = gaccess_translate(v, gva, access | WALK_WRITE, &a);
	if (ret)
		return ret;
	ram = writable_ram(&a);
	if (page_room(gva, len) < len) {
		ret = gaccess_translate(v, next_page(v, gva), access | WALK_WRITE, &second);
		if (ret)
			return ret;
		ram &= writable_ram(&second);
		slow = true;
	}
	/* A device: what the instruction has read from it stands, a second read might not be
	 * harmless. */
	if (!ram)
		return gaccess_write(e, gva, new, len, access);
	if (slow)
		return cas_slow(e, gva, old, new, len, access);
	ret = host_mem_cmpxchg(a.hva, old, new, len);
	if (ret)
		return ret == -EBUSY ? ret : mem_error(v);
	memslot_mark_dirty(v->vm, v, a.slot, a.gpa >> HV_PAGE_SHIFT);
	if (v->vm->vendor->gmem_written)
		v->vm->vendor->gmem_written(v->vm, a.gpa, len);
	return 0;
}
