// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * eventfd.c - eventfds of the caller. A watch hangs in the eventfd's own wait queue; its function
 * runs in the signaller's context with interrupts off.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/poll.h>
#include <linux/slab.h>
#include "../host.h"

struct host_eventfd {
	struct file *file;
	struct eventfd_ctx *ctx;
};

struct host_eventfd_watch {
	struct eventfd_ctx *ctx;	/* of its own; the file may be gone */
	void (*fn)(void *arg);
	void (*gone)(void *arg);
	void *arg;
	bool ended;
	poll_table pt;
	wait_queue_head_t *head;
	wait_queue_entry_t entry;
};

int host_eventfd_get(int fd, struct host_eventfd **out)
{
	struct host_eventfd *e;
	int ret;

	e = kzalloc(sizeof(*e), GFP_KERNEL_ACCOUNT);
	if (!e)
		return -ENOMEM;
	e->file = fget(fd);
	if (!e->file) {
		ret = -EBADF;
		goto err_free;
	}
	e->ctx = eventfd_ctx_fileget(e->file);
	if (IS_ERR(e->ctx)) {
		ret = PTR_ERR(e->ctx);
		goto err_file;
	}
	*out = e;
	return 0;

err_file:
	fput(e->file);
err_free:
	kfree(e);
	return ret;
}

void host_eventfd_put(struct host_eventfd *e)
{
	if (!e)
		return;
	eventfd_ctx_put(e->ctx);
	fput(e->file);
	kfree(e);
}

bool host_eventfd_same(const struct host_eventfd *a, const struct host_eventfd *b)
{
	return a->ctx == b->ctx;
}

void host_eventfd_signal(struct host_eventfd *e)
{
	eventfd_signal(e->ctx, 1);
}

static int woken(wait_queue_entry_t *entry, unsigned int mode, int sync, void *key)
{
	struct host_eventfd_watch *w = container_of(entry, struct host_eventfd_watch, entry);
	u64 count;

	if (key_to_poll(key) & EPOLLIN) {
		eventfd_ctx_do_read(w->ctx, &count);
		w->fn(w->arg);
	}
	/* the eventfd's release */
	if (key_to_poll(key) & EPOLLHUP) {
		WRITE_ONCE(w->ended, true);
		w->gone(w->arg);
	}
	return 0;
}

static void queued(struct file *file, wait_queue_head_t *head, poll_table *pt)
{
	struct host_eventfd_watch *w = container_of(pt, struct host_eventfd_watch, pt);

	w->head = head;
	add_wait_queue_priority(head, &w->entry);
}

int host_eventfd_watch(struct host_eventfd *e, void (*fn)(void *arg), void (*gone)(void *arg),
		       void *arg, struct host_eventfd_watch **out)
{
	struct host_eventfd_watch *w;
	unsigned long flags;
	u64 count = 0;

	w = kzalloc(sizeof(*w), GFP_KERNEL_ACCOUNT);
	if (!w)
		return -ENOMEM;
	w->ctx = eventfd_ctx_fileget(e->file);
	w->fn = fn;
	w->gone = gone;
	w->arg = arg;
	init_waitqueue_func_entry(&w->entry, woken);
	init_poll_funcptr(&w->pt, queued);
	if (vfs_poll(e->file, &w->pt) & EPOLLIN) {
		/* what came before the watch fires it once */
		spin_lock_irqsave(&w->head->lock, flags);
		eventfd_ctx_do_read(w->ctx, &count);
		if (count)
			fn(arg);
		spin_unlock_irqrestore(&w->head->lock, flags);
	}
	*out = w;
	return 0;
}

void host_eventfd_unwatch(struct host_eventfd_watch *w)
{
	u64 count;

	if (!w)
		return;
	eventfd_ctx_remove_wait_queue(w->ctx, &w->entry, &count);
	eventfd_ctx_put(w->ctx);
	kfree(w);
}

bool host_eventfd_watches(struct host_eventfd_watch *w, const struct host_eventfd *e)
{
	return w->ctx == e->ctx;
}

bool host_eventfd_watch_ended(struct host_eventfd_watch *w)
{
	return READ_ONCE(w->ended);
}
