/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * signal.c - the one signal handler of ours, and the client's handlers behind it.
 *
 * A kernel's KVM_RUN ends when a signal is pending, and then the handler runs. Ours runs in user
 * space, where the kernel calls the handler in the middle of it, with locks held and, in translated
 * code, on another stack. So each handler is wrapped: what comes on a thread inside a call of ours
 * is kept, with the signal blocked, the vCPU is told to stop, and the client's handler runs when the
 * call is done. TLS in the initial-exec model is read by one instruction, also in a signal handler.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <ucontext.h>
#include "../host.h"
#include "sys.h"
#include "user.h"
#include "fault.h"
#include "signal.h"

#define NR_SIGNALS		65
#define KSA_SIGINFO	0x00000004ULL
#define KSA_RESTORER	0x04000000ULL
#define KSA_ONSTACK	0x08000000ULL
#define KSA_NODEFER	0x40000000ULL
#define KSA_RESETHAND	0x80000000ULL
#define DFL		0ULL
#define IGN		1ULL
/* thread-local space is scarce when the library is loaded late */
#define MAX_DEFERRED	4
#define MAX_WAITING	3

#define TLS __thread __attribute__((tls_model("initial-exec")))

/* What this thread's calls must know, KVM_RUN most of all. */
struct run_state {
	bool busy;			/* inside a call of ours */
	void (*stop)(void *arg);	/* NULL: not inside KVM_RUN */
	void *arg;
	bool ran;			/* a signal came for the client inside this KVM_RUN */
	bool ready;			/* the synchronous signals are open on this thread */
	bool swapped;			/* KVM_SET_SIGNAL_MASK's mask is in force ... */
	u64 outer_mask;			/* ... and this was before */
	u32 nr_deferred;
	siginfo_t deferred[MAX_DEFERRED];
	u32 nr_waiting;			/* handlers to call at the end of the call ... */
	u64 held;			/* ... whose signals are blocked until then */
	siginfo_t waiting[MAX_WAITING];
};
static TLS struct run_state run_state;

/* The client's actions, for signals that have ours installed. */
static struct ksigaction client[NR_SIGNALS];
static u64 taken;			/* bit per signal */
static struct host_mutex table_lock;

__asm__(".text\n"
	".p2align 4\n"
	"	nop\n"			/* unwinders look one byte before a return address */
	".globl host_signal_restorer\n"
	".hidden host_signal_restorer\n"
	".type host_signal_restorer, @function\n"
	"host_signal_restorer:\n"
	"	mov $15, %rax\n"
	"	syscall\n"
	".previous\n");
extern const u8 host_signal_restorer[];

static int kernel_sigaction(int sig, const struct ksigaction *new, struct ksigaction *old)
{
	return (int)sys4(__NR_rt_sigaction, (u64)sig, (u64)new, (u64)old, sizeof(u64));
}

static void set_mask(int how, u64 mask)
{
	sys4(__NR_rt_sigprocmask, (u64)how, (u64)&mask, 0, sizeof(mask));
}

static bool is_sync(int sig)
{
	return SIGNAL_SYNC_MASK & SIGNAL_BIT(sig);
}

/* The signal was sent, not caused by an instruction. */
static bool was_sent(const siginfo_t *info)
{
	return info->si_code <= 0;
}

void host_signal_ran(void)
{
	struct run_state *r = &run_state;

	if (!r->stop)
		return;
	r->ran = true;
	r->stop(r->arg);
}

/*
 * A signal the client keeps blocked, opened for KVM_RUN only: it must end KVM_RUN and stay pending.
 * Keep it, block it, and send it again once the client's mask is back.
 */
static bool defer(struct run_state *r, int sig, const siginfo_t *info, ucontext_t *uc)
{
	u64 *mask = (u64 *)&uc->uc_sigmask;

	if (!r->swapped || !(r->outer_mask & SIGNAL_BIT(sig)) || r->nr_deferred == MAX_DEFERRED)
		return false;
	r->deferred[r->nr_deferred++] = *info;
	*mask |= SIGNAL_BIT(sig);
	return true;
}

/* Keep a signal for which the client has a handler until the call of ours is done. */
static bool keep(struct run_state *r, int sig, const siginfo_t *info, ucontext_t *uc)
{
	u64 handler = host_load_acquire(&client[sig].handler);
	u64 *mask = (u64 *)&uc->uc_sigmask;

	if (!r->busy || handler == DFL || handler == IGN || r->nr_waiting == MAX_WAITING)
		return false;
	r->waiting[r->nr_waiting++] = *info;
	r->held |= SIGNAL_BIT(sig);
	*mask |= SIGNAL_BIT(sig);
	return true;
}

/* Let the signal do what it does by default: as if we were not there. */
static void default_action(int sig, const siginfo_t *info, ucontext_t *uc)
{
	struct ksigaction dfl = { .handler = DFL };

	kernel_sigaction(sig, &dfl, NULL);
	if (was_sent(info))
		sys4(__NR_rt_tgsigqueueinfo, (u64)sys1(__NR_getpid, 0), (u64)sys1(__NR_gettid, 0),
		     (u64)sig, (u64)info);
	/* else the instruction faults again */
}

static __attribute__((used)) void call_client(int sig, siginfo_t *info, ucontext_t *uc)
{
	struct ksigaction *slot = &client[sig];
	struct ksigaction act;

	act.handler = host_load_acquire(&slot->handler);
	act.flags = host_load_relaxed(&slot->flags);
	act.mask = host_load_relaxed(&slot->mask);
	if (act.handler == IGN && (was_sent(info) || !is_sync(sig)))
		return;
	if (act.handler == DFL || act.handler == IGN) {
		default_action(sig, info, uc);
		return;
	}
	if (act.flags & KSA_RESETHAND)
		host_store_release(&slot->handler, DFL);
	if (is_sync(sig)) {
		/* ours was installed with an empty mask */
		if (!(act.flags & KSA_NODEFER))
			act.mask |= SIGNAL_BIT(sig);
		set_mask(SIG_BLOCK, act.mask);
	}
	if (act.flags & KSA_SIGINFO)
		((void (*)(int, siginfo_t *, void *))act.handler)(sig, info, uc);
	else
		((void (*)(int))act.handler)(sig);
}

static void signal_entry(int sig, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	if (is_sync(sig) && !was_sent(info) && host_fault_handle(sig, info, uc))
		return;
	if (!is_sync(sig) &&
	    (defer(&run_state, sig, info, uc) || keep(&run_state, sig, info, uc))) {
		host_signal_ran();
		return;
	}
	call_client(sig, info, uc);
	host_signal_ran();
}

/*
 * call_on_stack(sig, info, uc, stack): call_client() on another stack; a stack walk finds its way
 * back.
 */
void call_on_stack(int sig, siginfo_t *info, ucontext_t *uc, u64 stack);
__asm__(".text\n"
	".p2align 4\n"
	".type call_on_stack, @function\n"
	"call_on_stack:\n"
	"	.cfi_startproc\n"
	"	push %rbp\n"
	"	.cfi_def_cfa_offset 16\n"
	"	.cfi_offset %rbp, -16\n"
	"	mov %rsp, %rbp\n"
	"	.cfi_def_cfa_register %rbp\n"
	"	mov %rcx, %rsp\n"
	"	call call_client\n"
	"	leave\n"
	"	.cfi_def_cfa %rsp, 8\n"
	"	ret\n"
	"	.cfi_endproc\n"
	".size call_on_stack, .-call_on_stack\n"
	".previous\n");

/* Where a handler with SA_ONSTACK begins, or 0: go on where we are. */
static u64 signal_stack(void)
{
	u64 here = (u64)__builtin_frame_address(0), start;
	stack_t ss;

	if (sys2(__NR_sigaltstack, 0, (u64)&ss) || (ss.ss_flags & SS_DISABLE))
		return 0;
	start = (u64)ss.ss_sp;
	if (here >= start && here - start < ss.ss_size)
		return 0;
	return (start + ss.ss_size) & ~15UL;
}

/* The handler of one kept signal, with the mask and the context that the kernel would give it. */
static void call_kept(const siginfo_t *kept, u64 held)
{
	siginfo_t info = *kept;
	int sig = info.si_signo;
	u64 flags = host_load_relaxed(&client[sig].flags);
	u64 mask = host_load_relaxed(&client[sig].mask) & ~SIGNAL_SYNC_MASK;
	u64 stack = flags & KSA_ONSTACK ? signal_stack() : 0;
	ucontext_t uc;
	u64 old;

	if (!(flags & KSA_NODEFER))
		mask |= SIGNAL_BIT(sig);
	sys4(__NR_rt_sigprocmask, SIG_BLOCK, (u64)&mask, (u64)&old, sizeof(old));
	old &= ~(held & SIGNAL_BIT(sig));
	host_memset(&uc, 0, sizeof(uc));
	host_memcpy(&uc.uc_sigmask, &old, sizeof(old));
	uc.uc_stack.ss_flags = SS_DISABLE;
	uc.uc_mcontext.fpregs = &uc.__fpregs_mem;
	uc.uc_mcontext.gregs[REG_RIP] = (greg_t)__builtin_return_address(0);
	uc.uc_mcontext.gregs[REG_RSP] = uc.uc_mcontext.gregs[REG_RBP] =
		(greg_t)__builtin_frame_address(0);
	if (flags & KSA_NODEFER)
		set_mask(SIG_UNBLOCK, held & SIGNAL_BIT(sig) & ~mask);
	if (stack)
		call_on_stack(sig, &info, &uc, stack);
	else
		call_client(sig, &info, &uc);
	host_memcpy(&old, &uc.uc_sigmask, sizeof(old));
	set_mask(SIG_SETMASK, old);
}

static void call_all_kept(struct run_state *r)
{
	siginfo_t kept[MAX_WAITING];
	u32 i, n = r->nr_waiting;
	u64 held = r->held;

	/* a handler may call us, or never come back */
	for (i = 0; i < n; i++)
		kept[i] = r->waiting[i];
	r->nr_waiting = 0;
	r->held = 0;
	for (i = 0; i < n; i++)
		call_kept(&kept[i], held);
}

/* Install ours for sig, to stand before act. */
static int install(int sig, const struct ksigaction *act)
{
	struct ksigaction ours = {
		.handler = (u64)signal_entry,
		.flags = KSA_SIGINFO | KSA_RESTORER,
		.restorer = (u64)host_signal_restorer,
	};

	if (is_sync(sig)) {
		/* no mask and no deferral: translated code may fault inside the client's handler's
		 * thread again */
		ours.flags |= KSA_ONSTACK | KSA_NODEFER;
	} else {
		ours.flags |= act->flags & ~(KSA_RESETHAND | KSA_RESTORER);
		ours.mask = act->mask & ~SIGNAL_SYNC_MASK;
	}
	return kernel_sigaction(sig, &ours, NULL);
}

static void remember(int sig, const struct ksigaction *act)
{
	struct ksigaction *slot = &client[sig];

	host_store_relaxed(&slot->flags, act->flags);
	host_store_relaxed(&slot->mask, act->mask);
	host_store_relaxed(&slot->restorer, act->restorer);
	/* pairs with the load in call_client() */
	host_store_release(&slot->handler, act->handler);
}

static int take_locked(int sig)
{
	struct ksigaction now;
	int ret = kernel_sigaction(sig, NULL, &now);

	if (ret || now.handler == (u64)signal_entry)
		return ret;
	if ((now.handler == DFL || now.handler == IGN) && !is_sync(sig)) {
		host_fetch_and(&taken, ~SIGNAL_BIT(sig));
		return 0;
	}
	remember(sig, &now);
	host_fetch_or(&taken, SIGNAL_BIT(sig));
	return install(sig, &now);
}

int host_signal_take(int sig)
{
	int ret;

	host_mutex_lock(&table_lock);
	ret = take_locked(sig);
	host_mutex_unlock(&table_lock);
	return ret;
}

void host_signal_adopt(void)
{
	int sig;

	host_mutex_lock(&table_lock);
	for (sig = 1; sig < NR_SIGNALS; sig++)
		/* 32 and 33 are libc's own; nobody can catch SIGKILL and SIGSTOP */
		if (sig != 32 && sig != 33 && sig != SIGKILL && sig != SIGSTOP)
			take_locked(sig);
	host_mutex_unlock(&table_lock);
}

int host_sigaction(int sig, const struct ksigaction *new, struct ksigaction *old)
{
	struct ksigaction before = { 0 };
	int ret = 0;

	if (sig < 1 || sig >= NR_SIGNALS || sig == SIGKILL || sig == SIGSTOP)
		return -EINVAL;
	host_mutex_lock(&table_lock);
	if (taken & SIGNAL_BIT(sig))
		before = client[sig];
	else
		ret = kernel_sigaction(sig, NULL, &before);
	if (ret || !new)
		goto out;
	if ((new->handler == DFL || new->handler == IGN) && !is_sync(sig)) {
		ret = kernel_sigaction(sig, new, NULL);
		host_fetch_and(&taken, ~SIGNAL_BIT(sig));
		goto out;
	}
	remember(sig, new);
	host_fetch_or(&taken, SIGNAL_BIT(sig));
	ret = install(sig, new);
out:
	host_mutex_unlock(&table_lock);
	if (!ret && old)
		*old = before;
	return ret;
}

void host_signal_after_fork(void)
{
	host_mutex_init(&table_lock);
}

void host_call_begin(void)
{
	struct run_state *r = &run_state;

	if (unlikely(!r->ready)) {
		r->ready = true;
		set_mask(SIG_UNBLOCK, SIGNAL_SYNC_MASK);
	}
	host_store_relaxed(&r->busy, true);
}

void host_call_end(void)
{
	struct run_state *r = &run_state;

	host_store_relaxed(&r->busy, false);
	/* what comes from here on is not kept any more */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (unlikely(r->nr_waiting))
		call_all_kept(r);
}

bool host_call_active(void)
{
	return host_load_relaxed(&run_state.busy);
}

void host_run_begin(void (*stop)(void *arg), void *arg)
{
	struct run_state *r = &run_state;

	r->ran = false;
	r->arg = arg;
	/* the handler of this thread sees arg before stop */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	r->stop = stop;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	/* one that was kept before there was anybody to stop */
	if (unlikely(r->nr_waiting))
		r->ran = true;
}

void host_run_end(void)
{
	host_store_relaxed(&run_state.stop, (void (*)(void *))NULL);
}

bool host_signal_pending(void)
{
	return host_load_relaxed(&run_state.ran);
}

void host_sigmask_swap(u64 newmask, u64 *oldmask)
{
	struct run_state *r = &run_state;
	u64 mask = newmask & ~SIGNAL_SYNC_MASK;
	u64 old = 0;
	u32 i, n;

	if (!r->swapped) {
		/* the outer mask must be known before a signal can come in: block first, then
		 * open */
		sys4(__NR_rt_sigprocmask, SIG_SETMASK, 0, (u64)&old, sizeof(old));
		r->outer_mask = old;
		r->nr_deferred = 0;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		r->swapped = true;
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		/* A blocked signal without a handler of ours would kill the process: leave it
		 * blocked. */
		mask |= old & ~host_load_relaxed(&taken);
		set_mask(SIG_SETMASK, mask);
	} else {
		sys4(__NR_rt_sigprocmask, SIG_SETMASK, (u64)&mask, (u64)&old, sizeof(old));
		r->swapped = false;
		n = r->nr_deferred;
		r->nr_deferred = 0;
		for (i = 0; i < n; i++)
			sys4(__NR_rt_tgsigqueueinfo, (u64)sys1(__NR_getpid, 0),
			     (u64)sys1(__NR_gettid, 0), (u64)r->deferred[i].si_signo,
			     (u64)&r->deferred[i]);
	}
	if (oldmask)
		*oldmask = old;
}
